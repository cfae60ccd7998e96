"""A network of effjax on digits, trained on batches that are named, so that others can be trained on the very same."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np

from effjax.steps import (
    Network,
    Objective,
    TrainState,
    View,
    init_state,
    make_optimizer,
    make_predict,
    make_schedule,
    make_term,
    make_train_step,
)

VIEW = View(mean=(0.13,), std=(0.31,))
BATCH, RATE = 50, 1e-3
_AT_ONCE = 250  # images where nothing is learnt


class Examples(NamedTuple):
    """Images as they are stored, ``[N, 28, 28, 1]`` uint8, and their labels ``[N]``."""

    image: np.ndarray
    label: np.ndarray

    @property
    def normalised(self) -> np.ndarray:
        """What networks see."""
        return np.asarray(VIEW.see({"image": self.image})["image"])


def digits(split: str, data_dir: str) -> Examples:
    from effjax.data.sources import load  # which the environments of peers have no need of

    source = load("digits", split, data_dir)
    return Examples(np.stack([source[i]["image"] for i in range(len(source))]), source.column("label"))


def order(seed: int, epochs: int, examples: int) -> np.ndarray:
    """Which examples are in which batch, ``[steps, BATCH]``."""
    rng, full = np.random.default_rng(seed), examples - examples % BATCH
    return np.concatenate([rng.permutation(examples)[:full].reshape(-1, BATCH) for _ in range(epochs)]).astype(np.int32)


class Training:
    """A network's training on batches that are named: cross-entropy, Adam, its rate along a cosine to 0.

    Args:
      module: the network.
      steps: how long the rate takes to 0.
      gone: how many of them lie behind it.
    """

    def __init__(self, module: nn.Module, steps: int, gone: int = 0):
        self.module, rate = module, make_schedule("cosine", RATE, steps)
        self.optimizer = make_optimizer("adam", lambda step: rate(step + gone))
        self.objective = Objective(module, {"ce": make_term("ce")}, view=VIEW)
        batch = {"image": np.zeros((1, 28, 28, 1), np.uint8), "label": np.zeros(1, int), "id": np.zeros(1, int)}
        self._init = jax.jit(lambda seed: init_state(self.objective, self.optimizer, seed, batch))
        self._step = jax.jit(make_train_step(self.objective, self.optimizer))
        self._predict = jax.jit(make_predict(Network(module, VIEW)))

    def drawn(self, seed: int) -> TrainState:
        """The state before the first step, its variables drawn."""
        return self._init(seed)

    def given(self, variables: Mapping[str, Any]) -> TrainState:
        """The state before the first step, with variables that are given."""
        params = {"student": variables["params"]}
        return TrainState(
            step=np.int32(0),  # pyright: ignore[reportArgumentType]
            seed=np.uint32(0),  # pyright: ignore[reportArgumentType]
            params=params,
            model_state={name: tree for name, tree in variables.items() if name != "params"},
            opt_state=self.optimizer.init(params),
        )

    def train(self, state: TrainState, examples: Examples, batches: np.ndarray) -> TrainState:
        for rows in batches:
            state, _ = self._step(state, _rows(examples, rows))
        return state

    def logits(self, variables: Mapping[str, Any], examples: Examples) -> np.ndarray:
        every = np.split(np.arange(len(examples.label)), range(_AT_ONCE, len(examples.label), _AT_ONCE))
        return np.concatenate([np.asarray(self._predict(variables, _rows(examples, rows))) for rows in every])

    def accuracy(self, variables: Mapping[str, Any], examples: Examples) -> float:
        return float((self.logits(variables, examples).argmax(1) == examples.label).mean())


def _rows(examples: Examples, rows: np.ndarray) -> dict[str, np.ndarray]:
    return {"image": examples.image[rows], "label": examples.label[rows], "id": np.asarray(rows)}
