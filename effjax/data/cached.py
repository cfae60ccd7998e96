"""A source that is read again and again and is small enough to be decoded once."""

from typing import Any, Self

from effjax.data.base import Example, MappedSource, Source, on_whole
from effjax.data.resident import nbytes


def cached(source: Source, most_bytes: float) -> Source:
    """Makes a source remember what has been read of it, if all its images together take no more than ``most_bytes``.

    What has never been read takes no memory. Worker processes begin with an empty memory.
    """
    return source if nbytes(source) > most_bytes else on_whole(source, CachedSource)


class CachedSource(MappedSource):
    """A whole split that remembers its examples.

    Args:
      source: any source but a subset.
    """

    def __init__(self, source: Source):
        super().__init__(source, {})
        self._examples: dict[int, Example] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_examples": {}}

    def __getitem__(self, row: int) -> Example:
        row = int(row)
        if row not in self._examples:
            example = self.source[row]
            example["image"].flags.writeable = False  # whoever changed it would change it for all
            self._examples[row] = example
        return dict(self._examples[row])

    def at_size(self, image_size: int) -> Self:
        return type(self)(self.source.at_size(image_size))
