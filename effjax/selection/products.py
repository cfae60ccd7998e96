"""Products and squared distances in full float32.

GPUs and TPUs multiply matrices with 8 to 11 bits unless told otherwise: too few for distances, which are small
differences of large squares.
"""

import math
from functools import partial
from typing import Any

import jax
import jax.core
import jax.numpy as jnp
import numpy as np

from effjax.numerics import EXACT

_WIDEST = 40  # in bits: of larger and smaller numbers squares, sums of squares and their products leave float32

product = partial(jnp.matmul, precision=EXACT)


def in_range(*arrays: Any) -> tuple[Any, ...]:
    """Scales arrays alike where float32 cannot hold their squares, so that products and distances keep their order.

    By a power of two, which loses no digit; numbers of a usual size stay as they are. Inside a program nothing is done:
    the values are not there to be looked at.
    """
    if any(isinstance(array, jax.core.Tracer) for array in arrays):
        return arrays
    arrays = tuple(np.asarray(array) for array in arrays)
    arrays = tuple(array if array.dtype == np.float64 else array.astype(np.float32, copy=False) for array in arrays)
    exponent = math.frexp(max((float(max(a.max(), -a.min())) for a in arrays if a.size), default=0.0))[1]
    if abs(exponent) <= _WIDEST:
        return arrays
    return tuple(np.ldexp(array, -exponent) for array in arrays)


def centred(features: jax.Array, there: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Takes the mean of the rows that are ``there`` ``[N]`` off all ``[N, D]``; returns it and what is left.

    Distances do not change, and large offsets no longer eat up their digits. The mean is a product: on CPU jaxlib 0.10
    sums over a leading axis 50 times slower.
    """
    there = there.astype(features.dtype)
    mean = product(there / there.sum(), features)
    return mean, features - mean
