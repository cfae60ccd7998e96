"""Several sets as one source, so that a run may draw now from one, now from another, now from all."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from effjax.data.base import Example, Source, Subset
from effjax.data.photo_crops import PhotoCrops
from effjax.errors import UserError


class JoinedSource:
    """Sources one after the other. Rows and global ids go on from one to the next; those of the first stay as they are.

    Args:
      sources: of the same classes, and images of one shape.

    Raises:
      UserError: if classes or shapes differ.
    """

    def __init__(self, sources: Sequence[Source]):
        first = sources[0].info
        for source in sources[1:]:
            for fact in ("class_names", "image_shape"):
                ours, theirs = getattr(first, fact), getattr(source.info, fact)
                if ours != theirs:
                    raise UserError(f"{source.info.name!r} has {fact} {theirs}, {first.name!r} has {ours}")
        self.sources = tuple(sources)
        self.info = dataclasses.replace(first, num_examples=sum(len(source) for source in sources))
        self._starts = np.cumsum([0, *(len(source) for source in sources)])
        self._first_ids = np.cumsum([0, *(_num_ids(source) for source in sources)])

    def __len__(self) -> int:
        return self.info.num_examples

    def __iter__(self) -> Iterator[Example]:
        return (self[row] for row in range(len(self)))

    def __getitem__(self, row: int) -> Example:
        part = int(np.searchsorted(self._starts, row, "right")) - 1
        example = self.sources[part][int(row - self._starts[part])]
        return {**example, "id": example["id"] + np.int32(self._first_ids[part])}

    def cut(self, row: int, crops: PhotoCrops) -> Example:
        part = int(np.searchsorted(self._starts, row, "right")) - 1
        first = int(self._first_ids[part])
        example = self.sources[part].cut(int(row - self._starts[part]), crops.of_ids_from(first))
        return {**example, "id": example["id"] + np.int32(first)}

    def column(self, name: str) -> np.ndarray:
        if name == "id":
            return self.ids()
        return np.concatenate([source.column(name) for source in self.sources])

    def rows_of(self, part: int) -> np.ndarray:
        """The rows ``[n]`` of one of the sources."""
        return np.arange(self._starts[part], self._starts[part + 1])

    @property
    def num_ids(self) -> int:
        """Ids are below this."""
        return int(self._first_ids[-1])

    def ids(self) -> np.ndarray:
        """The global ids of the rows, ``[N]``."""
        parts = zip(self.sources, self._first_ids, strict=False)
        return np.concatenate([source.ids() + first for source, first in parts])

    def at_size(self, image_size: int) -> "JoinedSource":
        """The same examples, decoded to squares of so many pixels."""
        return JoinedSource([source.at_size(image_size) for source in self.sources])


def _num_ids(source: Source) -> int:
    """Of a subset, the whole split's: its ids may lie anywhere in it."""
    return len(source.source if isinstance(source, Subset) else source)
