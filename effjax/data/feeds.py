"""What the training loop draws its batches from, by step: a set on the device, or a stream through the host."""

import dataclasses
import functools
from collections.abc import Generator, Hashable, Iterator, Mapping, Sequence
from typing import cast

import numpy as np

from effjax.data.base import Example, Source
from effjax.data.coreset import Coreset
from effjax.data.joined import JoinedSource
from effjax.data.paced import Pace
from effjax.data.photo_crops import PhotoCrops
from effjax.data.pipeline import local_batch_size, stack, train_batches
from effjax.data.replay import AGAIN, Replay, replayed
from effjax.data.resident import as_arrays
from effjax.data.sampler import AnySampler, RepeatedSampler, RowSampler, Sampler
from effjax.data.tables import Lookup
from effjax.errors import UserError, check_known, nearest
from effjax.steps import Together
from effjax.steps.objective import DRAWN_AT

Batch = Mapping[str, np.ndarray]
Settings = Mapping[str, Hashable]

_FEATURES = ("image", "label", "id")


@dataclasses.dataclass(frozen=True)
class Feed:
    """Batches of one or several sources; the stage setting ``data`` names those to draw from, e.g. ``"easy+train"``.

    What a step draws is a function of (seed, step) and, where the plan changes ``data``, of the stage.

    Attributes:
      sources: by name; ``"train"`` is the one that is drawn from where no plan says otherwise.
      batch_size: examples that a step trains on, over all processes; it is given ``candidates`` times as many.
      process_index: of this host.
      process_count: hosts that share the batch.
      features: what of an example goes to the device.
      pace: how the examples are ranked and paced, or None.
      coreset: which part of the examples is drawn from, or None: all of them.
      members: the networks for which it draws at once; None for one.
      repeats: how often each example of a step comes in it; which of these it is, goes along as ``copy``.
      emptied: the steps at which what a plan's ``replay`` shows again is forgotten, in order, the first is 0.
    """

    sources: Mapping[str, Source]
    batch_size: int
    process_index: int = 0
    process_count: int = 1
    features: tuple[str, ...] = _FEATURES
    pace: Pace | None = None
    coreset: Coreset | None = None
    members: Together | None = None
    repeats: int = 1
    emptied: tuple[int, ...] = (0,)

    def __post_init__(self):
        for name, source in self.sources.items():
            known = source.info.features
            for feature in self.features:
                if feature not in known:
                    raise UserError(
                        f"{source.info.name!r} ({name}) has no feature {feature!r}; {nearest(feature, known)}"
                    )
                if feature != "image" and known[feature].is_ragged:
                    raise UserError(
                        f"config.data.features: {source.info.name!r} ({name}) has as many {feature!r} as an example "
                        f"happens to have: say how many fit, config.data.padded.{feature.split('/')[0]}=…"
                    )

    @functools.cached_property
    def joined(self) -> JoinedSource:
        """All the sources; those that travel name rows of it. ``train`` comes first and keeps its ids."""
        names = sorted(self.sources, key=lambda name: name != "train")
        return JoinedSource([self.sources[name] for name in names])

    def rows(self, settings: Settings) -> np.ndarray:
        """The rows of :attr:`joined` that a stage draws from.

        Raises:
          UserError: if it names a source that there is not.
        """
        names = sorted(self.sources, key=lambda name: name != "train")
        chosen = str(settings.get("data", "train")).split("+")
        for name in chosen:
            check_known(name, names, f"plans.data: no source {name!r}")
        return np.concatenate([self.joined.rows_of(names.index(name)) for name in chosen])

    def source(self, settings: Settings) -> JoinedSource:
        """Where a stage reads."""
        return self.joined

    def drawn(self, settings: Settings) -> int:
        """The examples of a step over all processes, those included that it does not choose to train on."""
        return round(self.batch_size * cast(float, settings.get("candidates", 1)))

    def decoded(self, settings: Settings) -> int:
        """Those of them that a step decodes; the others it shows again."""
        replay = self.replay(settings)
        return self.drawn(settings) // (replay.times if replay else 1)

    def replay(self, settings: Settings) -> Replay | None:
        """How a stage shows examples again; None where every one is decoded."""
        value = settings.get("replay", 1)
        return Replay(*cast("tuple[int, int]", value), self.emptied) if value != 1 else None

    def sampler(self, settings: Settings, seed: int, member: int = 0) -> AnySampler:
        """What one network draws, over all processes; of what is shown again, what is decoded."""
        size = self.decoded(settings)
        rows = self.rows(settings)
        if self.members and self.members.kind == "folds":
            rows = rows[fold_of(self.joined.ids()[rows], self.members.count) != member]
        if self.coreset is not None:
            labels = self._labels(rows) if self.coreset.balanced else None
            rows = rows[self.coreset.chosen(self.joined.ids()[rows], labels, seed)]
        size //= self.repeats
        if self.pace is not None:
            labels = self._labels(rows) if self.pace.balanced else None
            once = self.pace.sampler(rows, self.joined.ids()[rows], size, seed, labels)
        else:
            once = RowSampler(rows, Sampler(len(rows), size, seed))
        return once if self.repeats == 1 else RepeatedSampler(once, self.repeats)

    def _labels(self, rows: np.ndarray) -> np.ndarray:
        return self.joined.column("label")[rows]

    def local_size(self, settings: Settings) -> int:
        """The examples of a step that this process reads."""
        return local_batch_size(self.drawn(settings), self.process_count)

    @property
    def _copies(self) -> np.ndarray | None:
        """Which of its views in a step each example of this process is, ``[b]``; None where each has but one."""
        if self.repeats == 1:
            return None
        size = local_batch_size(self.batch_size, self.process_count)
        copies = np.repeat(np.arange(self.repeats, dtype=np.int32), self.batch_size // self.repeats)
        return copies[self.process_index * size : (self.process_index + 1) * size]

    @property
    def _lead(self) -> tuple[int, ...]:
        """The axes before the examples'."""
        return (self.members.count,) if self.members else ()


def fold_of(ids: np.ndarray, folds: int) -> np.ndarray:
    """Which part of a cross-validation each example belongs to, by its global id: ``[n]`` in [0, folds)."""
    return ids % folds


@dataclasses.dataclass(frozen=True)
class ResidentFeed(Feed):
    """The sets live on the device whole; only row numbers travel.

    Attributes:
      arrays: of :attr:`joined`, where another feed of the same sources has read them already.
    """

    arrays: Batch | None = None
    resident: Batch = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self):
        super().__post_init__()
        arrays = self.arrays or as_arrays(self.joined)
        object.__setattr__(self, "resident", {key: arrays[key] for key in self.features})

    def example(self, settings: Settings = {}) -> Batch:  # noqa: B006 (never changed)
        """A batch of this process, for its shapes."""
        lead = (*self._lead, self.local_size(settings))
        found = {key: _repeat(array[0], lead) for key, array in self.resident.items()}
        return {**found, **self._also(())}

    def block_example(self, length: int, settings: Settings = {}) -> Batch:  # noqa: B006
        """What :meth:`blocks` yields, for its shapes."""
        rows = np.zeros((length, *self._lead, self.local_size(settings)), np.int32)
        return {"row": rows, **self._also((length,))}

    def blocks(
        self, settings: Settings, seeds: int | Sequence[int], start: int, stop: int, length: int
    ) -> Generator[Batch, None, None]:
        """Yields ``{"row": int32 [length, (members,) B]}`` for every ``length`` steps from ``start`` to ``stop``."""
        several = [seeds] if isinstance(seeds, int) else seeds
        samplers = [self.sampler(settings, seed, member) for member, seed in enumerate(several)]
        size = self.local_size(settings)
        mine = slice(self.process_index * size, (self.process_index + 1) * size)
        for first in range(start, stop, length):
            # Network by network: one's order of an epoch is then drawn once a block, and not anew at every step.
            rows = [[s.rows(step)[mine] for step in range(first, first + length)] for s in samplers]
            by_step = np.array(rows, np.int32).swapaxes(0, 1)
            yield {"row": by_step.reshape(length, *self._lead, size), **self._also((length,))}

    def _also(self, lead: tuple[int, ...]) -> dict[str, np.ndarray]:
        """What of a batch is not looked up."""
        return {} if self._copies is None else {"copy": _repeat(self._copies, (*lead, *self._lead))}


@dataclasses.dataclass(frozen=True)
class ChosenFeed(ResidentFeed):
    """A set on the device of which each network sees its own part, as the loops of active learning do.

    Attributes:
      chosen: the rows that each network draws from, one array ``[n]`` a member; of one network, one.
    """

    chosen: tuple[np.ndarray, ...] = ()

    def sampler(self, settings: Settings, seed: int, member: int = 0) -> RowSampler:
        rows = self.chosen[member]
        return RowSampler(rows, Sampler(len(rows), self.batch_size, seed))


@dataclasses.dataclass(frozen=True)
class StreamFeed(Feed):
    """Batches are read by Grain while the device computes.

    Attributes:
      num_workers: reading processes; 0 reads in threads.
      num_threads: reading threads in each process.
      resize: whether images are decoded to the stage's ``image_size``, instead of being reduced on the device.
      lookups: what tables on disk know of each example, which becomes features of it.
      crops: what training sees of each photo; None: what the source decodes.
    """

    num_workers: int = 0
    num_threads: int = 2
    resize: bool = False
    lookups: tuple[Lookup, ...] = ()
    crops: PhotoCrops | None = None

    @property
    def resident(self) -> Batch:
        """Nothing."""
        return {}

    def __post_init__(self):
        super().__post_init__()
        if self.members:
            raise UserError("networks that train together draw from a set on the device: raise data.on_device_mib")

    def source(self, settings: Settings) -> JoinedSource:
        """Where a stage reads: with small images asked for, JPEGs are decoded at a part of their size."""
        size = cast("int | None", settings.get("image_size")) if self.resize else None
        return self.joined.at_size(size) if size else self.joined

    def example(self, settings: Settings = {}) -> Batch:  # noqa: B006
        """A batch of this process, for its shapes."""
        known = dict(self.source(settings)[0])
        for lookup in self.lookups:
            known.update(lookup.example())
        batch = stack([known] * self.local_size(settings))
        if self._copies is not None:
            batch["copy"] = self._copies
        if self.replay(settings):
            batch |= {name: np.zeros(self.local_size(settings), np.int32) for name in (DRAWN_AT, AGAIN)}
        return self._chosen(batch)

    def block_example(self, length: int, settings: Settings = {}) -> Batch:  # noqa: B006
        """What :meth:`blocks` yields, for its shapes."""
        return {key: _repeat(array, (length,)) for key, array in self.example(settings).items()}

    def blocks(
        self, settings: Settings, seeds: int | Sequence[int], start: int, stop: int, length: int
    ) -> Generator[Batch, None, None]:
        """Yields ``{"image": uint8 [length, B, H, W, C], "label": …, "id": …}`` for every ``length`` steps."""
        replay, seed, count = self.replay(settings), cast(int, seeds), self.decoded(settings)
        with train_batches(
            self.source(settings),
            self.sampler(settings, seed),  # of one network
            replay.oldest(start) if replay else start,
            stop,
            num_workers=self.num_workers,
            num_threads=self.num_threads,
            process_index=self.process_index,
            process_count=self.process_count,
            transform=_LookUp(self.lookups) if self.lookups else None,
            crops=self.crops and dataclasses.replace(self.crops, seed=seed),
            copies=self._copies,
        ) as batches:
            shown: Iterator[Batch] = batches
            if replay:
                size = local_batch_size(count, self.process_count)
                mine = slice(self.process_index * size, (self.process_index + 1) * size)
                fresh = ({name: batch[name] for name in self._features} for batch in batches)
                shown = replayed(fresh, replay, seed, start, stop, count, mine)
            for _ in range(start, stop, length):
                several = [self._chosen(next(shown)) for _ in range(length)]
                yield {key: _stacked([batch[key] for batch in several]) for key in several[0]}

    @property
    def _features(self) -> tuple[str, ...]:
        return (*self.features, *(name for lookup in self.lookups for name in lookup.names()))

    def _chosen(self, batch: Batch) -> Batch:
        also = (name for name in (AGAIN, DRAWN_AT) if name in batch)
        return {key: batch[key] for key in (*self._features, *also)}


@dataclasses.dataclass(frozen=True)
class _LookUp:
    """Adds to an example what the tables know of it; reading processes get a copy."""

    lookups: tuple[Lookup, ...]

    def __call__(self, example: Example) -> Example:
        for lookup in self.lookups:
            example = lookup(example)
        return example


def _stacked(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return np.stack(arrays) if len(arrays) > 1 else arrays[0][None]  # not copied once more


def _repeat(array: np.ndarray, lead: tuple[int, ...]) -> np.ndarray:
    return np.broadcast_to(array, (*lead, *array.shape))
