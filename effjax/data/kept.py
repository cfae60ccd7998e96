"""A source that is read again and again and is small enough to be decoded once."""

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np

from effjax.data.base import Example, Source, View
from effjax.data.resident import nbytes


def keep(source: Source, most_bytes: float) -> Source:
    """Makes a source remember what has been read of it, if all its images together take no more than ``most_bytes``.

    What has never been read takes no memory. Worker processes begin with an empty memory.
    """
    if nbytes(source) > most_bytes:
        return source
    if not isinstance(source, View):
        return Kept(source)
    other = copy.copy(source)  # a view reads a whole split by its global ids
    other.source = Kept(source.source)
    return other


class Kept:
    """A source that remembers its examples.

    Args:
      source: any source but a view.
    """

    def __init__(self, source: Source):
        self.source, self.info = source, source.info
        self._examples: dict[int, Example] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_examples": {}}

    def __len__(self) -> int:
        return len(self.source)

    def __iter__(self) -> Iterator[Example]:
        return (self[row] for row in range(len(self)))

    def __getitem__(self, row: int) -> Example:
        row = int(row)
        if row not in self._examples:
            example = self.source[row]
            example["image"].flags.writeable = False  # whoever changed it would change it for all
            self._examples[row] = example
        return dict(self._examples[row])

    def labels(self) -> np.ndarray:
        return self.source.labels()

    def at_size(self, image_size: int) -> Source:
        return Kept(self.source.at_size(image_size))
