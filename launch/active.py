"""Runs labelling loops: python -m launch.active --config=configs/active/beluch.py --workdir=runs/beluch

The same command continues loops that were stopped or killed, and takes over what people have labelled since.
Exit codes: 0 done; 1 something you gave cannot be used, said in one line; 75 stopped, or people have to label first:
the last line says which file to fill in; run the same command to go on.
"""

from absl import flags

from . import cli, config_file, helpers

_CONFIG = config_file.define("file.py or file.py:variant, of the recipe active; --config.key=value overrides a key")
_WORKDIR = flags.DEFINE_string("workdir", "", "where ledgers, queries, checkpoints and reports are written")
_RESULTS = flags.DEFINE_string("results", "", "a Markdown file that the table is written to besides, with its plot")
_ONLY = flags.DEFINE_list(
    "only", [], "loops to run, and what they need, without the report: so several processes share an experiment"
)

flags.adopt_module_key_flags(cli)
flags.adopt_module_key_flags(helpers)


def main() -> None:
    from effjax.command import as_called_here
    from effjax.errors import UserError
    from effjax.recipes.active import experiment as active

    config = config_file.read(_CONFIG)
    if config.get("recipe") != "active":
        run = as_called_here("launch.train")
        raise UserError(f"config.recipe={config.get('recipe')!r} is no labelling loop: run it with {run}")
    with helpers.helped(_WORKDIR.value, _ONLY.value or config.get("runs", ())):
        active.main(config, _WORKDIR.value, _RESULTS.value, _ONLY.value)


if __name__ == "__main__":
    cli.run(main, required=("config", "workdir"))
