"""Pools that shrink from round to round, in few sizes: programs are compiled for shapes, which takes seconds."""

import math
from typing import Any

import jax
import jax.core
import jax.numpy as jnp
import numpy as np

_KEPT_BITS = 3  # after the first one of a size: it grows by an eighth at most
_ROWS_AT_A_TIME = 1 << 16  # of a large pool, so that what is computed of it on the way is small beside it


def bucket(size: int, least: int = 8) -> int:
    """The next of the sizes that programs are compiled for, eight to a doubling.

    Args:
      size: what must fit.
      least: what all sizes are multiples of; a power of two.
    """
    step = max(1 << max(size.bit_length() - 1 - _KEPT_BITS, 0), least)
    return -(-size // step) * step


def padded(array: Any, *, axis: int = 0, least: int = 8, fill: Any = 0, dtype: Any = np.float32) -> Any:
    """Lengthens an axis to a size that programs are compiled for.

    By numpy where the values are there to be copied: an operation of JAX would itself be compiled for every size.

    Args:
      array: of any type; inside another program it may be traced.
      axis: the one to lengthen.
      least: see :func:`bucket`.
      fill: what it is lengthened with, broadcast.
      dtype: of the result.

    Returns:
      The longer array, the given values first.
    """
    like = jnp if isinstance(array, jax.core.Tracer) else np
    array = like.asarray(array, dtype)
    missing = list(array.shape)
    missing[axis] = bucket(array.shape[axis], least) - array.shape[axis]
    return like.concatenate([array, like.broadcast_to(like.asarray(fill, dtype), missing)], axis)


def by_rows(function: Any, *arrays: jax.Array) -> jax.Array:
    """``function(*arrays)`` ``[N]``, of row-wise arrays ``[N, …]``, computed some ten thousand rows at a time."""
    rows = len(arrays[0])
    size = rows if rows <= _ROWS_AT_A_TIME else math.gcd(rows, _ROWS_AT_A_TIME)
    if size == rows:
        return function(*arrays)
    parts = [array.reshape(rows // size, size, *array.shape[1:]) for array in arrays]
    return jax.lax.map(lambda part: function(*part), parts).reshape(rows)
