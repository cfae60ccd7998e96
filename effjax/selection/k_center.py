"""Covering a pool: each pick is the example furthest from all that are labelled or picked."""

from functools import partial
from typing import Any

import chex
import jax
import jax.core
import jax.numpy as jnp
import numpy as np

from effjax.numerics import check_finite
from effjax.selection.checks import check_count, check_positions
from effjax.selection.pools import bucket, padded
from effjax.selection.products import centred, distances_to, in_range, product
from effjax.selection.ties import highest_one, lots
from effjax.typing import Array

_CHUNK = 256  # labelled examples whose distances are in memory at a time


def k_center_greedy(
    features: Array, k: int, labelled: Array | None = None, *, key: jax.Array | None = None
) -> jax.Array:
    """Picks k centres greedily: at most twice the radius of the best k.

    Args:
      features: ``[N, D]`` of the pool, finite.
      k: how many, from 1 to N, or to what is not labelled.
      labelled: what is labelled already: their features ``[L, D]``, or their positions in ``features``, ``[L]``
        integers; these are not picked again. With none, the first centre is the example nearest to the mean.
      key: a PRNG key, of the lots that tell equal distances apart; None is always the same one.

    Returns:
      ``[k]`` int32 positions in the order they were picked, no duplicates.

    Raises:
      UserError: if k or a position is out of range or a feature is not finite.

    Example:
      >>> k_center_greedy(jnp.array([[0.0], [1.0], [10.0], [4.0]]), 2, labelled=jnp.array([0]))  # the furthest, twice
      Array([2, 3], dtype=int32)

    References:
      Sener & Savarese, `Active Learning for Convolutional Neural Networks: A Core-Set Approach
      <https://arxiv.org/abs/1708.00489>`_, 2018, algorithm 1.
    """
    chex.assert_rank(features, 2)
    check_finite("features", features)
    points, free = split_labelled(features, labelled)
    check_count(k, int(free.sum()))
    features, points = in_range(features, points)
    if len(points):
        points = padded(points, least=_CHUNK, fill=points[:1])
    drawn = lots(key, np.arange(bucket(len(features))))
    return _greedy(padded(features), points, padded(free, dtype=bool), drawn, k)


def split_labelled(features: Array, labelled: Any) -> tuple[Array, np.ndarray]:
    """What is labelled: its features ``[L, D]``, and which of the pool may still be picked, ``[N]``."""
    free = np.ones(len(features), bool)
    if labelled is None or len(labelled) == 0:
        return np.zeros((0, features.shape[1]), np.float32), free
    if np.ndim(labelled) == 1:
        positions = check_positions("labelled", labelled, len(features))
        free[positions] = False
        return (features if isinstance(features, jax.core.Tracer) else np.asarray(features))[positions], free
    check_finite("labelled", labelled)
    chex.assert_equal_shape_suffix([features, labelled], 1)
    return labelled, free


@partial(jax.jit, static_argnames="k")
def _greedy(features: jax.Array, points: jax.Array, free: jax.Array, drawn: jax.Array, k: int) -> jax.Array:
    offset, features = centred(features, free)
    squares = (features**2).sum(-1)

    def pick(nearest: jax.Array, position: jax.Array) -> jax.Array:
        """The distances to the nearest centre, with one more; a centre itself is never the furthest."""
        return jnp.minimum(nearest, distances_to(features[position], features, squares)).at[position].set(-1.0)

    def step(nearest: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
        position = highest_one(nearest, drawn)
        return pick(nearest, position), position

    if len(points):
        nearest = jnp.where(free, _nearest(features, squares, points - offset), -1.0)
        return jax.lax.scan(step, nearest, None, length=k)[1].astype(jnp.int32)
    first = highest_one(jnp.where(free, -squares, -jnp.inf), drawn)  # the mean has been taken off
    nearest = pick(jnp.where(free, jnp.inf, -1.0), first)
    rest = jax.lax.scan(step, nearest, None, length=k - 1)[1]
    return jnp.concatenate([first[None], rest]).astype(jnp.int32)


def _nearest(features: jax.Array, squares: jax.Array, points: jax.Array) -> jax.Array:
    """Squared distances to the nearest of ``points`` ``[L, D]``, a chunk of them at a time."""

    def chunk(nearest: jax.Array, some: jax.Array) -> tuple[jax.Array, None]:
        distances = squares[:, None] - 2.0 * product(features, some.T) + (some**2).sum(-1)
        return jnp.minimum(nearest, distances.min(-1)), None

    start = jnp.full(len(features), jnp.inf)
    nearest, _ = jax.lax.scan(chunk, start, points.reshape(len(points) // _CHUNK, _CHUNK, points.shape[1]))
    return jnp.maximum(nearest, 0.0)
