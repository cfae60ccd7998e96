"""EfficientTrain++'s replay buffer: while images are small, few of a step's are decoded, the others are shown again."""

import dataclasses
import zlib
from collections.abc import Generator, Iterator, Mapping

import numpy as np

from effjax.data import draws
from effjax.steps.objective import DRAWN_AT

_PURPOSE = zlib.crc32(b"replay buffer")

AGAIN = "copy"  # in a batch: 0 of what is decoded; tells apart what comes several times in a step


@dataclasses.dataclass(frozen=True)
class Replay:
    """How examples are shown again.

    A step decodes a share of its examples, which go into a buffer of the last ``batches`` steps; the others are drawn
    from the buffer, each uniformly. So an example is shown ``times`` times on average, as it was the first time: its
    crop and whatever the view does to it are those of the step that decoded it. What mixes examples with one another,
    and dropout, are drawn anew. The buffer begins empty wherever a plan goes on to another value.

    A step is a function of (seed, step): of the buffer only pixels are kept, and a run that goes on decodes again
    what lies in it, to the same bits; that of the code below begins with an empty buffer. Two more things differ from
    that code, and change nothing of what is expected of an example: a draw there brings a 32nd of a batch at once, and
    here one example; and here an example comes from the same place of an earlier batch, so that each process replays
    what it has decoded, however many there are.

    Attributes:
      times: how often an example is shown, on average; a step decodes one in so many of its examples.
      batches: of how many steps the buffer keeps what was decoded, this one included.
      emptied: the steps that begin with an empty buffer, in order, the first is 0.

    References:
      Wang et al., `EfficientTrain++: Generalized Curriculum Learning for Efficient Visual Backbone Training
      <https://arxiv.org/abs/2405.08768>`_, 2024; `engine_buffer.py
      <https://github.com/LeapLabTHU/EfficientTrain/blob/main/engine_buffer.py>`_.
    """

    times: int
    batches: int
    emptied: tuple[int, ...] = (0,)

    def oldest(self, step: int) -> int:
        """The first step of those whose examples are in the buffer at a step."""
        return max(max(start for start in self.emptied if start <= step), step - self.batches + 1)

    def drawn_at(self, seed: int, step: int, count: int) -> np.ndarray:
        """Which steps have decoded the examples that a step shows again.

        Args:
          seed: the run's.
          step: the global step.
          count: how many examples a step decodes, over all processes.

        Returns:
          ``[times - 1, count]`` int64, from :meth:`oldest` to the step itself. An example comes from the place of that
          step's batch that it has here.
        """
        oldest = self.oldest(step)
        uniform = draws.uniforms((_PURPOSE << 32 | seed, step), (self.times - 1) * count)
        return oldest + (uniform * (step - oldest + 1)).astype(np.int64).reshape(self.times - 1, count)


def replayed(
    fresh: Iterator[Mapping[str, np.ndarray]],
    replay: Replay,
    seed: int,
    start: int,
    stop: int,
    count: int,
    mine: slice,
) -> Generator[dict[str, np.ndarray], None, None]:
    """Batches some of which is shown again.

    Args:
      fresh: what this process decodes, ``[b, ...]``, of the steps from ``replay.oldest(start)`` on.
      replay: how.
      seed: the run's.
      start: the first step.
      stop: the step after the last.
      count: how many examples a step decodes, over all processes.
      mine: which of these this process does.

    Yields:
      ``[times · b, ...]``: what is decoded, and then, ``times - 1`` times, as many others; with the steps that
      decoded them.
    """
    first = replay.oldest(start)
    room = min(replay.batches, stop - first)
    kept: dict[str, np.ndarray] = {}
    for step in range(first, stop):
        batch = next(fresh)
        if not kept:  # pages that are not written to take no memory
            kept = {name: np.empty((room, *array.shape), array.dtype) for name, array in batch.items()}
        for name, array in batch.items():
            kept[name][step % room] = array
        if step < start:
            continue
        at = np.concatenate([np.full((1, count), step), replay.drawn_at(seed, step, count)])[:, mine]
        places = np.broadcast_to(np.arange(at.shape[1]), at.shape)
        found = {name: array[at % room, places].reshape(-1, *array.shape[2:]) for name, array in kept.items()}
        rounds = np.repeat(np.arange(replay.times, dtype=np.int32), at.shape[1])
        yield {**found, DRAWN_AT: at.astype(np.int32).ravel(), AGAIN: rounds}
