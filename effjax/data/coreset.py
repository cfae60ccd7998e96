"""A part of the training examples, chosen by their difficulty before a run begins, that stands for all of them."""

import dataclasses
from typing import cast

import numpy as np

from effjax.data.ranking import at_random, by_difficulty, places_in_class
from effjax.errors import check_known

PARTS = ("hardest", "easiest", "middle", "random")


@dataclasses.dataclass
class Coreset:
    """Which of the examples a run draws from.

    Attributes:
      share: of the examples, above 0 and at most 1.
      part: ``"hardest"``, ``"easiest"``, the ``"middle"`` of the ranking, or drawn at ``"random"``, by the run's seed.
      balanced: whether each class keeps its own share, to one example.
      difficulty: by global id ``[num_ids]``, higher is harder; set once it is known. Not looked at for a random part.
    """

    share: float
    part: str
    balanced: bool = True
    difficulty: np.ndarray | None = None

    def __post_init__(self):
        check_known(self.part, PARTS, f"coreset.part={self.part!r}")

    def chosen(self, ids: np.ndarray, labels: np.ndarray | None, seed: int) -> np.ndarray:
        """What is kept.

        Args:
          ids: ``[n]`` global ids.
          labels: ``[n]`` their classes; None where they are not balanced.
          seed: of the run: of equal examples, and of a random part, it says which.

        Returns:
          The positions that are kept, ascending: :func:`kept` of them.
        """
        ranking = self._ranking(ids, seed)
        count = kept(len(ids), self.share)
        if not self.balanced:
            place = (np.arange(len(ids)) + 0.5) / len(ids)
        else:  # from 0 to 1 within its class, so that every window of the order has each class's share
            of_rank = cast(np.ndarray, labels)[ranking]
            _, inverse, counts = np.unique(of_rank, return_inverse=True, return_counts=True)
            place = (places_in_class(of_rank) + 0.5) / counts[inverse]
        distance = np.abs(place - 0.5) if self.part == "middle" else place
        return np.sort(ranking[np.argsort(distance, kind="stable")[:count]])

    def _ranking(self, ids: np.ndarray, seed: int) -> np.ndarray:
        """Positions, those first that are kept first; of the middle, by difficulty."""
        if self.part == "random":
            return at_random(len(ids), seed)
        difficulty = cast(np.ndarray, self.difficulty)[ids]
        return by_difficulty(difficulty, seed, hardest_first=self.part == "hardest")


def kept(count: int, share: float) -> int:
    """How many of ``count`` examples a coreset keeps: one at least.

    >>> kept(5, 0.5), kept(3, 0.01)
    (2, 1)
    """
    return max(round(count * share), 1)
