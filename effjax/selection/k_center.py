"""Covering a pool: each pick is the example furthest from all that are labelled or picked.

One pass over the pool for every pick would read all of it from memory each time. Distances to the nearest centre only
shrink, so those of a while ago are bounds: the picks are made among the few hundred examples that were furthest, whose
distances to one another are known, for as long as one of them is as far as any other example can be; then one pass
takes in all that have been picked. The picks are those of one pass each.
"""

from functools import partial
from typing import Any, NamedTuple

import chex
import jax
import jax.core
import jax.numpy as jnp
import numpy as np

from effjax.numerics import check_finite
from effjax.selection.checks import check_count, check_positions
from effjax.selection.passes import CHUNK, Picked, first_picked, taken
from effjax.selection.pools import bucket, by_rows, padded
from effjax.selection.products import in_range, product
from effjax.selection.ties import highest_of, highest_one, lots
from effjax.typing import Array

_HIGHEST_LOT = np.iinfo(np.uint32).max
_FURTHEST = 512  # examples among which picks are made between two passes


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
        points = padded(points, least=CHUNK, fill=points[:1])
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


class _Pool(NamedTuple):
    """Features of a pool ``[N, D]`` with their mean taken off, where they are read: large ones are not copied.

    Distances do not change by it, and large offsets no longer eat up their digits.
    """

    features: jax.Array
    mean: jax.Array
    squares: jax.Array

    @classmethod
    def of(cls, features: jax.Array, free: jax.Array) -> "_Pool":
        weights = free.astype(features.dtype)
        # A product: on CPU jaxlib 0.10 sums over a leading axis 50 times slower.
        mean = product(weights / weights.sum(), features)
        return cls(features, mean, by_rows(lambda rows: ((rows - mean) ** 2).sum(-1), features))

    def at(self, positions: jax.Array) -> jax.Array:
        return self.features[positions] - self.mean

    def nearer(self, nearest: jax.Array, centres: jax.Array, alive: jax.Array) -> jax.Array:
        """Squared distances ``[N]`` to the nearest centre, with those of ``centres`` ``[P, D]`` that are alive."""
        squares = jnp.where(alive, (centres**2).sum(-1), jnp.inf)

        def of_rows(nearest: jax.Array, own: jax.Array, rows: jax.Array) -> jax.Array:
            apart = own + (squares - 2.0 * product(rows - self.mean, centres.T)).min(-1)
            return jnp.minimum(nearest, jnp.maximum(apart, 0.0))

        return by_rows(of_rows, nearest, self.squares, self.features)


@partial(jax.jit, static_argnames="k")
def _greedy(features: jax.Array, points: jax.Array, free: jax.Array, drawn: jax.Array, k: int) -> jax.Array:
    pool, most = _Pool.of(features, free), min(len(features), max(CHUNK, min(_FURTHEST, 4 * k)))

    def passed(picked: Picked) -> Picked:
        candidates = highest_of(picked.nearest, drawn, most)
        order, count = _among(pool, picked.nearest[candidates], drawn[candidates], candidates, k - picked.number)
        return taken(pool, picked, candidates[order], count)

    nearest = jnp.where(free, jnp.inf, -1.0)
    if len(points):
        chunks = (points - pool.mean).reshape(len(points) // CHUNK, CHUNK, points.shape[1])

        def closer(nearest: jax.Array, some: jax.Array) -> tuple[jax.Array, None]:
            return pool.nearer(nearest, some, jnp.ones(CHUNK, bool)), None

        nearest = jax.lax.scan(closer, nearest, chunks)[0]
        picked = Picked(nearest, jnp.zeros(k, jnp.int32), jnp.int32(0), jnp.int32(0))
    else:
        first = highest_one(jnp.where(free, -pool.squares, -jnp.inf), drawn)  # the mean has been taken off
        picked = first_picked(pool, nearest, first, k)
    return jax.lax.while_loop(lambda picked: picked.number < k, passed, picked).picks


def _among(
    pool: _Pool, values: jax.Array, drawn: jax.Array, candidates: jax.Array, most: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Picks among candidates ``[M]`` for as long as no other example of the pool can be further.

    Args:
      pool: the pool.
      values: their distances at the last pass.
      drawn: their lots.
      candidates: their positions.
      most: how many picks are left.

    Returns:
      Numbers of candidates ``[M]`` in the order they are picked, and how many there are of them.
    """
    own, squares = pool.at(candidates), pool.squares[candidates]
    apart = jnp.maximum(squares[:, None] + squares - 2.0 * product(own, own.T), 0.0)
    bound = values.min()
    lot = jnp.where(values == bound, drawn, jnp.uint32(_HIGHEST_LOT)).min()  # of no other example it is higher there

    def goes_on(state: tuple[jax.Array, ...]) -> jax.Array:
        values, best, _, count = state
        beats = (values[best] > bound) | ((values[best] == bound) & (drawn[best] >= lot))
        return beats & (values[best] >= 0) & (count < most) & (count < len(candidates))

    def pick(state: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        values, best, order, count = state
        values = jnp.minimum(values, apart[best]).at[best].set(-1.0)
        return values, highest_one(values, drawn), order.at[count].set(best), count + 1

    start = (values, highest_one(values, drawn), jnp.zeros(len(candidates), jnp.int32), jnp.int32(0))
    *_, order, count = jax.lax.while_loop(goes_on, pick, start)
    return order, count
