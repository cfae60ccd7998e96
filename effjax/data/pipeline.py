"""Batches on the host, read ahead by threads or worker processes. The position is the step; readers hold no state."""

import dataclasses
import logging
import math
from collections.abc import Callable, Iterator
from multiprocessing import util
from typing import Any, NamedTuple, cast

import numpy as np

from effjax.data.base import Example, Source
from effjax.data.photo_crops import PhotoCrops
from effjax.data.readers import ReaderEnded, Readers
from effjax.data.sampler import AnySampler
from effjax.errors import UserError

_log = logging.getLogger("effjax")

Transform = Callable[[Example], Example]

_MOST_KILLED = 2  # times that reading processes are started anew without a batch in between


def train_batches(
    source: Source,
    sampler: AnySampler,
    start_step: int,
    stop_step: int,
    *,
    num_workers: int = 0,
    num_threads: int = 2,
    process_index: int = 0,
    process_count: int = 1,
    transform: Transform | None = None,
    crops: PhotoCrops | None = None,
    copies: np.ndarray | None = None,
) -> "BatchIterator":
    """This process's part of the batches of steps ``start_step`` … ``stop_step - 1``.

    The batches are the same, in the same order, for any number of workers and threads and whatever the first step
    is: batch ``t`` holds the rows ``sampler.rows(t)``.

    Args:
      source: where examples are read.
      sampler: which examples a step takes; its ``batch_size`` is that of all processes together.
      start_step: the first step.
      stop_step: the step after the last.
      num_workers: processes that read; 0 reads in this process's threads. Starting them takes a moment, so they are
        for images that take long to decode.
      num_threads: threads in each reading process; 0 reads when the batch is asked for.
      process_index: of this host.
      process_count: hosts that share the batch, each a contiguous part of it.
      transform: applied to each example before batching; can be pickled, if there are workers.
      crops: what is seen of the photos, drawn anew at every step; None: what the source decodes.
      copies: which of its views in a step each of this process's examples is, ``[b]``, where they come several times.

    Returns:
      An iterator of ``{"image": uint8 [b, H, W, C], "label": int32 [b], "id": int32 [b], …}`` with
      ``b = sampler.batch_size / process_count``; close it (or use it in ``with``) to release what reads.

    Raises:
      UserError: if the processes do not divide the batch; while reading, if its images differ in size.
    """
    local = local_batch_size(sampler.batch_size, process_count)
    mine = slice(process_index * local, (process_index + 1) * local)
    read = _TrainReader(source, sampler, start_step, mine, transform, crops, copies)
    return BatchIterator(read, stop_step - start_step, num_workers, num_threads)


def eval_batches(
    source: Source,
    batch_size: int,
    *,
    num_threads: int = 2,
    process_index: int = 0,
    process_count: int = 1,
) -> "BatchIterator":
    """All examples once, in row order, over all processes together.

    Args:
      source: where examples are read.
      batch_size: of all processes together.
      num_threads: that read ahead; 0 reads when the batch is asked for.
      process_index: of this host.
      process_count: hosts that share each batch, each a contiguous part of it.

    Returns:
      An iterator of batches as in ``train_batches`` with ``"mask"`` bool ``[b]``: False for the zeros that fill up
      the last batch. Every process gets the same number of batches.

    Raises:
      UserError: if the processes do not divide the batch; while reading, if its images differ in size.
    """
    local = local_batch_size(batch_size, process_count)
    read = _EvalReader(source, batch_size, local, process_index * local)
    return BatchIterator(read, math.ceil(len(source) / batch_size), 0, num_threads)


def local_batch_size(batch_size: int, process_count: int) -> int:
    """Examples that each process contributes to a batch. Raises ``UserError`` if the processes do not divide it."""
    if batch_size < 1:
        raise UserError(f"batch_size is {batch_size}, but must be at least 1")
    if batch_size % process_count:
        below = batch_size - batch_size % process_count
        raise UserError(
            f"batch_size {batch_size} is not divided by {process_count} processes; the nearest that are: "
            f"{', '.join(str(size) for size in (below, below + process_count) if size)}"
        )
    return batch_size // process_count


def stack(examples: list[Example]) -> dict[str, np.ndarray]:
    """Makes a batch of examples: every array gets a first axis.

    Raises:
      UserError: if images differ in size.
    """
    sizes = {example["image"].shape for example in examples}
    if len(sizes) > 1:
        a, b, *_ = (f"{width}×{height}" for height, width, _ in sorted(sizes))
        raise UserError(f"images of one batch differ in size ({a} and {b}): set image_size, e.g. 224")
    return {name: np.stack([example[name] for example in examples]) for name in examples[0]}


class BatchIterator:
    """Iterates over batches that are read ahead. A context manager, which closes it."""

    def __init__(self, read: Callable[[int], dict[str, np.ndarray]], count: int, num_workers: int, num_threads: int):
        """Starts reading processes, if there are any; threads start with the first ``next``.

        Args:
          read: makes batch ``i`` of ``range(count)``; can be pickled, if there are workers.
          count: how many batches.
          num_workers: reading processes, or 0.
          num_threads: reading threads in each process, or 0.
        """
        self._read, self._count, self._next = read, count, 0
        self._num_workers, self._num_threads = num_workers, num_threads
        self._killed = 0  # times in a row
        self._open: list[_Reading] = [self._start()]
        # At exit, before multiprocessing asks what is left of its processes to end: readers do not heed that.
        self.close = util.Finalize(self, _close, args=(self._open,), exitpriority=2)

    def _start(self) -> "_Reading":
        """Reads from the next batch on."""
        import grain  # takes a second, and data that lives on the device never needs it

        read, threads, readers = self._read, self._num_threads, None
        if self._num_workers:
            each = max(self._num_threads, 1)
            read = readers = Readers(self._read, self._num_workers, each)
            threads = self._num_workers * each  # each waits for a batch
        # One element is one batch: workers and threads take turns by batch, so that their number changes nothing.
        dataset = grain.MapDataset.range(self._next, self._count).map(read)
        options = grain.ReadOptions(threads, prefetch_buffer_size=2 * threads)
        return _Reading(iter(dataset.to_iter_dataset(options)), readers)

    def __iter__(self) -> "BatchIterator":
        return self

    def __next__(self) -> dict[str, np.ndarray]:
        while self._open:
            try:
                batch = next(self._open[0].batches)
            except ReaderEnded as error:
                self._restart(error)
                continue
            self._next += 1
            self._killed = 0
            return batch
        raise StopIteration

    def _restart(self, error: ReaderEnded) -> None:
        """Starts reading processes anew if one of them was killed: a batch is a function of its number.

        Raises:
          UserError: if they are killed again and again.
        """
        code = error.code
        self._killed += 1
        _close(self._open)
        why = f"signal {-code}, for want of memory?" if code < 0 else f"exit code {code}"
        if self._killed > _MOST_KILLED:
            raise UserError(
                f"a reading process was killed {self._killed} times in a row ({why}): make config.data.num_workers="
                f"{self._num_workers} smaller, or batch_size; then run the same command again"
            ) from error
        _log.warning("a reading process was killed (%s): started again", why)
        self._open.append(self._start())

    def __enter__(self) -> "BatchIterator":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()  # there are no more batches after that


class _Reading(NamedTuple):
    """Batches as they are read, and the processes that read them, if there are any."""

    batches: Iterator[dict[str, np.ndarray]]
    readers: Readers | None

    def close(self) -> None:
        if self.readers:  # first: threads wait for them
            self.readers.close()
        cast(Any, self.batches).close()


def _close(opened: list[_Reading]) -> None:
    """Ends the threads and processes that read."""
    while opened:  # let go of Grain's iterator now: at interpreter exit its destructor finds half of Grain gone
        opened.pop().close()


@dataclasses.dataclass(frozen=True)
class _TrainReader:
    source: Source
    sampler: AnySampler
    start_step: int
    mine: slice
    transform: Transform | None
    crops: PhotoCrops | None
    copies: np.ndarray | None

    def __call__(self, index: int) -> dict[str, np.ndarray]:
        step = self.start_step + int(index)
        rows = self.sampler.rows(step)[self.mine].tolist()
        if self.crops is None:
            examples = [self.source[row] for row in rows]
        else:
            copies = [0] * len(rows) if self.copies is None else self.copies.tolist()
            drawn = {copy: self.crops.of_step(step, copy) for copy in set(copies)}
            examples = [self.source.cut(row, drawn[copy]) for row, copy in zip(rows, copies, strict=True)]
        batch = stack([self.transform(example) for example in examples] if self.transform else examples)
        return batch if self.copies is None else {**batch, "copy": self.copies}


@dataclasses.dataclass(frozen=True)
class _EvalReader:
    source: Source
    batch_size: int
    local: int
    offset: int

    def __call__(self, index: int) -> dict[str, np.ndarray]:
        start = int(index) * self.batch_size + self.offset
        rows = range(start, min(start + self.local, len(self.source)))
        # A process whose whole part is padding still needs the shapes.
        batch = stack([self.source[row] for row in rows or [0]])
        mask = np.arange(self.local) < len(rows)
        batch = {name: _padded(array[: len(rows)], self.local) for name, array in batch.items()}
        return {**batch, "mask": mask}


def _padded(array: np.ndarray, length: int) -> np.ndarray:
    return np.concatenate([array, np.zeros((length - len(array), *array.shape[1:]), array.dtype)])
