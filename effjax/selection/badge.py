"""Batches that are unsure and unlike one another: k-means++ on the gradients that guessed labels would give."""

from functools import partial
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from effjax.numerics import check_finite, check_probs
from effjax.selection.checks import check_count
from effjax.selection.plus_plus import nearer, plus_plus, without
from effjax.selection.pools import bucket, padded
from effjax.selection.products import in_range, product
from effjax.selection.ties import highest_one, lots
from effjax.typing import Array


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
        return nearer(self, nearest, picked, alive)

    def without(self, nearest: jax.Array, positions: jax.Array) -> jax.Array:
        """Distances ``[N]``, -1 of those at some positions."""
        return without(nearest, positions)


@partial(jax.jit, static_argnames="k")
def _plus_plus(
    key: jax.Array, probs: jax.Array, features: jax.Array, drawn: jax.Array, count: int, k: int
) -> jax.Array:
    pool = _Gradients.of(probs, features)
    first = highest_one(jnp.where(jnp.arange(len(probs)) < count, pool.squares, -1.0), drawn)
    nearest = jnp.where(jnp.arange(len(probs)) < count, jnp.inf, -1.0)
    return plus_plus(key, pool, nearest, first, k, k)
