"""Clusters."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from effjax.selection.pools import bucket, padded
from effjax.selection.products import centred, distances_to, product
from effjax.typing import Array

_ROUNDS = 25  # at most; the clusters need not be exact
_SLOTS = 64  # for clusters: as many more of them, at most, cost less than compiling for each number


def k_means(key: jax.Array, features: Array, num_clusters: int) -> jax.Array:
    """Lloyd's k-means from a k-means++ start.

    Args:
      key: a PRNG key.
      features: ``[N, D]``.
      num_clusters: at most N.

    Returns:
      ``[N]`` int32 clusters; one may be empty, where examples are alike.

    References:
      Arthur & Vassilvitskii, `k-means++: The Advantages of Careful Seeding
      <https://dl.acm.org/doi/10.5555/1283383.1283494>`_, 2007.
    """
    count, slots = len(features), bucket(int(num_clusters), _SLOTS)
    return _k_means(key, padded(features), count, num_clusters, slots)[:count]


@partial(jax.jit, static_argnames="slots")
def _k_means(key: jax.Array, features: jax.Array, count: int, num_clusters: int, slots: int) -> jax.Array:
    """The clusters of the first ``count`` rows, of which the first ``num_clusters`` of so many slots are used."""
    there = jnp.arange(len(features)) < count
    _, features = centred(features, there)
    squares = (features**2).sum(-1)
    is_used = jnp.arange(slots) < num_clusters

    def assign(centres: jax.Array) -> jax.Array:
        distances = (centres**2).sum(-1) - 2.0 * product(features, centres.T)
        nearest = jnp.argmin(jnp.where(is_used, distances, jnp.inf), axis=-1)
        return jnp.where(there, nearest, slots)  # the padding is in none, and is left out of the sums

    def lloyd(state: _State) -> _State:
        sums = jax.ops.segment_sum(features, state.cluster, slots)
        counts = jax.ops.segment_sum(jnp.ones(len(features)), state.cluster, slots)[:, None]
        centres = jnp.where(counts > 0, sums / jnp.maximum(counts, 1.0), state.centres)
        cluster = assign(centres)
        return _State(state.round + 1, centres, cluster, (cluster != state.cluster).any())

    centres = _seeds(key, features, squares, there, slots)
    start = _State(jnp.zeros((), jnp.int32), centres, assign(centres), jnp.ones((), bool))
    return jax.lax.while_loop(lambda state: state.moves & (state.round < _ROUNDS), lloyd, start).cluster


class _State(NamedTuple):
    """Of Lloyd's algorithm: ``moves`` says whether the last round has changed a cluster."""

    round: jax.Array
    centres: jax.Array
    cluster: jax.Array
    moves: jax.Array


def _seeds(key: jax.Array, features: jax.Array, squares: jax.Array, there: jax.Array, slots: int) -> jax.Array:
    """Centres ``[slots, D]``, each drawn by its squared distance to those before it."""

    def seed(nearest: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        weights = jnp.where(there, jnp.log(jnp.maximum(nearest, 1e-30)), -jnp.inf)
        centre = features[jnp.argmax(weights + jax.random.gumbel(key, nearest.shape))]
        return jnp.minimum(nearest, distances_to(centre, features, squares)), centre

    _, first = seed(jnp.ones(len(features)), jax.random.fold_in(key, 0))  # all alike
    keys = jax.random.split(jax.random.fold_in(key, 1), slots - 1)
    rest = jax.lax.scan(seed, distances_to(first, features, squares), keys)[1]
    return jnp.concatenate([first[None], rest])
