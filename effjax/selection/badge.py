"""Batches that are unsure and unlike one another: k-means++ on the gradients that guessed labels would give."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np

from effjax.numerics import check_finite, check_probs
from effjax.selection.checks import check_count
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


@partial(jax.jit, static_argnames="k")
def _plus_plus(
    key: jax.Array, probs: jax.Array, features: jax.Array, drawn: jax.Array, count: int, k: int
) -> jax.Array:
    residuals = probs - jax.nn.one_hot(probs.argmax(-1), probs.shape[-1])
    squares = (residuals**2).sum(-1) * (features**2).sum(-1)

    def pick(nearest: jax.Array, position: jax.Array) -> jax.Array:
        products = product(residuals, residuals[position]) * product(features, features[position])
        distances = jnp.maximum(squares - 2.0 * products + squares[position], 0.0)
        return jnp.minimum(nearest, distances).at[position].set(-1.0)

    def step(nearest: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        # A draw in proportion to the distances; those at distance 0 come last, those that are picked never.
        weights = jnp.where(nearest < 0, -jnp.inf, jnp.log(jnp.maximum(nearest, 1e-30)))
        position = highest_one(weights + jax.random.gumbel(key, nearest.shape), drawn)
        return pick(nearest, position), position

    there = jnp.arange(len(probs)) < count
    first = highest_one(jnp.where(there, squares, -1.0), drawn)
    nearest = pick(jnp.where(there, jnp.inf, -1.0), first)
    rest = jax.lax.scan(step, nearest, jax.random.split(key, k)[1:])[1]
    return jnp.concatenate([first[None], rest]).astype(jnp.int32)
