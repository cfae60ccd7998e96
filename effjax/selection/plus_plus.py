"""k-means++: draws in proportion to squared distances to the nearest pick so far, many of them in one pass over a pool.

One pass for each would read all of the pool from memory every time. Distances only shrink, so those of a while ago are
bounds: candidates are drawn in proportion to them, and one after the other is taken with the probability of its
distance by its bound, which makes the same draw; one pass takes in all that have been picked since the last.
"""

import math
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from effjax.selection.passes import CHUNK, Picked, Pool, first_picked, taken
from effjax.selection.pools import by_rows

_CANDIDATES = 256  # that are drawn between two passes
_LEAST = 1e-30  # of a squared distance: what is at no distance comes last
_GROUP = 1024  # examples that are drawn from once their group is drawn: float32 cannot add up millions


class Points(Pool, Protocol):
    """Examples with distances between any two."""

    def at(self, positions: jax.Array, /) -> Any:
        """Some of the examples, ``[P]``."""
        ...

    def apart(self, others: Any, /) -> jax.Array:
        """Squared distances ``[N, P]`` to others."""
        ...


def nearer(points: Any, nearest: jax.Array, picked: Any, alive: jax.Array) -> jax.Array:
    """Squared distances ``[N]`` to the nearest pick, with those of ``picked`` ``[P]`` that are alive.

    Args:
      points: a named tuple of row-wise arrays that is a :class:`Points`.
      nearest: so far.
      picked: more of its examples.
      alive: which of them count.
    """

    def of_rows(nearest: jax.Array, *rows: jax.Array) -> jax.Array:
        return jnp.minimum(nearest, jnp.where(alive, type(points)(*rows).apart(picked), jnp.inf).min(-1))

    return by_rows(of_rows, nearest, *points)


def without(nearest: jax.Array, positions: jax.Array) -> jax.Array:
    """Distances ``[N]``, -1 of those at some positions; positions beyond all are nobody's."""
    return nearest.at[positions].set(-1.0, mode="drop")


def plus_plus(
    key: jax.Array, pool: Points, nearest: jax.Array, first: jax.Array, k: int, wanted: jax.Array | int
) -> jax.Array:
    """Draws picks one after the other, each in proportion to its squared distance to the nearest before it.

    Args:
      key: a PRNG key.
      pool: the pool.
      nearest: infinite, and -1 of what may not be picked, ``[N]``.
      first: the position of the first pick.
      k: how many picks there is room for.
      wanted: how many are drawn, at most k and what may be picked.

    Returns:
      ``[k]`` int32 positions in the order they were drawn, no duplicates; 0 beyond those that are wanted.

    References:
      Arthur & Vassilvitskii, `k-means++: The Advantages of Careful Seeding
      <https://dl.acm.org/doi/10.5555/1283383.1283494>`_, 2007.
    """
    candidates = max(CHUNK, min(_CANDIDATES, 4 * k))

    def passed(picked: Picked) -> Picked:
        own = jax.random.fold_in(key, picked.passes)
        some, chances = _draws(own, picked.nearest, candidates)
        order, accepted = _accepted(pool.at(some), some, picked.nearest[some], chances, wanted - picked.number)
        return taken(pool, picked, some[order], pool.at(some[order]), accepted)

    start = first_picked(pool, nearest, first[None], pool.at(first[None]), k)
    return jax.lax.while_loop(lambda picked: picked.number < wanted, passed, start).picks


def _draws(key: jax.Array, nearest: jax.Array, number: int) -> tuple[jax.Array, jax.Array]:
    """Positions ``[T]`` drawn in proportion to distances, with replacement, and the numbers that decide over them."""
    weights = jnp.where(nearest < 0, 0.0, jnp.maximum(nearest, _LEAST))
    weights = weights.reshape(-1, math.gcd(len(weights), _GROUP))
    among_groups, within, chances = jax.random.uniform(key, (3, number))

    def at(totals: jax.Array, chance: jax.Array) -> jax.Array:
        """The first place whose running total is above a share of the whole: none of no weight."""
        return jnp.minimum(jnp.searchsorted(totals, chance * totals[-1], side="right"), len(totals) - 1)

    groups = jax.vmap(at, (None, 0))(jnp.cumsum(weights.sum(-1)), among_groups)
    places = jax.vmap(at)(jnp.cumsum(weights[groups], -1), within)
    return groups * weights.shape[1] + places, chances


def _accepted(
    own: Points, positions: jax.Array, bounds: jax.Array, chances: jax.Array, most: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Takes candidates one after the other, each with the probability of its distance by its bound.

    Args:
      own: the candidates.
      positions: theirs, ``[T]``; one may have been drawn several times.
      bounds: their distances at the last pass, -1 of what may not be picked.
      chances: uniform numbers.
      most: how many picks are left.

    Returns:
      Numbers of candidates ``[T]`` in the order they are taken, and how many there are of them.
    """
    apart = own.apart(own)

    def step(number: jax.Array, state: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        distances, order, taken = state
        bound, distance = jnp.maximum(bounds[number], _LEAST), jnp.maximum(distances[number], _LEAST)
        takes = (distances[number] >= 0) & (chances[number] * bound <= distance) & (taken < most)
        closer = jnp.where(positions == positions[number], -1.0, jnp.minimum(distances, apart[number]))
        order = order.at[jnp.where(takes, taken, len(order))].set(number, mode="drop")
        return jnp.where(takes, closer, distances), order, taken + takes

    start = (bounds, jnp.zeros(len(positions), jnp.int32), jnp.int32(0))
    _, order, taken = jax.lax.fori_loop(0, len(positions), step, start)
    return order, taken
