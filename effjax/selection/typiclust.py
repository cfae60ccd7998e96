"""For few labels: the most typical example of each region that has none."""

import chex
import jax
import jax.numpy as jnp
import numpy as np

from effjax.numerics import check_finite
from effjax.selection.checks import check_count
from effjax.selection.k_center import split_labelled
from effjax.selection.k_means import k_means
from effjax.selection.pools import bucket
from effjax.selection.products import in_range
from effjax.selection.ties import lots
from effjax.typing import Array

_MOST_CLUSTERS, _LEAST_SIZE, _MOST_NEIGHBOURS = 500, 5, 20  # as published
_CHUNK_ELEMENTS = 2**22  # of the distances in a cluster that are in memory at a time: 16 MiB


def typiclust(key: jax.Array, features: Array, k: int, labelled: Array | None = None) -> jax.Array:
    """Clusters pool and labelled examples, and picks the most typical of the clusters with the fewest labels.

    There are as many clusters as labels after this batch, at most 500. Clusters of 5 or fewer are dropped while there
    are others. An example's typicality is one over its mean distance to its nearest neighbours in its cluster, 20 at
    most. Of clusters with equally many labels the largest comes first; once all have been visited they are again.

    Args:
      key: a PRNG key, for the clusters, and the lots that tell equally typical examples apart.
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
    points, free = split_labelled(features, labelled)
    check_count(k, int(free.sum()))
    outside = points if free.all() else points[:0]
    everything = np.concatenate([np.asarray(array, np.float32) for array in in_range(features, outside)])
    is_labelled = np.concatenate([~free, np.ones(len(outside), bool)])
    cluster = k_means(key, everything, min(int(is_labelled.sum()) + k, _MOST_CLUSTERS))
    drawn = np.asarray(lots(key, np.arange(bucket(len(everything)))))
    return jnp.asarray(_pick(everything, np.asarray(cluster), is_labelled, drawn, k), jnp.int32)


def _pick(features: np.ndarray, cluster: np.ndarray, is_labelled: np.ndarray, drawn: np.ndarray, k: int) -> list[int]:
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
            ranked[best] = sorted(free[best].tolist(), key=lambda i: (-typical[i], drawn[i]))
        chosen.append(ranked[best].pop(0))
        free[best] = np.asarray(ranked[best])
        labels[best] += 1
    return chosen


def _typicality(members: np.ndarray) -> np.ndarray:
    """One over the mean distance to the nearest neighbours, ``[n]``.

    By numpy: a program of JAX would be compiled for every size that a cluster can have.
    """
    total = len(members)
    count = min(_MOST_NEIGHBOURS, total - 1)
    if count == 0:
        return np.ones(1)
    members = members - members.mean(0)
    squares = (members**2).sum(-1)
    typical = np.empty(total)
    for rows in np.array_split(np.arange(total), -(-(total**2) // _CHUNK_ELEMENTS)):
        distances = squares[rows, None] + squares - 2.0 * members[rows] @ members.T
        distances[np.arange(len(rows)), rows] = np.inf
        nearest = np.partition(distances, count - 1, axis=-1)[:, :count]
        typical[rows] = 1.0 / np.maximum(np.sqrt(np.maximum(nearest, 0.0)).mean(-1), 1e-12)
    return typical
