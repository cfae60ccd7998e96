"""What every selector refuses, said the same way."""

from typing import Any

import jax
import numpy as np

from effjax.errors import UserError


def check_count(k: int, available: int) -> None:
    """Refuses a number of picks that is not a whole number from 1 to ``available``.

    Raises:
      UserError: naming both.
    """
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or not 1 <= k <= available:
        raise UserError(f"k={k!r} must be a whole number from 1 to {available}, the examples there are to pick from")


def check_positions(name: str, positions: Any, count: int) -> np.ndarray:
    """Refuses what is not an array of positions in a pool of ``count``; returns them.

    Raises:
      UserError: naming the array and the first that is out of range.
    """
    positions = np.asarray(positions)
    if not np.issubdtype(positions.dtype, np.integer):
        raise UserError(f"{name}: positions must be integers, not {positions.dtype}")
    outside = positions[(positions < 0) | (positions >= count)]
    if len(outside):
        raise UserError(f"{name}: {outside[0]} is no position in a pool of {count}")
    return positions


def check_finite(name: str, array: Any) -> None:
    """Refuses NaN and infinity, where the values are there to be looked at: inside jit they are not.

    Raises:
      UserError: naming the array and the first example that has them.
    """
    if isinstance(array, jax.core.Tracer):
        return
    with np.errstate(over="ignore"):  # what float32 cannot hold is infinite to every selector
        bad = ~np.isfinite(np.asarray(array, np.float32))
    if bad.any():
        first = np.argwhere(bad)[0].tolist()
        raise UserError(f"{name}: {bad.sum()} values are not finite, the first at {first}; mend the network first")
