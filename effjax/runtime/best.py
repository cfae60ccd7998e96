"""What did best on validation so far, of one network or of several that train together."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from effjax.steps import Together


class Best:
    """The best value and its step, by member.

    Args:
      members: the networks; None is one alone.
      patience: a member that has not done better for so many steps has stopped: nothing counts for it any more. 0 is
        for ever.
      notes: what :meth:`notes` of an earlier process gave, or None.
    """

    def __init__(self, members: Together | None, patience: int, notes: Mapping[str, Any] | None = None):
        self._alone, self._patience = not members, patience
        count = members.count if members else 1
        self.steps: list[int | None] = [None] * count
        self.values: list[float] = [-np.inf] * count
        if notes:
            self.steps, self.values = ([notes[key]] if self._alone else list(notes[key]) for key in ("step", "value"))

    def update(self, step: int, values: float | Sequence[float]) -> np.ndarray:
        """Notes an evaluation; returns by member ``[members]`` whether it is the best so far."""
        improved = np.zeros(len(self.steps), bool)
        for member, value in enumerate(np.atleast_1d(values)):
            if not self._has_stopped(member, step) and (self.steps[member] is None or value > self.values[member]):
                self.steps[member], self.values[member] = step, float(value)
                improved[member] = True
        return improved

    def all_stopped(self, step: int) -> bool:
        """Whether there is nothing left to wait for."""
        return all(self._has_stopped(member, step, now=True) for member in range(len(self.steps)))

    def _has_stopped(self, member: int, step: int, *, now: bool = False) -> bool:
        best = self.steps[member]
        if not self._patience or best is None:
            return False
        return step - best >= self._patience if now else step - best > self._patience

    @property
    def value(self) -> float | None:
        """The best value, the mean over members; None before the first."""
        return None if None in self.steps else float(np.mean(self.values))

    def notes(self) -> dict[str, Any] | None:
        """What a checkpoint keeps; None before the first evaluation that counts."""
        if None in self.steps:
            return None
        if self._alone:
            return {"step": self.steps[0], "value": self.values[0]}
        return {"step": list(self.steps), "value": list(self.values)}
