"""Exact evaluation: every example counts once, whatever the batch size and the number of devices."""

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

import jax
import numpy as np

from effjax.metrics import Metric
from effjax.metrics.metric import computed
from effjax.runtime.backends import Backend
from effjax.steps import Together, member_of
from effjax.steps.evaluate import KEPT
from effjax.typing import PyTree


class Evaluator:
    """Runs an evaluation step over a fixed set and computes its metrics.

    Args:
      step: from the settings of a stage that evaluation looks at to a pure step, ``(variables, batch) -> metric
        states``, as :func:`effjax.steps.make_eval_step` makes it for the backend's axis.
      backend: where it runs.
      batches: makes an iterator over this process's padded batches, every time the same.
      keep: whether the batches stay on the devices between evaluations (for small sets).
      members: the networks that the variables are of, their axis first, as the step then knows; None is one alone.
      on_host: by name, the metrics that are measured here, of what the step keeps for them
        (:class:`effjax.steps.evaluate.HostBatch`).
    """

    def __init__(
        self,
        step: Callable[[Hashable], Callable],
        backend: Backend,
        batches: Callable[[], Iterable[Mapping[str, np.ndarray]]],
        *,
        keep: bool,
        members: Together | None = None,
        on_host: Mapping[str, Metric] | None = None,
    ):
        self._step, self._backend, self._batches, self._keep = step, backend, batches, keep
        self._members, self._on_host = members, on_host or {}
        self._placed: list[PyTree] | None = None
        self._programs: dict[Hashable, Callable] = {}

    def prepare(self, variables: PyTree, settings: Hashable = ()) -> None:
        """Compiles ahead of the first call, for variables of these shapes and a stage of these settings."""
        if settings not in self._programs:
            batch, step = next(iter(self._iterate())), self._step(settings)

            def function(variables, _, batch):
                return step(variables, batch)

            self._programs[settings] = self._backend.compile(function, variables, {}, batch, axis=0, donate=False)

    def __call__(self, variables: PyTree, settings: Hashable = ()) -> dict[str, Any]:
        """Returns the metrics of ``variables`` (replicated on the devices) by name: numbers, or one a member."""
        self.prepare(variables, settings)
        merged: list[dict[str, Any]] = [{} for _ in range(self._members.count if self._members else 1)]
        results = (self._programs[settings](variables, {}, batch) for batch in self._iterate())
        for found in self._backend.fetch_each(results):
            for member, so_far in enumerate(merged):
                self._merge(so_far, member_of(found, member) if self._members else found)
        each = [computed(states) for states in merged]
        if not self._members:
            return each[0]
        return {name: np.array([values[name] for values in each]) for name in each[0]}

    def _merge(self, so_far: dict[str, Any], found: Mapping[str, Any]) -> None:
        """Adds what a batch has shown of one network."""
        # Sums in float64 on the host: a million examples must not be lost in float32's 24 bits.
        sums = {name: jax.tree.map(_float64, state) for name, state in found.items() if name != KEPT}
        for name, state in sums.items():
            so_far[name] = jax.tree.map(np.add, so_far[name], state) if name in so_far else state
        for name, metric in self._on_host.items():
            preds, batch = found[KEPT]
            state = metric.update(preds, batch, batch["mask"].astype(bool))
            so_far[name] = so_far[name].merge(state) if name in so_far else state

    def _iterate(self) -> Iterable[PyTree]:
        if self._placed is not None:
            return self._placed
        placed = (self._backend.shard(batch, axis=0) for batch in self._batches())
        if not self._keep:
            return placed
        self._placed = list(placed)
        return self._placed


def _float64(array: np.ndarray) -> np.ndarray:
    return np.asarray(array, np.float64)
