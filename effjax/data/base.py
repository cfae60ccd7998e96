"""What a dataset is to the rest of the package: examples by row, each with its global id."""

import copy
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, TypeAlias

import numpy as np

Example: TypeAlias = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class DatasetInfo:
    """What is known of a source without reading its examples.

    Attributes:
        name: as given to ``load``.
        split: as given to ``load``.
        num_examples: how many rows the source has.
        class_names: in the order of the labels.
        image_shape: ``(H, W, C)``, or None where the images differ in size.
    """

    name: str
    split: str
    num_examples: int
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int] | None

    @property
    def num_classes(self) -> int:
        return len(self.class_names)


class Source(Protocol):
    """Random access to examples. Sources can be pickled, so that worker processes read for themselves.

    ``source[row]`` is ``{"image": uint8 [H, W, C], "label": int32 [], "id": int32 [], …}`` with any further numeric
    features of the dataset. The id is the record's index in its whole split, whatever subset is being read.
    """

    info: DatasetInfo

    def __len__(self) -> int: ...

    def __getitem__(self, row: int) -> Example: ...

    def labels(self) -> np.ndarray:
        """``[N]`` int32 labels in row order, read without decoding an image."""
        ...

    def at_size(self, image_size: int) -> "Source":
        """The same examples, their images decoded to squares of so many pixels."""
        ...


class View:
    """A source restricted to some global ids, in the order given. Rows are positions in the view; ids stay global."""

    def __init__(self, source: Source, ids: Sequence[int] | np.ndarray):
        """Makes the view.

        Args:
            source: a whole split or another view.
            ids: ``[n]`` global ids, all of them in ``source``, none twice.

        Raises:
            ValueError: for an id that the source does not have, or has been given twice.
        """
        ids = np.asarray(ids)
        if ids.ndim != 1 or not (np.issubdtype(ids.dtype, np.integer) or ids.size == 0):
            raise ValueError(f"ids must be a list of integers, not {ids.dtype} of shape {ids.shape}")
        if len(np.unique(ids)) != len(ids):
            raise ValueError("an id is given twice")
        missing = np.setdiff1d(ids, global_ids(source))
        if missing.size:
            raise ValueError(f"{missing.size} ids are not in {source.info.name}/{source.info.split}: {missing[:5]}…")
        self.ids = ids.astype(np.int64)
        self.ids.flags.writeable = False
        self.source = source.source if isinstance(source, View) else source
        self.info = dataclasses.replace(source.info, num_examples=len(ids))

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, row: int) -> Example:
        return self.source[int(self.ids[row])]

    def __iter__(self) -> Iterator[Example]:
        return (self[row] for row in range(len(self)))

    def labels(self) -> np.ndarray:
        return self.source.labels()[self.ids]

    def at_size(self, image_size: int) -> "View":
        other = copy.copy(self)  # checking a million ids again would take seconds, at every change of size
        other.source = self.source.at_size(image_size)
        other.info = dataclasses.replace(self.info, image_shape=other.source.info.image_shape)
        return other


def global_ids(source: Source) -> np.ndarray:
    """The global ids of a source's rows, ``[N]``."""
    return source.ids if isinstance(source, View) else np.arange(len(source))


def available_ids(source: Source) -> np.ndarray:
    """The global ids of a source's rows, but for those whose file is gone, ``[n]``."""
    ids, gone = global_ids(source), getattr(source, "gone", ())
    return np.setdiff1d(ids, np.fromiter(gone, np.int64)) if gone else ids


def resized(source: Source, image_size: int) -> Source:
    """A copy of a source that decodes its images to squares of so many pixels, by its ``_image_size``."""
    other = copy.copy(source)
    other._image_size = image_size
    channels = source[0]["image"].shape[-1]
    other.info = dataclasses.replace(source.info, image_shape=(image_size, image_size, channels))
    return other
