"""Convolutions by oneDNN beside XLA's, in the same training steps and predictions of whole networks.

    .venv/bin/python -m benchmarks.convolutions [--only=resnet20,efficientnet_lite0] [--rounds=5]

Each network trains (cross-entropy, SGD with momentum) and predicts by both, in turn, in one process; programs differ in
``Objective(convolutions=…)`` alone. Writes results/convolutions.md. Ten minutes on two CPU cores, half of them
compilation.
"""

import argparse
import statistics
import sys

import jax
import numpy as np

from benchmarks.in_turn import in_turn, ratio
from benchmarks.pages import RESULTS, Goal, middle_ratio, quiet, write_page
from effjax import models
from effjax.allocator import keep_freed_memory, run_programs_here
from effjax.models import convolutions
from effjax.steps import Objective, init_state, make_optimizer, make_predict, make_term, make_train_step

CASES = {  # options, image, batch
    "scnn": ({}, (28, 28, 1), 64),
    "resnet20": ({}, (32, 32, 3), 128),
    "resnet18": ({"stem": "imagenet"}, (112, 112, 3), 16),
    "efficientnet_lite0": ({}, (112, 112, 3), 16),
    "convnext_atto": ({}, (112, 112, 3), 16),
    "resnext50_32x4d": ({}, (112, 112, 3), 8),
}
_GOAL = 0.65  # of a ResNet-20's step, over XLA's
_HEAD = """\
`.venv/bin/python -m benchmarks.convolutions` wrote this. Least milliseconds of {rounds} rounds, and the ratio
round by round, median and range. Both compute in one process, in turn; what differs is `convolutions="onednn"`.
Difference: of what is predicted, the largest, over the largest logit."""
_TABLE = (
    "| network | image, batch | step by XLA, ms | by oneDNN, ms | ratio (range) "
    "| prediction by XLA, ms | by oneDNN, ms | ratio (range) | difference |",
    "|---|---|---:|---:|---:|---:|---:|---:|---:|",
)


class Trained:
    """A network that trains, step by step, on one batch."""

    def __init__(self, name: str, way: str):
        options, shape, batch = CASES[name]
        rng, optimizer = np.random.default_rng(0), make_optimizer("sgd", 1e-3, momentum=0.9)
        batch = {
            "image": rng.integers(0, 256, (batch, *shape), np.uint8),
            "label": rng.integers(0, 10, batch).astype(np.int32),
            "id": np.arange(batch, dtype=np.int32),
        }
        objective = Objective(models.create(name, 10, **options), {"ce": make_term("ce")}, convolutions=way)
        self._state = jax.jit(lambda seed: init_state(objective, optimizer, seed, batch))(np.uint32(0))
        self._step = jax.jit(make_train_step(objective, optimizer), donate_argnums=0)
        self._predict, self._batch = jax.jit(make_predict(objective.network)), jax.device_put(batch)
        self._variables = jax.tree.map(np.array, {"params": self._state.params["student"], **self._state.model_state})

    def step(self):
        self._state, metrics = self._step(self._state, self._batch)
        jax.block_until_ready((self._state, metrics))

    def predict(self):
        return jax.block_until_ready(self._predict(self._variables, self._batch))


def row(name: str, rounds: int) -> tuple[str, float]:
    """A line of the table, and the ratio of steps."""
    both = {way: Trained(name, way) for way in models.CONVOLUTIONS}
    logits = {way: np.asarray(one.predict()) for way, one in both.items()}
    difference = np.abs(logits["onednn"] - logits["xla"]).max() / np.abs(logits["xla"]).max()
    _, shape, batch = CASES[name]
    cells, over = [name, f"{'×'.join(map(str, shape))}, {batch}"], 0.0
    for what in ("predict", "step"):
        times = in_turn({way: getattr(one, what) for way, one in both.items()}, rounds)
        xla, onednn = times["xla"], times["onednn"]
        found = [f"{1e3 * min(xla):.1f}", f"{1e3 * min(onednn):.1f}", ratio(onednn, xla)]
        cells = [*cells[:2], *found, *cells[2:]]
        over = middle_ratio(onednn, xla)
    return f"| {' | '.join([*cells, f'{difference:.1e}'])} |", over


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(CASES), help="networks, separated by commas")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    load = quiet()
    keep_freed_memory()  # as the launchers have it
    run_programs_here()
    convolutions.prepare(models.CONVOLUTIONS)
    convolutions.check_usable("onednn")
    lines, ratios = [], {}
    for name in given.only.split(","):
        line, ratios[name] = row(name, given.rounds)
        lines.append(line)
        print(line, flush=True)
    goals = [Goal("a step of resnet20 by oneDNN, over by XLA", ratios.get("resnet20"), _GOAL)]
    middle = statistics.geometric_mean(ratios.values())
    text = [
        "# Convolutions on CPUs: oneDNN and XLA",
        _HEAD.format(rounds=given.rounds),
        "\n".join([*_TABLE, *lines]),
        f"Steps, all networks: {middle:.2f} (geometric mean).",
    ]
    write_page(RESULTS / "convolutions.md", text, load, goals)


if __name__ == "__main__":
    sys.exit(main())
