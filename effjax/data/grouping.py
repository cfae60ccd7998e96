"""A source whose classes are put together into fewer."""

import copy
import dataclasses
from collections.abc import Sequence

import numpy as np

from effjax.data.base import Example, Source, View
from effjax.errors import UserError, nearest


def group_classes(source: Source, groups: Sequence[tuple[str, Sequence[str]]]) -> Source:
    """Puts a source's classes together; arguments and errors as :class:`Grouped`."""
    if isinstance(source, View):  # a view reads a whole split by its global ids
        return View(Grouped(source.source, groups), source.ids)
    return Grouped(source, groups)


class Grouped:
    """A whole split with other classes: each a group of the source's own. Everything else is the source's.

    Args:
      source: any source.
      groups: ``(name, (names of the source's classes, …))`` of each new class; together they have every class once.

    Raises:
      UserError: for a class that is unknown, in two groups, or in none.
    """

    def __init__(self, source: Source, groups: Sequence[tuple[str, Sequence[str]]]):
        names = source.info.class_names
        new = np.full(len(names), -1, np.int32)
        for index, (_, members) in enumerate(groups):
            for member in members:
                if member not in names:
                    raise UserError(
                        f"data.classes: {source.info.name!r} has no class {member!r}; {nearest(member, names)}"
                    )
                if new[names.index(member)] >= 0:
                    raise UserError(f"data.classes: {member!r} is in two groups")
                new[names.index(member)] = index
        if (new < 0).any():
            raise UserError(f"data.classes: {names[int(np.argmin(new))]!r} is in no group")
        self.source, self._new = source, new
        self.info = dataclasses.replace(source.info, class_names=tuple(name for name, _ in groups))

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, row: int) -> Example:
        example = self.source[row]
        return {**example, "label": self._new[example["label"]]}

    def labels(self) -> np.ndarray:
        return self._new[self.source.labels()]

    def at_size(self, image_size: int) -> "Grouped":
        other = copy.copy(self)
        other.source = self.source.at_size(image_size)
        other.info = dataclasses.replace(other.source.info, class_names=self.info.class_names)
        return other
