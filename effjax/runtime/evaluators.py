"""Exact evaluation: every example counts once, whatever the batch size and the number of devices."""

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

import jax
import numpy as np

from effjax.runtime.backends import Backend
from effjax.steps import member_of

Tree = Any


class Evaluator:
    """Runs an evaluation step over a fixed set and computes its metrics.

    Args:
      step: from a size of images (None: as they are) to a pure step, ``(variables, batch) -> metric states``, as
        :func:`effjax.steps.make_eval_step` makes it for the backend's axis.
      backend: where it runs.
      batches: makes an iterator over this process's padded batches, every time the same.
      keep: whether the batches stay on the devices between evaluations (for small sets).
      members: 0, or how many networks the variables are of, that axis first; the step then knows of it.
    """

    def __init__(
        self,
        step: Callable[[Hashable], Callable],
        backend: Backend,
        batches: Callable[[], Iterable[Mapping[str, np.ndarray]]],
        *,
        keep: bool,
        members: int = 0,
    ):
        self._step, self._backend, self._batches, self._keep = step, backend, batches, keep
        self._members = members
        self._placed: list[Tree] | None = None
        self._programs: dict[Hashable, Callable] = {}

    def prepare(self, variables: Tree, size: Hashable = None) -> None:
        """Compiles ahead of the first call, for variables of these shapes and images of this size."""
        if size not in self._programs:
            batch, step = next(iter(self._iterate())), self._step(size)

            def function(variables, _, batch):
                return step(variables, batch)

            self._programs[size] = self._backend.compile(function, variables, {}, batch, axis=0, donate=False)

    def __call__(self, variables: Tree, size: Hashable = None) -> dict[str, Any]:
        """Returns the metrics of ``variables`` (replicated on the devices) by name: numbers, or one a member."""
        self.prepare(variables, size)
        merged: Mapping[str, Any] | None = None
        for batch in self._iterate():
            states = self._backend.fetch(self._programs[size](variables, {}, batch))
            # Sums in float64 on the host: a million examples must not be lost in float32's 24 bits.
            states = jax.tree.map(lambda x: np.asarray(x, np.float64), states)
            merged = states if merged is None else jax.tree.map(np.add, merged, states)
        if not self._members:
            return {name: float(state.compute()) for name, state in merged.items()}
        each = [
            {name: float(member_of(state, m).compute()) for name, state in merged.items()} for m in range(self._members)
        ]
        return {name: np.array([values[name] for values in each]) for name in merged}

    def _iterate(self) -> Iterable[Tree]:
        if self._placed is not None:
            return self._placed
        placed = (self._backend.shard(batch, axis=0) for batch in self._batches())
        if not self._keep:
            return placed
        self._placed = list(placed)
        return self._placed
