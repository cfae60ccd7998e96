"""Exact evaluation: every example counts once, whatever the batch size and the number of devices."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import numpy as np

from effjax.runtime.backends import Backend

Tree = Any


class Evaluator:
    """Runs an evaluation step over a fixed set and computes its metrics.

    Args:
      step: pure, ``(variables, batch) -> metric states``, as :func:`effjax.steps.make_eval_step` makes it for the
        backend's axis.
      backend: where it runs.
      batches: makes an iterator over this process's padded batches, every time the same.
      keep: whether the batches stay on the devices between evaluations (for small sets).
    """

    def __init__(
        self, step: Callable, backend: Backend, batches: Callable[[], Iterable[Mapping[str, np.ndarray]]], *, keep: bool
    ):
        self._step, self._backend, self._batches, self._keep = step, backend, batches, keep
        self._placed: list[Tree] | None = None
        self._program: Callable | None = None

    def prepare(self, variables: Tree) -> None:
        """Compiles ahead of the first call, for variables of these shapes."""
        if self._program is None:
            batch = next(iter(self._iterate()))

            def function(variables, _, batch):
                return self._step(variables, batch)

            self._program = self._backend.compile(function, variables, {}, batch, axis=0, donate=False)

    def __call__(self, variables: Tree) -> dict[str, float]:
        """Returns the metrics of ``variables`` (replicated on the devices) by name."""
        self.prepare(variables)
        merged: Mapping[str, Any] | None = None
        for batch in self._iterate():
            states = self._backend.fetch(self._program(variables, {}, batch))
            # Sums in float64 on the host: a million examples must not be lost in float32's 24 bits.
            states = jax.tree.map(lambda x: np.asarray(x, np.float64), states)
            merged = states if merged is None else jax.tree.map(np.add, merged, states)
        return {name: float(state.compute()) for name, state in merged.items()}

    def _iterate(self) -> Iterable[Tree]:
        if self._placed is not None:
            return self._placed
        placed = (self._backend.shard(batch, axis=0) for batch in self._batches())
        if not self._keep:
            return placed
        self._placed = list(placed)
        return self._placed
