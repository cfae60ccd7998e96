"""A source whose classes are put together into fewer."""

import functools
from collections.abc import Sequence

import numpy as np

from effjax.data.base import MappedSource, Source, on_whole
from effjax.errors import UserError, check_known


def group_classes(source: Source, groups: Sequence[tuple[str, Sequence[str]]]) -> Source:
    """Gives a source other classes, each a group of its own; everything else stays.

    Args:
      source: any source with labels.
      groups: ``(name, (names of the source's classes, …))`` of each new class; together they have every class once.

    Raises:
      UserError: for a class that is unknown, in two groups, or in none.
    """
    names = source.info.class_names
    new = np.full(len(names), -1, np.int32)
    for index, (_, members) in enumerate(groups):
        for member in members:
            check_known(member, names, f"data.classes: {source.info.name!r} has no class {member!r}")
            if new[names.index(member)] >= 0:
                raise UserError(f"data.classes: {member!r} is in two groups")
            new[names.index(member)] = index
    if (new < 0).any():
        raise UserError(f"data.classes: {names[int(np.argmin(new))]!r} is in no group")
    changes = {"label": functools.partial(_group_of, new)}
    return on_whole(source, lambda whole: MappedSource(whole, changes, class_names=[name for name, _ in groups]))


def _group_of(new: np.ndarray, labels: np.ndarray, ids: np.ndarray) -> np.ndarray:
    return new[labels]
