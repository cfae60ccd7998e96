"""Which weights may be removed together with which: any, or so many of each group."""

import re
from typing import Any

from effjax.errors import check_known

WEIGHTS = "weights"  # any
STRUCTURES = (WEIGHTS, "2:4", "1:4", "4:8")  # those that are usual; any n:m is known


def n_of_m(structure: str) -> tuple[int, int] | None:
    """What a structure says: n and m of ``"n:m"``, None of ``"weights"``.

    >>> n_of_m("2:4")
    (2, 4)

    Raises:
      UserError: if it is neither.
    """
    if found := _groups(structure):
        return found
    check_known(structure, STRUCTURES, f"pruning.structure={structure!r}")
    return None


def is_structure(value: Any) -> bool:
    """Whether :func:`n_of_m` knows it."""
    return isinstance(value, str) and (value == WEIGHTS or _groups(value) is not None)


def _groups(structure: str) -> tuple[int, int] | None:
    found = re.fullmatch(r"([1-9]\d?):([1-9]\d?)", structure)
    return (int(found[1]), int(found[2])) if found and int(found[1]) < int(found[2]) else None
