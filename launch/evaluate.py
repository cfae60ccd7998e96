"""Evaluates a trained run: python -m launch.evaluate --run=runs/quickstart/distilled/seed_0 --split=test

Reads the config that the run's checkpoints carry, so that a run's folder is all it needs. Prints one JSON line.
"""

import json

from absl import flags

from . import cli

_RUN = flags.DEFINE_string("run", "", "a run's folder, which holds checkpoints/")
_SPLIT = flags.DEFINE_string("split", "validation", "of the dataset that the run was trained on")
_DATASET = flags.DEFINE_string("dataset", "", "another dataset with the same classes")
_DATA_DIR = flags.DEFINE_string("data_dir", "data", "where datasets are prepared")
_STEP = flags.DEFINE_enum("step", "last", ["last", "best"], "which checkpoint; best is by validation")


def main() -> None:
    from effjax.recipes.train.evaluate import evaluate

    print(json.dumps(evaluate(_RUN.value, _SPLIT.value, _STEP.value, _DATASET.value, _DATA_DIR.value)))


if __name__ == "__main__":
    cli.run(main, required=("run",))
