"""What every selector refuses, said the same way."""

from typing import Any

import numpy as np

from effjax.errors import UserError


def check_count(k: int, available: int) -> None:
    """Refuses a number of picks that is not a whole number from 1 to ``available``.

    Raises:
      UserError: naming both.
    """
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or not 1 <= k <= available:
        raise UserError(f"k={k!r} must be a whole number from 1 to {available}, the examples there are to pick from")


def check_positions(name: str, positions: Any, count: int, what: str = "position in a pool of") -> np.ndarray:
    """Refuses what is not an array of positions in a pool of ``count``, or of ``what`` else; returns them.

    Raises:
      UserError: naming the array and the first that is out of range.
    """
    positions = np.asarray(positions)
    if not np.issubdtype(positions.dtype, np.integer):
        raise UserError(f"{name}: positions must be integers, not {positions.dtype}")
    outside = positions[(positions < 0) | (positions >= count)]
    if len(outside):
        raise UserError(f"{name}: {outside[0]} is no {what} {count}")
    return positions
