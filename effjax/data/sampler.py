"""Which examples make up the batch of a step: a function of (seed, step), with no state to save."""

import bisect
import dataclasses
import functools

import numpy as np

from effjax.data import draws
from effjax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Sampler:
    """An endless stream of epochs, cut into batches. A batch may end one epoch and begin the next.

    Every epoch visits every example exactly once, in an order that is a function of the seed and the epoch's number.

    Attributes:
      num_examples: rows of the source.
      batch_size: examples a step, over all processes.
      seed: decides the orders; not negative.
      stream: samplers of one seed and different streams have unrelated orders.
    """

    num_examples: int
    batch_size: int
    seed: int
    stream: int = 0

    def __post_init__(self):
        if self.num_examples < 1:
            raise UserError("there are no examples to sample from")
        if self.batch_size < 1:
            raise UserError(f"batch_size is {self.batch_size}, but must be at least 1")
        if not 0 <= self.seed < 2**64:
            raise UserError(f"seed is {self.seed}, but must be in [0, 2^64)")

    def rows(self, step: int) -> np.ndarray:
        """The rows of one step's batch.

        Args:
          step: the global step, from 0.

        Returns:
          ``[batch_size]`` int64 positions in the source.
        """
        epoch, start = divmod(step * self.batch_size, self.num_examples)
        parts, missing = [], self.batch_size
        while missing:
            part = self._order(epoch)[start : start + missing]
            parts.append(part)
            missing -= len(part)
            epoch, start = epoch + 1, 0
        return np.concatenate(parts)

    def _order(self, epoch: int) -> np.ndarray:
        return _shuffled(self.seed, (self.stream << 32) + epoch, self.num_examples)


@dataclasses.dataclass(frozen=True)
class RowSampler:
    """Draws from some rows of a source only.

    Attributes:
      chosen: ``[n]`` the rows.
      sampler: over positions in ``chosen``.
    """

    chosen: np.ndarray
    sampler: Sampler

    @property
    def batch_size(self) -> int:
        return self.sampler.batch_size

    def rows(self, step: int) -> np.ndarray:
        """The rows of one step's batch, ``[batch_size]`` int64."""
        return self.chosen[self.sampler.rows(step)]


@dataclasses.dataclass(frozen=True)
class PacedSampler:
    """Draws from the first so many of ranked rows, more of them as the run goes on.

    Within a level, epochs over the rows of that level follow one another as in :class:`Sampler`.

    Attributes:
      ranking: ``[N]`` rows, those first that come first.
      levels: ``(first step, number of rows)``, in order, the first at step 0.
      batch_size: examples a step, over all processes.
      seed: decides the orders.
    """

    ranking: np.ndarray
    levels: tuple[tuple[int, int], ...]
    batch_size: int
    seed: int

    def rows(self, step: int) -> np.ndarray:
        """The rows of one step's batch, ``[batch_size]`` int64."""
        level = bisect.bisect_right([start for start, _ in self.levels], step) - 1
        start, size = self.levels[level]
        sampler = Sampler(size, self.batch_size, self.seed, stream=level + 1)
        return self.ranking[sampler.rows(step - start)]


@dataclasses.dataclass(frozen=True)
class RepeatedSampler:
    """Draws fewer examples a step, each of which comes several times: first all of them, then all of them again, ….

    Attributes:
      sampler: draws them once.
      times: how often each comes.
    """

    sampler: "Sampler | RowSampler | PacedSampler"
    times: int

    @property
    def batch_size(self) -> int:
        return self.sampler.batch_size * self.times

    def rows(self, step: int) -> np.ndarray:
        """The rows of one step's batch, ``[batch_size]`` int64."""
        return np.tile(self.sampler.rows(step), self.times)


AnySampler = Sampler | RowSampler | PacedSampler | RepeatedSampler


# Two epochs each of a training set and of a second one that another thread reads.
@functools.lru_cache(maxsize=4)
def _shuffled(seed: int, epoch: int, num_examples: int) -> np.ndarray:
    return draws.permutation((seed, epoch), num_examples)
