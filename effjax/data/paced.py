"""Easy examples first: a ranking by difficulty, and how much of it may be drawn from."""

import dataclasses
from collections.abc import Callable
from typing import cast

import numpy as np

from effjax.data import draws
from effjax.data.sampler import PacedSampler
from effjax.errors import check_known

ORDERS = ("curriculum", "anti-curriculum", "random")
_LEVELS = 100  # in how many steps the share grows


@dataclasses.dataclass
class Pace:
    """Examples by difficulty, and a pacing function.

    Attributes:
      share: from progress in [0, 1] to the share of the examples that may be drawn, see
        :func:`effjax.curricula.pacing`.
      order: ``"curriculum"`` (easy first), ``"anti-curriculum"`` (hard first), or ``"random"``, by the run's seed.
      total_steps: the length of the run.
      difficulty: by global id ``[num_ids]``, higher is harder; set once it is known. Not looked at in random order.
    """

    share: Callable[[float], float]
    order: str
    total_steps: int
    difficulty: np.ndarray | None = None

    def __post_init__(self):
        check_known(self.order, ORDERS, f"pacing.order={self.order!r}")

    def sampler(self, rows: np.ndarray, ids: np.ndarray, batch_size: int, seed: int) -> PacedSampler:
        """What a run draws.

        Args:
          rows: ``[n]`` rows of the source to draw from.
          ids: ``[n]`` their global ids.
          batch_size: examples a step.
          seed: the run's.
        """
        starts = sorted({round(i * self.total_steps / _LEVELS) for i in range(_LEVELS)})
        sizes = [max(round(self.share(start / self.total_steps) * len(rows)), 1) for start in starts]
        levels = [
            (start, size)
            for i, (start, size) in enumerate(zip(starts, sizes, strict=True))
            if i == 0 or size != sizes[i - 1]
        ]
        return PacedSampler(rows[self._ranking(ids, seed)], tuple(levels), batch_size, seed)

    def _ranking(self, ids: np.ndarray, seed: int) -> np.ndarray:
        """Positions in order; those of equal difficulty by a draw, so that no class comes first by its place."""
        shuffled = draws.permutation((seed, 2**63), len(ids))
        if self.order == "random":
            return shuffled
        difficulty = cast(np.ndarray, self.difficulty)[ids[shuffled]]
        return shuffled[np.argsort(difficulty if self.order == "curriculum" else -difficulty, kind="stable")]
