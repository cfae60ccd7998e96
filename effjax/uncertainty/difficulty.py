"""How unsure a detector is of a box, where the classes that it is bad at count for more."""

import chex
import jax
import jax.numpy as jnp
from jax.scipy.special import entr

from effjax.numerics import check_probs
from effjax.typing import Array

_ALPHA, _BETA = 0.3, 0.2  # of the paper: how fast the weight grows, and how far


def class_difficulty(quality: Array) -> jax.Array:
    """What a box of each class counts for, by how well the class is found.

    Args:
      quality: ``[K]``, from 0 (never found) to 1.

    Returns:
      ``[K]``: 1 of a class that is always found, up to ``1 + β`` of one that never is.

    Example:
      >>> class_difficulty(jnp.array([1.0, 0.5, 0.0])).round(3)
      Array([1.   , 1.161, 1.2  ], dtype=float32)

    References:
      Yang et al, 2024, Plug and Play Active Learning for Object Detection, https://arxiv.org/abs/2211.11612, eq. 4.
    """
    quality = jnp.asarray(quality, jnp.float32)
    return 1 + _ALPHA * _BETA * jnp.log((jnp.exp(1 / _ALPHA) - 1) * (1 - quality) + 1)


def weighted_entropy(probs: Array, weights: Array) -> jax.Array:
    """The entropy of whether an item is of its likeliest class, times that class's weight.

    Args:
      probs: ``[M, N, K + 1]`` probabilities of M predictions; the last class is nothing.
      weights: ``[K]``, of :func:`class_difficulty`.

    Returns:
      ``[N]``, in nats.

    Raises:
      AssertionError: if the shapes do not fit.
      Unusable: if they are no probabilities.

    Example:
      >>> weighted_entropy(jnp.array([[[0.5, 0.0, 0.5], [0.0, 0.5, 0.5]]]), jnp.array([1.0, 2.0]))
      Array([0.6931472, 1.3862944], dtype=float32)

    References:
      Yang et al, 2024, https://arxiv.org/abs/2211.11612, eq. 1 and 5.
    """
    probs, weights = jnp.asarray(probs, jnp.float32), jnp.asarray(weights, jnp.float32)
    check_probs("probs", probs)
    chex.assert_shape(weights, (probs.shape[-1] - 1,))
    mean = probs.mean(0)[:, :-1]
    likeliest = mean.argmax(-1)
    sure = jnp.take_along_axis(mean, likeliest[:, None], 1)[:, 0]
    return weights[likeliest] * (entr(sure) + entr(1 - sure))
