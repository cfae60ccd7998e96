"""Products and squared distances in full float32.

GPUs and TPUs multiply matrices with 8 to 11 bits unless told otherwise: too few for distances, which are small
differences of large squares.
"""

from functools import partial

import jax
import jax.numpy as jnp

product = partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)


def distances_to(point: jax.Array, features: jax.Array, squares: jax.Array) -> jax.Array:
    """Squared distances ``[N]`` of ``features`` ``[N, D]``, whose squared lengths are known, to a point ``[D]``."""
    return jnp.maximum(squares - 2.0 * product(features, point) + product(point, point), 0.0)


def centred(features: jax.Array, there: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Takes the mean of the rows that are ``there`` ``[N]`` off all ``[N, D]``; returns it and what is left.

    Distances do not change, and large offsets no longer eat up their digits. The mean is a product: on CPU jaxlib 0.10
    sums over a leading axis 50 times slower.
    """
    there = there.astype(features.dtype)
    mean = product(there / there.sum(), features)
    return mean, features - mean
