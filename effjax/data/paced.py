"""Easy examples first: a ranking by difficulty, and how much of it may be drawn from."""

import dataclasses
from collections.abc import Callable
from typing import cast

import numpy as np

from effjax.data.ranking import at_random, by_difficulty, in_turn
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
      balanced: whether the classes take turns in the order, see :func:`effjax.data.ranking.in_turn`.
    """

    share: Callable[[float], float]
    order: str
    total_steps: int
    difficulty: np.ndarray | None = None
    balanced: bool = False

    def __post_init__(self):
        check_known(self.order, ORDERS, f"pacing.order={self.order!r}")

    def sampler(
        self, rows: np.ndarray, ids: np.ndarray, batch_size: int, seed: int, labels: np.ndarray | None = None
    ) -> PacedSampler:
        """What a run draws.

        Args:
          rows: ``[n]`` rows of the source to draw from.
          ids: ``[n]`` their global ids.
          batch_size: examples a step.
          seed: the run's.
          labels: ``[n]`` their classes, where these take turns.
        """
        starts = sorted({round(i * self.total_steps / _LEVELS) for i in range(_LEVELS)})
        sizes = [max(round(self.share(start / self.total_steps) * len(rows)), 1) for start in starts]
        levels = [
            (start, size)
            for i, (start, size) in enumerate(zip(starts, sizes, strict=True))
            if i == 0 or size != sizes[i - 1]
        ]
        ranking = self._ranking(ids, seed)
        if self.balanced:
            ranking = in_turn(ranking, cast(np.ndarray, labels))
        return PacedSampler(rows[ranking], tuple(levels), batch_size, seed)

    def _ranking(self, ids: np.ndarray, seed: int) -> np.ndarray:
        """Positions in order."""
        if self.order == "random":
            return at_random(len(ids), seed)
        difficulty = cast(np.ndarray, self.difficulty)[ids]
        return by_difficulty(difficulty, seed, hardest_first=self.order == "anti-curriculum")
