"""Passes over a pool, each of which takes in many picks: the distances to the nearest of them."""

from functools import partial
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

CHUNK = 64  # labelled examples whose distances are in memory at a time
_SIZES = (
    128,
    64,
    32,
    16,
)  # how many picks are taken in together: many at once are cheaper each, and some are left over
_NOBODY = np.iinfo(np.int32).max


class Pool(Protocol):
    """Examples with distances between them."""

    def nearer(self, nearest: jax.Array, picked: Any, alive: jax.Array, /) -> jax.Array:
        """Squared distances ``[N]`` to the nearest pick, with those of ``picked`` ``[P]`` that are alive."""
        ...

    def without(self, nearest: jax.Array, positions: jax.Array, /) -> jax.Array:
        """Distances ``[N]``, -1 of those at some positions ``[P]``; positions beyond all are nobody's."""
        ...


class Picked(NamedTuple):
    """How far a pool is picked.

    Attributes:
      nearest: squared distances to the nearest pick ``[N]``, -1 of what may not be picked.
      picks: positions ``[k]``.
      number: how many of them there are so far.
      passes: how often the pool was passed over since the first.
    """

    nearest: jax.Array
    picks: jax.Array
    number: jax.Array
    passes: jax.Array


def first_picked(pool: Pool, nearest: jax.Array, position: jax.Array, example: Any, k: int) -> Picked:
    """Begins with one pick.

    Args:
      pool: the pool.
      nearest: infinite, and -1 of what may not be picked.
      position: of the pick, ``[1]``.
      example: the pick itself, ``[1]``.
      k: how many picks there will be.
    """
    # Not by `taken`: a loop that XLA on CPU knows to run once is computed wrongly there (jaxlib 0.10).
    nearest = pool.without(pool.nearer(nearest, example, jnp.ones(1, bool)), position)
    return Picked(nearest, jnp.zeros(k, jnp.int32).at[0].set(position[0]), jnp.int32(1), jnp.int32(0))


def taken(pool: Pool, picked: Picked, positions: jax.Array, examples: Any, count: jax.Array) -> Picked:
    """One pass: the first ``count`` of some examples ``[M]`` are picked, whose positions are given too."""
    numbers = jnp.arange(len(positions))

    def chunk(state: tuple[jax.Array, jax.Array], size: int) -> tuple[jax.Array, jax.Array]:
        nearest, start = state
        here = start + jnp.arange(size)
        some = jax.tree.map(lambda array: array[here], examples)
        return pool.nearer(nearest, some, here < count), start + size

    state = picked.nearest, jnp.int32(0)
    for size in _SIZES:
        enough = 0 if size == _SIZES[-1] else 3 * size // 4  # fewer are cheaper in smaller parts
        state = jax.lax.while_loop(
            lambda state, enough=enough: count - state[1] > enough, partial(chunk, size=size), state
        )
    nearest, _ = state
    alive = numbers < count
    nearest = pool.without(nearest, jnp.where(alive, positions, _NOBODY))
    places = jnp.where(alive, picked.number + numbers, len(picked.picks))
    picks = picked.picks.at[places].set(positions.astype(jnp.int32), mode="drop")
    return Picked(nearest, picks, picked.number + count, picked.passes + 1)
