"""Picking by score."""

from functools import partial

import chex
import jax
import jax.core
import jax.numpy as jnp
import numpy as np

from effjax.errors import UserError
from effjax.numerics import check_finite
from effjax.selection.checks import check_count, check_positions
from effjax.selection.pools import bucket, padded
from effjax.selection.ties import highest, lots
from effjax.typing import Array


def top_k(scores: Array, k: int, *, key: jax.Array | None = None) -> jax.Array:
    """Picks the k highest scores; equal ones by lot.

    Args:
      scores: ``[N]``, finite.
      k: how many, from 1 to N.
      key: a PRNG key, of the lots; None is always the same one.

    Returns:
      ``[k]`` int32 positions, the highest score first, no duplicates.

    Raises:
      UserError: if k is out of range or a score is not finite.

    Example:
      >>> top_k(jnp.array([0.1, 0.9, 0.5]), 2)
      Array([1, 2], dtype=int32)
    """
    chex.assert_rank(scores, 1)
    check_count(k, len(scores))
    check_finite("scores", scores)
    return highest(jnp.asarray(scores), lots(key, jnp.arange(len(scores))), k)


def power_batch(key: jax.Array, scores: Array, k: int, *, beta: float = 1.0) -> jax.Array:
    """Draws k examples without replacement, each with a probability that grows as its score to the power β.

    The k best by score are often much alike; a little chance spreads a batch, at no cost.

    Args:
      key: a PRNG key.
      scores: ``[N]``, finite, not negative; 0 is picked only when nothing else is left.
      k: how many, from 1 to N.
      beta: β, finite and above 0: 0 would be a random draw, infinity the k best.

    Returns:
      ``[k]`` int32 positions, no duplicates.

    Raises:
      UserError: if k or β is out of range, or a score is negative or not finite.

    Example:
      >>> power_batch(jax.random.key(0), jnp.array([0.0, 0.0, 1.0]), 1)
      Array([2], dtype=int32)

    References:
      Kirsch et al., `Stochastic Batch Acquisition: A Simple Baseline for Deep Active Learning
      <https://arxiv.org/abs/2106.12059>`_, 2023 (power acquisition).
    """
    chex.assert_rank(scores, 1)
    check_count(k, len(scores))
    check_finite("scores", scores)
    if not 0 < beta < np.inf:
        raise UserError(f"beta={beta} must be above 0, and finite")
    if not isinstance(scores, jax.core.Tracer) and (np.asarray(scores) < -1e-6).any():
        raise UserError("scores: negative ones have no power; add what makes the least 0")
    return _draw(key, jnp.asarray(scores, jnp.float32), beta, k)


@partial(jax.jit, static_argnames="k")
def _draw(key: jax.Array, scores: jax.Array, beta: float, k: int) -> jax.Array:
    # The k largest of β log(score) + Gumbel noise are such a draw; among scores of 0 the noise alone decides.
    noise = jax.random.gumbel(key, scores.shape)
    powered = jnp.minimum(beta, 1.0) * jnp.log(jnp.maximum(scores, 1e-30)) + noise / jnp.maximum(beta, 1.0)
    return highest(powered, lots(key, jnp.arange(len(scores))), k)


def class_balanced(
    scores: Array, classes: Array, k: int, num_classes: int, *, key: jax.Array | None = None
) -> jax.Array:
    """Picks the k highest scores, but of no class more than its share, as long as the others last.

    Args:
      scores: ``[N]``, finite.
      classes: ``[N]`` integers in [0, num_classes): what the network takes the examples for.
      k: how many, from 1 to N.
      num_classes: C. Each class gets k / C; where one has fewer examples, the others share what is left.
      key: a PRNG key, of the lots that tell equal scores apart; None is always the same one.

    Returns:
      ``[k]`` int32 positions, no duplicates; the best of each class first, then the second best of each, and so on.

    Raises:
      UserError: if k or a class is out of range or a score is not finite.

    Example:
      >>> class_balanced(jnp.array([0.9, 0.8, 0.1]), jnp.array([0, 0, 1]), 2, num_classes=2)
      Array([0, 2], dtype=int32)
    """
    chex.assert_rank([scores, classes], 1)
    chex.assert_equal(len(scores), len(classes))
    check_count(k, len(scores))
    check_finite("scores", scores)
    if not isinstance(classes, jax.core.Tracer):
        check_positions("classes", classes, num_classes, "class of")
    drawn = lots(key, np.arange(bucket(len(scores))))
    return _balanced(padded(scores, fill=-np.inf), drawn, padded(classes, dtype=np.int32), k, num_classes)


@partial(jax.jit, static_argnames=("k", "num_classes"))
def _balanced(scores: jax.Array, drawn: jax.Array, classes: jax.Array, k: int, num_classes: int) -> jax.Array:
    by_score = highest(scores, drawn, len(scores))
    one_hot = jax.nn.one_hot(classes[by_score], num_classes, dtype=jnp.int32)
    # Among those of its class, how many are better: the k smallest of that are as balanced as there are examples for.
    rank = (jnp.cumsum(one_hot, axis=0) * one_hot).sum(-1)
    rank = jnp.where(jnp.isfinite(scores[by_score]), rank, len(scores))  # what the pool was lengthened with
    return by_score[jnp.argsort(rank, stable=True)[:k]].astype(jnp.int32)


def random_batch(key: jax.Array, num_examples: int, k: int) -> jax.Array:
    """Picks k examples at random: the control of every selector.

    Args:
      key: a PRNG key.
      num_examples: N.
      k: how many, from 1 to N.

    Returns:
      ``[k]`` int32 positions, no duplicates.

    Raises:
      UserError: if k is out of range.

    Example:
      >>> sorted(random_batch(jax.random.key(0), 3, 3).tolist())
      [0, 1, 2]
    """
    check_count(k, num_examples)
    return jax.random.permutation(key, num_examples)[:k].astype(jnp.int32)
