"""Covering a pool: each pick is the example furthest from all that are labelled or picked."""

from functools import partial

import chex
import jax
import jax.numpy as jnp

from effjax.selection.checks import check_count, check_finite

_CHUNK = 256  # labelled examples whose distances are in memory at a time


def k_center_greedy(features: jax.Array, k: int, labelled: jax.Array | None = None) -> jax.Array:
    """Picks k centres greedily: at most twice the radius of the best k.

    Args:
      features: ``[N, D]`` of the pool, finite.
      k: how many, from 1 to N, or to what is not labelled.
      labelled: what is labelled already: their features ``[L, D]``, or their positions in ``features``, ``[L]``
        integers; these are not picked again. With none, the first centre is the example nearest to the mean.

    Returns:
      ``[k]`` int32 positions in the order they were picked, no duplicates; of equal distances the first.

    Raises:
      UserError: if k is out of range or a feature is not finite.

    References:
      Sener & Savarese, `Active Learning for Convolutional Neural Networks: A Core-Set Approach
      <https://arxiv.org/abs/1708.00489>`_, 2018, algorithm 1.
    """
    chex.assert_rank(features, 2)
    check_finite("features", features)
    features = jnp.asarray(features, jnp.float32)
    points, taken = split_labelled(features, labelled)
    check_count(k, len(features) - len(taken))
    # The mean is taken off: distances do not change, and large offsets no longer eat up their digits.
    mean = features.mean(0)
    return _greedy(features - mean, points - mean, taken, k)


def split_labelled(features: jax.Array, labelled: jax.Array | None) -> tuple[jax.Array, jax.Array]:
    """What is labelled, as features ``[L, D]`` and as positions in the pool ``[L]``, empty where it lies outside."""
    nowhere = jnp.zeros(0, jnp.int32)
    if labelled is None or len(labelled) == 0:
        return features[:0], nowhere
    labelled = jnp.asarray(labelled)
    if labelled.ndim == 1:
        chex.assert_type(labelled, int)
        return features[labelled], labelled.astype(jnp.int32)
    check_finite("labelled", labelled)
    chex.assert_equal_shape_suffix([features, labelled], 1)
    return labelled.astype(jnp.float32), nowhere


@partial(jax.jit, static_argnames="k")
def _greedy(features: jax.Array, points: jax.Array, taken: jax.Array, k: int) -> jax.Array:
    squares = (features**2).sum(-1)

    def distances_to(point: jax.Array) -> jax.Array:
        return jnp.maximum(squares - 2.0 * (features @ point) + point @ point, 0.0)

    def pick(nearest: jax.Array, position: jax.Array) -> jax.Array:
        """The distances to the nearest centre, with one more; a centre itself is never the furthest."""
        return jnp.minimum(nearest, distances_to(features[position])).at[position].set(-1.0)

    def step(nearest: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
        position = jnp.argmax(nearest)
        return pick(nearest, position), position

    if len(points):
        nearest = _nearest(features, squares, points).at[taken].set(-1.0)
        return jax.lax.scan(step, nearest, None, length=k)[1].astype(jnp.int32)
    first = jnp.argmin(distances_to(jnp.zeros(features.shape[1])))  # the mean has been taken off
    nearest = pick(jnp.full(len(features), jnp.inf), first)
    rest = jax.lax.scan(step, nearest, None, length=k - 1)[1]
    return jnp.concatenate([first[None], rest]).astype(jnp.int32)


def _nearest(features: jax.Array, squares: jax.Array, points: jax.Array) -> jax.Array:
    """Squared distances to the nearest of ``points`` ``[L, D]``, a chunk of them at a time."""
    missing = -len(points) % _CHUNK
    chunks = jnp.concatenate([points, jnp.broadcast_to(points[:1], (missing, points.shape[1]))])

    def chunk(nearest: jax.Array, some: jax.Array) -> tuple[jax.Array, None]:
        distances = squares[:, None] - 2.0 * features @ some.T + (some**2).sum(-1)
        return jnp.minimum(nearest, distances.min(-1)), None

    start = jnp.full(len(features), jnp.inf)
    nearest, _ = jax.lax.scan(chunk, start, chunks.reshape(-1, _CHUNK, points.shape[1]))
    return jnp.maximum(nearest, 0.0)
