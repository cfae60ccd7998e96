"""Runs an experiment: python -m launch.train --config=configs/distill/digits.py --workdir=runs/digits

The same command continues a run that was stopped, killed or interrupted, and finds a finished one done.
Exit codes: 0 done; 1 something that you gave cannot be used, said in one line; 75 asked to stop (SIGTERM, SIGINT),
everything is saved: run the same command to go on.
"""

from absl import flags

from . import cli, config_file, helpers

_CONFIG = config_file.define("file.py or file.py:variant; --config.key=value overrides a key")
_WORKDIR = flags.DEFINE_string("workdir", "", "where checkpoints, metrics and reports are written")
_RESULTS = flags.DEFINE_string("results", "", "a Markdown file that the table is written to besides, with its plot")
_ONLY = flags.DEFINE_list(
    "only", [], "runs to train, and what they need, without the report: so several processes share an experiment"
)

flags.adopt_module_key_flags(cli)
flags.adopt_module_key_flags(helpers)


def main() -> None:
    from effjax.recipes import find_recipe

    config = config_file.read(_CONFIG)
    recipe = find_recipe(config)
    with helpers.helped(_WORKDIR.value, _ONLY.value or config.get("runs", ())):
        recipe(config, _WORKDIR.value, _RESULTS.value, _ONLY.value)


if __name__ == "__main__":
    cli.run(main, required=("config", "workdir"))
