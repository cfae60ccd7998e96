"""Clusters."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from effjax.selection.plus_plus import nearer, plus_plus, without
from effjax.selection.pools import bucket, padded
from effjax.selection.products import centred, product
from effjax.typing import Array

_ROUNDS = 25  # at most; the clusters need not be exact
_STILL = 1000  # of so many examples one may still move
_SLOTS = 64  # for clusters: as many more of them, at most, cost less than compiling for each number


def k_means(key: jax.Array, features: Array, num_clusters: int) -> jax.Array:
    """Lloyd's k-means from a k-means++ start, until no more than one example in a thousand changes its cluster.

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
        return _State(state.round + 1, centres, cluster, (cluster != state.cluster).sum() > count // _STILL)

    centres = _seeds(key, _Points(features, squares), there, slots, num_clusters)
    start = _State(jnp.zeros((), jnp.int32), centres, assign(centres), jnp.ones((), bool))
    return jax.lax.while_loop(lambda state: state.moves & (state.round < _ROUNDS), lloyd, start).cluster


class _State(NamedTuple):
    """Of Lloyd's algorithm: ``moves`` says whether the last round has changed enough for another."""

    round: jax.Array
    centres: jax.Array
    cluster: jax.Array
    moves: jax.Array


class _Points(NamedTuple):
    """Features ``[N, D]`` and their squared lengths ``[N]``."""

    features: jax.Array
    squares: jax.Array

    def at(self, positions: jax.Array) -> "_Points":
        return _Points(self.features[positions], self.squares[positions])

    def apart(self, others: "_Points") -> jax.Array:
        """Squared distances ``[N, P]`` to others."""
        return jnp.maximum(
            self.squares[:, None] - 2.0 * product(self.features, others.features.T) + others.squares, 0.0
        )

    def nearer(self, nearest: jax.Array, picked: "_Points", alive: jax.Array) -> jax.Array:
        """Squared distances ``[N]`` to the nearest pick, with those of ``picked`` ``[P]`` that are alive."""
        return nearer(self, nearest, picked, alive)

    def without(self, nearest: jax.Array, positions: jax.Array) -> jax.Array:
        """Distances ``[N]``, -1 of those at some positions."""
        return without(nearest, positions)


def _seeds(key: jax.Array, pool: _Points, there: jax.Array, slots: int, wanted: int) -> jax.Array:
    """Centres ``[slots, D]``, of which so many are drawn, each by its squared distance to those before it."""
    first = jnp.argmax(jnp.where(there, jax.random.gumbel(jax.random.fold_in(key, 0), there.shape), -jnp.inf))
    nearest = jnp.where(there, jnp.inf, -1.0)
    return pool.features[plus_plus(jax.random.fold_in(key, 1), pool, nearest, first, slots, wanted)]
