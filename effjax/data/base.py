"""What a dataset is to the rest of the package: examples by row, each with its global id."""

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, Self, TypeAlias, TypeVar, cast

import numpy as np

from effjax.data.photo_crops import PhotoCrops
from effjax.errors import UserError, nearest
from effjax.specs import Spec

Example: TypeAlias = Mapping[str, np.ndarray]
S = TypeVar("S", bound="Source")


@dataclasses.dataclass(frozen=True)
class DatasetInfo:
    """What is known of a source without reading its examples.

    Attributes:
      name: as given to ``load``.
      split: as given to ``load``.
      num_examples: how many rows the source has.
      class_names: in the order of the labels.
      features: what an example has, by name: ``image`` and ``id``, mostly ``label``, and whatever else. A feature
        that is ragged here is stored, but not read: nobody has said how many of its entries fit.
      names: of features whose values are numbers of something with a name, other than ``label``: by feature, the names.
    """

    name: str
    split: str
    num_examples: int
    class_names: tuple[str, ...]
    features: Mapping[str, Spec]
    names: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return len(self.class_names)

    @property
    def image_shape(self) -> tuple[int, int, int] | None:
        """``(H, W, C)``, or None where the images differ in size."""
        image = self.features["image"]
        return None if image.is_ragged else cast("tuple[int, int, int]", image.shape)

    def at_size(self, image_size: int) -> "DatasetInfo":
        """The same with square images of so many pixels."""
        image = Spec(np.uint8, (image_size, image_size, self.features["image"].shape[-1]))
        return dataclasses.replace(self, features={**self.features, "image": image})


def labelled_images(shape: Sequence[int | None]) -> dict[str, Spec]:
    """The features of images ``[H, W, C]`` with a class each."""
    return {"image": Spec(np.uint8, tuple(shape)), "label": Spec(np.int32), "id": Spec(np.int32)}


class Source(Protocol):
    """Random access to examples. Sources can be pickled, so that worker processes read for themselves.

    ``source[row]`` is ``{"image": uint8 [H, W, C], "label": int32 [], "id": int32 [], …}`` with all features of
    ``info`` that are not ragged. The id is the record's index in its whole split, whatever subset is being read.
    """

    info: DatasetInfo

    def __len__(self) -> int: ...

    def __getitem__(self, row: int) -> Example: ...

    def cut(self, row: int, crops: PhotoCrops) -> Example:
        """The example of a row, its image a random part of its photo, as large as the source decodes them.

        Boxes follow; those that are lost are left out.

        Raises:
          UserError: if its images are no photos that can be cut, what is known of places in them would not follow, or
            there is no room for all boxes of the photo.
        """
        ...

    def ids(self) -> np.ndarray:
        """The global ids of the rows, ``[N]``."""
        ...

    def column(self, name: str) -> np.ndarray:
        """One feature of all rows, ``[N, …]``, read without decoding an image.

        Raises:
          UserError: if there is no such feature, or it is the image.
        """
        ...

    def at_size(self, image_size: int) -> "Source":
        """The same examples, their images decoded to squares of so many pixels."""
        ...


class Subset:
    """A source restricted to some global ids, in the order given. Rows are positions in it; ids stay global."""

    def __init__(self, source: Source, ids: Sequence[int] | np.ndarray):
        """Makes the subset.

        Args:
          source: a whole split, whose rows are its ids, or another subset.
          ids: ``[n]`` global ids, all of them in ``source``, none twice.

        Raises:
          ValueError: for an id that the source does not have, or has been given twice.
        """
        ids = np.asarray(ids)
        if ids.ndim != 1 or not (np.issubdtype(ids.dtype, np.integer) or ids.size == 0):
            raise ValueError(f"ids must be a list of integers, not {ids.dtype} of shape {ids.shape}")
        if len(np.unique(ids)) != len(ids):
            raise ValueError("an id is given twice")
        missing = np.setdiff1d(ids, source.ids())
        if missing.size:
            raise ValueError(f"{missing.size} ids are not in {source.info.name}/{source.info.split}: {missing[:5]}…")
        self._ids = ids.astype(np.int64)
        self._ids.flags.writeable = False
        self.source = source.source if isinstance(source, Subset) else source
        self.info = dataclasses.replace(source.info, num_examples=len(ids))

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, row: int) -> Example:
        return self.source[int(self._ids[row])]

    def cut(self, row: int, crops: PhotoCrops) -> Example:
        return self.source.cut(int(self._ids[row]), crops)

    def __iter__(self) -> Iterator[Example]:
        return (self[row] for row in range(len(self)))

    def ids(self) -> np.ndarray:
        return self._ids

    def column(self, name: str) -> np.ndarray:
        return self.source.column(name)[self._ids]

    def at_size(self, image_size: int) -> "Subset":
        return self.of(self.source.at_size(image_size))

    def of(self, source: Source) -> "Subset":
        """The same ids of another form of the whole split."""
        other = copy.copy(self)  # checking a million ids again would take seconds, at every change of size
        other.source = source
        kept = {"split": self.info.split, "num_examples": len(self)}
        other.info = dataclasses.replace(source.info, **kept)
        return other


class MappedSource:
    """A whole split some of whose features are computed from what is stored; everything else is the source's.

    A subset's examples are changed by changing its whole split: :func:`on_whole`.
    """

    def __init__(
        self,
        source: Source,
        changes: Mapping[str, Callable[[Any, np.ndarray], np.ndarray]],
        *,
        class_names: Sequence[str] | None = None,
        specs: Mapping[str, Spec] | None = None,
    ):
        """Makes the source.

        Args:
          source: a whole split.
          changes: by feature, a function from what the source has there (None if nothing) and the global ids to the
            values: of one example, and of a column ``[N, …]`` with ids ``[N]``. They can be pickled.
          class_names: of the classes then; None: the source's.
          specs: of features that look otherwise than in the source.
        """
        self.source, self._changes = source, dict(changes)
        names = source.info.class_names if class_names is None else tuple(class_names)
        features = {**source.info.features, **(specs or {})}
        self.info = dataclasses.replace(source.info, class_names=names, features=features)

    def __len__(self) -> int:
        return len(self.source)

    def __iter__(self) -> Iterator[Example]:
        return (self[row] for row in range(len(self)))

    def __getitem__(self, row: int) -> Example:
        return self._changed(self.source[row])

    def cut(self, row: int, crops: PhotoCrops) -> Example:
        return self._changed(self.source.cut(row, crops))

    def _changed(self, example: Example) -> Example:
        changed = {name: change(example.get(name), example["id"]) for name, change in self._changes.items()}
        return {**example, **changed}

    def ids(self) -> np.ndarray:
        return self.source.ids()

    def column(self, name: str) -> np.ndarray:
        if name not in self._changes:
            return self.source.column(name)
        stored = self.source.column(name) if name in self.source.info.features else None
        return self._changes[name](stored, self.ids())

    def at_size(self, image_size: int) -> Self:
        other = copy.copy(self)
        other.source, other.info = self.source.at_size(image_size), self.info.at_size(image_size)
        return other


def on_whole(source: Source, change: Callable[[Source], Source]) -> Source:
    """Changes a source; a subset by changing the whole split that it reads by global id."""
    return source.of(change(source.source)) if isinstance(source, Subset) else change(source)


def stored(source: Source) -> Any:
    """What subsets, groups and whatever else keeps the ids look at."""
    while hasattr(source, "source"):
        source = cast(Any, source).source
    return source


def available_ids(source: Source) -> np.ndarray:
    """The global ids of a source's rows, but for those whose file is gone, ``[n]``."""
    ids, gone = source.ids(), getattr(source, "gone", ())
    return np.setdiff1d(ids, np.fromiter(gone, np.int64)) if gone else ids


def resized(source: S, image_size: int) -> S:
    """A copy of a source that decodes its images to squares of so many pixels, by its ``_image_size``."""
    other = copy.copy(source)
    vars(other).update(_image_size=image_size, info=source.info.at_size(image_size))
    return other


def at_crop_pct(source: S, crop_pct: float) -> S:
    """A copy of a source that decodes so much of the middle of its images, by its ``_crop_pct``."""
    other = copy.copy(source)
    vars(other).update(_crop_pct=crop_pct)
    return other


def no_column(source: Source, name: str) -> UserError:
    """The error for a column that a source does not have."""
    return UserError(
        f"{source.info.name!r} has no column {name!r}; {nearest(name, {*source.info.features} - {'image'})}"
    )


def cannot_cut(source: Source, why: str) -> UserError:
    """The error for photos that are not cut at random where they are decoded, with the reason."""
    return UserError(
        f"config.view.crop_from='photo': {source.info.name!r} {why}: use 'image', which cuts what has been decoded"
    )
