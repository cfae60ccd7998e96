"""For few labels: the most typical example of each region that has none."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np

from effjax.selection.checks import check_count, check_finite
from effjax.selection.k_center import split_labelled

_MOST_CLUSTERS, _LEAST_SIZE, _MOST_NEIGHBOURS = 500, 5, 20  # as published
_ROUNDS = 25  # of k-means; the clusters need not be exact


def typiclust(key: jax.Array, features: jax.Array, k: int, labelled: jax.Array | None = None) -> jax.Array:
    """Clusters pool and labelled examples, and picks the most typical of the clusters with the fewest labels.

    There are as many clusters as labels after this batch, at most 500. Clusters of 5 or fewer are dropped while there
    are others. An example's typicality is one over its mean distance to its nearest neighbours in its cluster, 20 at
    most. Of clusters with equally many labels the largest comes first; once all have been visited they are again.

    Args:
      key: a PRNG key, for the clusters.
      features: ``[N, D]`` of the pool, finite; of a self-supervised network, at best.
      k: how many, from 1 to N, or to what is not labelled.
      labelled: features ``[L, D]`` or positions ``[L]`` of what is labelled, see :func:`k_center_greedy`.

    Returns:
      ``[k]`` int32 positions in the order they were picked, no duplicates.

    Raises:
      UserError: if k is out of range or a feature is not finite.

    References:
      Hacohen et al., `Active Learning on a Budget: Opposite Strategies Suit High and Low Budgets
      <https://arxiv.org/abs/2202.02794>`_, 2022, algorithm 1.
    """
    chex.assert_rank(features, 2)
    check_finite("features", features)
    features = jnp.asarray(features, jnp.float32)
    points, taken = split_labelled(features, labelled)
    check_count(k, len(features) - len(taken))
    outside = points if not len(taken) else points[:0]
    everything = jnp.concatenate([features, outside])
    num_clusters = min(len(points) + k, _MOST_CLUSTERS, len(everything))
    cluster = np.asarray(k_means(key, everything, num_clusters))
    is_labelled = np.zeros(len(everything), bool)
    is_labelled[np.asarray(taken)] = True
    is_labelled[len(features) :] = True
    return jnp.asarray(_pick(np.asarray(everything), cluster, is_labelled, k), jnp.int32)


def _pick(features: np.ndarray, cluster: np.ndarray, is_labelled: np.ndarray, k: int) -> list[int]:
    """Goes through the clusters, those with the fewest labels first, of these the largest."""
    labels = np.bincount(cluster[is_labelled], minlength=cluster.max() + 1)
    sizes = np.bincount(cluster)
    free = {c: np.flatnonzero((cluster == c) & ~is_labelled) for c in range(len(sizes))}
    ranked: dict[int, list[int]] = {}
    chosen: list[int] = []
    while len(chosen) < k:
        open_clusters = [c for c in free if len(free[c])]
        large = [c for c in open_clusters if sizes[c] > _LEAST_SIZE] or open_clusters
        best = min(large, key=lambda c: (labels[c], -sizes[c], c))
        if best not in ranked:
            members = np.flatnonzero(cluster == best)
            typical = dict(zip(members.tolist(), _typicality(features[members]).tolist(), strict=True))
            ranked[best] = sorted(free[best].tolist(), key=lambda i: (-typical[i], i))
        chosen.append(ranked[best].pop(0))
        free[best] = np.asarray(ranked[best])
        labels[best] += 1
    return chosen


def _typicality(members: np.ndarray) -> np.ndarray:
    """One over the mean distance to the nearest neighbours, ``[n]``."""
    count = min(_MOST_NEIGHBOURS, len(members) - 1)
    if count == 0:
        return np.ones(1)
    return np.asarray(_inverse_distance(jnp.asarray(members), count))


def _inverse_distance(members: jax.Array, count: int) -> jax.Array:
    squares = (members**2).sum(-1)
    distances = jnp.maximum(squares[:, None] + squares - 2.0 * members @ members.T, 0.0)
    distances = distances.at[jnp.arange(len(members)), jnp.arange(len(members))].set(jnp.inf)
    nearest = -jax.lax.top_k(-distances, count)[0]
    return 1.0 / jnp.maximum(jnp.sqrt(nearest).mean(-1), 1e-12)


@partial(jax.jit, static_argnames="num_clusters")
def k_means(key: jax.Array, features: jax.Array, num_clusters: int) -> jax.Array:
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
    features = features - features.mean(0)
    squares = (features**2).sum(-1)

    def seed(nearest: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        position = jnp.argmax(jnp.log(jnp.maximum(nearest, 1e-30)) + jax.random.gumbel(key, nearest.shape))
        centre = features[position]
        return jnp.minimum(nearest, jnp.maximum(squares - 2 * (features @ centre) + centre @ centre, 0.0)), centre

    start = jnp.ones(len(features))  # all alike; the first distances are below or above it, so it is replaced
    _, first = seed(start, jax.random.fold_in(key, 0))
    nearest = jnp.maximum(squares - 2 * (features @ first) + first @ first, 0.0)
    keys = jax.random.split(jax.random.fold_in(key, 1), num_clusters - 1) if num_clusters > 1 else None
    centres = first[None]
    if keys is not None:
        centres = jnp.concatenate([centres, jax.lax.scan(seed, nearest, keys)[1]])

    def assign(centres: jax.Array) -> jax.Array:
        return jnp.argmin((centres**2).sum(-1) - 2 * features @ centres.T, axis=-1)

    def lloyd(_: int, centres: jax.Array) -> jax.Array:
        cluster = assign(centres)
        sums = jax.ops.segment_sum(features, cluster, num_clusters)
        counts = jax.ops.segment_sum(jnp.ones(len(features)), cluster, num_clusters)
        return jnp.where(counts[:, None] > 0, sums / jnp.maximum(counts, 1)[:, None], centres)

    return assign(jax.lax.fori_loop(0, _ROUNDS, lloyd, centres)).astype(jnp.int32)
