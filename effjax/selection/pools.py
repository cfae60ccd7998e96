"""Pools that shrink from round to round, in few sizes: programs are compiled for shapes, which takes seconds."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.core
import jax.numpy as jnp
import numpy as np

_KEPT_BITS = 3  # after the first one of a size: it grows by an eighth at most
_ALIGNMENT = 64  # bytes
_ROWS_AT_A_TIME = 1 << 16  # of a large pool, so that what is computed of it on the way is small beside it
_CACHED = 1 << 22  # bytes of rows at a time on CPU, where what does not leave the cache is read nearly twice as fast


def bucket(size: int, least: int = 8) -> int:
    """The next of the sizes that programs are compiled for, eight to a doubling.

    Args:
      size: what must fit.
      least: what all sizes are multiples of; a power of two.
    """
    step = max(1 << max(size.bit_length() - 1 - _KEPT_BITS, 0), least)
    return -(-size // step) * step


def padded(
    array: Any, *, axis: int = 0, least: int = 8, fill: Any = 0, dtype: Any = np.float32, place: Any = None
) -> Any:
    """Lengthens an axis to a size that programs are compiled for.

    By numpy where the values are there to be copied: an operation of JAX would itself be compiled for every size. And
    to where a CPU's programs read them as they lie, so that a large pool is not in memory once more.

    Args:
      array: of any type; inside another program it may be traced.
      axis: the one to lengthen.
      least: see :func:`bucket`.
      fill: what it is lengthened with, broadcast.
      dtype: of the result.
      place: a sharding; None is the default device.

    Returns:
      The longer array, the given values first.
    """
    known = not isinstance(array, jax.core.Tracer)
    array = np.asarray(array) if known else jnp.asarray(array, dtype)
    shape, count = list(array.shape), array.shape[axis]
    shape[axis] = bucket(count, least)
    if not known:
        shape[axis] -= count
        return jnp.concatenate([array, jnp.broadcast_to(jnp.asarray(fill, dtype), shape)], axis)
    longer = _aligned(shape, np.dtype(dtype))
    before, after = np.split(longer, [count], axis)
    before[...], after[...] = array, fill
    return jax.device_put(longer, place)


def _aligned(shape: Sequence[int], dtype: np.dtype) -> np.ndarray:
    """An array that begins where JAX takes arrays of the host as they are on CPU, and does not copy them."""
    size = math.prod(shape) * dtype.itemsize
    room = np.empty(size + _ALIGNMENT, np.uint8)
    start = -room.ctypes.data % _ALIGNMENT
    return room[start : start + size].view(dtype).reshape(shape)


def by_rows(function: Any, *arrays: jax.Array) -> jax.Array:
    """``function(*arrays)`` ``[N]``, of row-wise arrays ``[N, …]``: of a large pool some rows at a time.

    As many as keep what is computed on the way small beside the pool; on CPU as many as its cache holds.
    """
    rows = len(arrays[0])
    row = sum(array.nbytes for array in arrays) // rows
    cached = min(1 << (max(_CACHED // max(row, 1), 1).bit_length() - 1), _ROWS_AT_A_TIME)
    if rows <= cached:
        return function(*arrays)
    few, many = (partial(_in_parts, function, most) for most in (cached, _ROWS_AT_A_TIME))
    return jax.lax.platform_dependent(*arrays, cpu=few, default=many)


def _in_parts(function: Any, most: int, *arrays: jax.Array) -> jax.Array:
    rows = len(arrays[0])
    if rows <= most:
        return function(*arrays)
    size = math.gcd(rows, most)
    parts = [array.reshape(rows // size, size, *array.shape[1:]) for array in arrays]
    return jax.lax.map(lambda part: function(*part), parts).reshape(rows)
