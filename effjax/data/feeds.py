"""What the training loop draws its batches from, by step: a set on the device, or a stream through the host."""

import dataclasses
from collections.abc import Hashable, Iterator, Mapping

import numpy as np

from effjax.data.base import Source
from effjax.data.pipeline import local_batch_size, stack, train_batches
from effjax.data.resident import as_arrays
from effjax.data.sampler import Sampler
from effjax.errors import UserError, nearest

Batch = Mapping[str, np.ndarray]

_FEATURES = ("image", "label", "id")


@dataclasses.dataclass(frozen=True)
class Feed:
    """Batches of one or several sources; the stage setting ``data`` names the one to draw from.

    What a step draws is a function of (seed, step) and, where the plan changes ``data``, of the stage.

    Attributes:
      sources: by name; ``"train"`` is the one that is drawn from where no plan says otherwise.
      batch_size: examples a step, over all processes.
      process_index: of this host.
      process_count: hosts that share the batch.
      features: what of an example goes to the device.
    """

    sources: Mapping[str, Source]
    batch_size: int
    process_index: int = 0
    process_count: int = 1
    features: tuple[str, ...] = _FEATURES

    def __post_init__(self):
        for name, source in self.sources.items():
            known = source[0]
            for feature in self.features:
                if feature not in known:
                    raise UserError(
                        f"{source.info.name!r} ({name}) has no feature {feature!r}; {nearest(feature, known)}"
                    )

    def sampler(self, settings: Mapping[str, Hashable], seed: int) -> Sampler:
        return Sampler(len(self.sources[settings.get("data", "train")]), self.batch_size, seed)

    @property
    def local_size(self) -> int:
        return local_batch_size(self.batch_size, self.process_count)


@dataclasses.dataclass(frozen=True)
class ResidentFeed(Feed):
    """The sets live on the device whole; only row numbers travel."""

    def __post_init__(self):
        super().__post_init__()
        arrays = {name: as_arrays(source) for name, source in self.sources.items()}
        offsets = np.cumsum([0, *(len(a["id"]) for a in arrays.values())])
        resident = {key: np.concatenate([a[key] for a in arrays.values()]) for key in self.features}
        object.__setattr__(self, "resident", resident)
        object.__setattr__(self, "_offsets", dict(zip(arrays, offsets, strict=False)))

    def example(self) -> Batch:
        """A batch of this process, for its shapes."""
        return {key: _repeat(array[0], self.local_size) for key, array in self.resident.items()}

    def block_example(self, length: int) -> Batch:
        """What :meth:`blocks` yields, for its shapes."""
        return {"row": np.zeros((length, self.local_size), np.int32)}

    def blocks(
        self, settings: Mapping[str, Hashable], seed: int, start: int, stop: int, length: int
    ) -> Iterator[Batch]:
        """Yields ``{"row": int32 [length, B]}`` for every ``length`` steps from ``start`` to ``stop``."""
        sampler, offset = self.sampler(settings, seed), self._offsets[settings.get("data", "train")]
        mine = slice(self.process_index * self.local_size, (self.process_index + 1) * self.local_size)
        for first in range(start, stop, length):
            rows = np.stack([sampler.rows(step)[mine] for step in range(first, first + length)])
            yield {"row": (rows + offset).astype(np.int32)}


@dataclasses.dataclass(frozen=True)
class StreamFeed(Feed):
    """Batches are read by Grain while the device computes.

    Attributes:
      num_workers: reading processes; 0 reads in threads.
      num_threads: reading threads in each process.
    """

    num_workers: int = 0
    num_threads: int = 2

    resident = ()

    def example(self) -> Batch:
        """A batch of this process, for its shapes."""
        return self._chosen(stack([self.sources["train"][0]] * self.local_size))

    def block_example(self, length: int) -> Batch:
        """What :meth:`blocks` yields, for its shapes."""
        return {key: _repeat(array, length) for key, array in self.example().items()}

    def blocks(
        self, settings: Mapping[str, Hashable], seed: int, start: int, stop: int, length: int
    ) -> Iterator[Batch]:
        """Yields ``{"image": uint8 [length, B, H, W, C], "label": …, "id": …}`` for every ``length`` steps."""
        with train_batches(
            self.sources[settings.get("data", "train")],
            self.sampler(settings, seed),
            start,
            stop,
            num_workers=self.num_workers,
            num_threads=self.num_threads,
            process_index=self.process_index,
            process_count=self.process_count,
        ) as batches:
            for _ in range(start, stop, length):
                several = [self._chosen(next(batches)) for _ in range(length)]
                yield {key: np.stack([batch[key] for batch in several]) for key in several[0]}

    def _chosen(self, batch: Batch) -> Batch:
        return {key: batch[key] for key in self.features}


def _repeat(array: np.ndarray, count: int) -> np.ndarray:
    return np.broadcast_to(array, (count, *array.shape))
