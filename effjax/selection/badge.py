"""Batches that are unsure and unlike one another: k-means++ on the gradients that guessed labels would give.

A pick is a draw in proportion to squared distances to the nearest pick so far. One pass over the pool for each would
read all of it from memory every time. Distances only shrink, so those of a while ago are bounds: candidates are drawn
in proportion to them, and one after the other is taken with the probability of its distance by its bound, which makes
the same draw; one pass takes in all that have been picked since the last.
"""

import math
from functools import partial
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from effjax.numerics import check_finite, check_probs
from effjax.selection.checks import check_count
from effjax.selection.passes import CHUNK, Picked, first_picked, taken
from effjax.selection.pools import bucket, by_rows, padded
from effjax.selection.products import in_range, product
from effjax.selection.ties import highest_one, lots
from effjax.typing import Array

_CANDIDATES = 256  # that are drawn between two passes
_LEAST = 1e-30  # of a squared distance: what is at no distance comes last
_GROUP = 1024  # examples that are drawn from once their group is drawn: float32 cannot add up millions


def badge(key: jax.Array, probs: Array, features: Array, k: int) -> jax.Array:
    """Picks k examples by k-means++ on gradient embeddings.

    The embedding of an example is the gradient of its loss in the last layer, had it the label that the network
    guesses: (p − onehot(guess)) ⊗ h. It is an outer product, so products of two embeddings are products of two small
    ones, and the C·D numbers of an embedding are never written down.

    Args:
      key: a PRNG key.
      probs: ``[N, C]`` probabilities.
      features: ``[N, D]`` inputs h of the last layer.
      k: how many, from 1 to N.

    Returns:
      ``[k]`` int32 positions in the order they were picked, no duplicates. The first has the longest embedding; each
      further one is drawn with a probability proportional to its squared distance to the nearest so far.

    Raises:
      UserError: if k is out of range, a feature is not finite, or what should be probabilities are none.

    References:
      Ash et al., `Deep Batch Active Learning by Diverse, Uncertain Gradient Lower Bounds
      <https://arxiv.org/abs/1906.03671>`_, 2020, algorithm 1.
    """
    chex.assert_rank([probs, features], 2)
    chex.assert_equal_shape_prefix([probs, features], 1)
    check_count(k, len(probs))
    check_probs("probs", probs)
    check_finite("features", features)
    (features,) = in_range(features)
    drawn = lots(key, np.arange(bucket(len(probs))))
    return _plus_plus(key, padded(probs), padded(features), drawn, len(probs), k)


class _Gradients(NamedTuple):
    """Gradient embeddings r ⊗ h of a pool, never written down: r ``[N, C]``, h ``[N, D]``, squared lengths ``[N]``."""

    residuals: jax.Array
    features: jax.Array
    squares: jax.Array

    @classmethod
    def of(cls, probs: jax.Array, features: jax.Array) -> "_Gradients":
        residuals = probs - jax.nn.one_hot(probs.argmax(-1), probs.shape[-1])
        return cls(residuals, features, (residuals**2).sum(-1) * (features**2).sum(-1))

    def at(self, positions: jax.Array) -> "_Gradients":
        return _Gradients(self.residuals[positions], self.features[positions], self.squares[positions])

    def apart(self, others: "_Gradients") -> jax.Array:
        """Squared distances ``[N, P]`` to others."""
        products = product(self.residuals, others.residuals.T) * product(self.features, others.features.T)
        return jnp.maximum(self.squares[:, None] - 2.0 * products + others.squares, 0.0)

    def nearer(self, nearest: jax.Array, picked: "_Gradients", alive: jax.Array) -> jax.Array:
        """Squared distances ``[N]`` to the nearest pick, with those of ``picked`` ``[P]`` that are alive."""

        def of_rows(nearest: jax.Array, *rows: jax.Array) -> jax.Array:
            return jnp.minimum(nearest, jnp.where(alive, _Gradients(*rows).apart(picked), jnp.inf).min(-1))

        return by_rows(of_rows, nearest, *self)


@partial(jax.jit, static_argnames="k")
def _plus_plus(
    key: jax.Array, probs: jax.Array, features: jax.Array, drawn: jax.Array, count: int, k: int
) -> jax.Array:
    pool = _Gradients.of(probs, features)
    first = highest_one(jnp.where(jnp.arange(len(probs)) < count, pool.squares, -1.0), drawn)
    nearest = jnp.where(jnp.arange(len(probs)) < count, jnp.inf, -1.0)
    candidates = max(CHUNK, min(_CANDIDATES, 4 * k))

    def passed(picked: Picked) -> Picked:
        own = jax.random.fold_in(key, picked.passes)
        some, chances = _draws(own, picked.nearest, candidates)
        order, accepted = _accepted(pool.at(some), some, picked.nearest[some], chances, k - picked.number)
        return taken(pool, picked, some[order], accepted)

    start = first_picked(pool, nearest, first, k)
    return jax.lax.while_loop(lambda picked: picked.number < k, passed, start).picks


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
    own: _Gradients, positions: jax.Array, bounds: jax.Array, chances: jax.Array, most: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Takes candidates one after the other, each with the probability of its distance by its bound.

    Args:
      own: their embeddings.
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
        nearer = jnp.where(positions == positions[number], -1.0, jnp.minimum(distances, apart[number]))
        order = order.at[jnp.where(takes, taken, len(order))].set(number, mode="drop")
        return jnp.where(takes, nearer, distances), order, taken + takes

    start = (bounds, jnp.zeros(len(positions), jnp.int32), jnp.int32(0))
    _, order, taken = jax.lax.fori_loop(0, len(positions), step, start)
    return order, taken
