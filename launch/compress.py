"""Small networks as files: python -m launch.compress --config=configs/compress/digits.py --workdir=runs/compress

Trains every run of the experiment as launch.train does, exports what its config names, and measures the files in
onnxruntime: accuracy, agreement, bytes, milliseconds; one table, one page. The same command continues what was stopped,
killed or interrupted: runs that are trained, files and measurements that are done are not made again. It needs the
packages of effjax[export]. Exit codes as for launch.train.
"""

from absl import flags

from . import cli, config_file, helpers

_CONFIG = config_file.define("file.py or file.py:variant, of the recipe compress; --config.key=value overrides a key")
_WORKDIR = flags.DEFINE_string("workdir", "", "where checkpoints, files and reports are written")
_RESULTS = flags.DEFINE_string("results", "", "a Markdown file that the table is written to besides, with its plot")
_ONLY = flags.DEFINE_list(
    "only", [], "runs to train, and what they need, without files: so several processes share an experiment"
)

flags.adopt_module_key_flags(cli)
flags.adopt_module_key_flags(helpers)


def main() -> None:
    from effjax.command import as_called_here
    from effjax.errors import UserError
    from effjax.recipes.compress import experiment

    config = config_file.read(_CONFIG)
    if config.get("recipe") != "compress":
        run = as_called_here("launch.train")
        raise UserError(f"config.recipe={config.get('recipe')!r} measures no files: run it with {run}")
    with helpers.helped(_WORKDIR.value, _ONLY.value or config.get("runs", ())):
        experiment.main(config, _WORKDIR.value, _RESULTS.value, _ONLY.value)


if __name__ == "__main__":
    cli.run(main, required=("config", "workdir"))
