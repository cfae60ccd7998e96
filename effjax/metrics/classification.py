"""Measures of a classifier's answers."""

import chex
import jax
import jax.numpy as jnp

from effjax.typing import Array


def top_k_accuracy(logits: Array, labels: Array, *, k: int = 1) -> jax.Array:
    """Whether the label is among the k highest logits, per example.

    A label whose logit ties with others counts as ranked behind those of lower index, as in ``argmax``; a row with a
    NaN is wrong, and so is one whose label is no class.

    Args:
      logits: ``[..., K]``.
      labels: integer classes ``[...]``.
      k: how many answers are allowed, at least 1.

    Returns:
      Booleans ``[...]``.

    Raises:
      AssertionError: if the shapes do not fit.

    Example:
      >>> logits = jnp.array([[0.1, 0.9, 0.5]])
      >>> top_k_accuracy(logits, jnp.array([2])), top_k_accuracy(logits, jnp.array([2]), k=2)
      (Array([False], dtype=bool), Array([ True], dtype=bool))
    """
    logits, labels = jnp.asarray(logits), jnp.asarray(labels)
    chex.assert_shape(labels, logits.shape[:-1])
    own = jnp.take_along_axis(logits, labels[..., None], axis=-1)
    lower_index = jnp.arange(logits.shape[-1]) < labels[..., None]
    ahead = (logits > own) | ((logits == own) & lower_index)
    is_class = (labels >= 0) & (labels < logits.shape[-1])
    return (ahead.sum(-1) < k) & is_class & ~jnp.isnan(logits).any(-1)


def agreement(logits: Array, other_logits: Array) -> jax.Array:
    """Whether two models give the same answer, right or wrong, per example; a row with a NaN is no answer.

    Args:
      logits: ``[..., K]``.
      other_logits: ``[..., K]``.

    Returns:
      Booleans ``[...]``.

    Raises:
      AssertionError: if the shapes do not fit.

    Example:
      >>> agreement(jnp.array([[0.0, 1.0], [2.0, 1.0]]), jnp.array([[0.0, 5.0], [1.0, 2.0]]))
      Array([ True, False], dtype=bool)

    References:
      Stanton et al., `Does Knowledge Distillation Really Work? <https://arxiv.org/abs/2106.05945>`_, 2021 (fidelity).
    """
    logits, other_logits = jnp.asarray(logits), jnp.asarray(other_logits)
    chex.assert_equal_shape([logits, other_logits])
    answered = ~(jnp.isnan(logits) | jnp.isnan(other_logits)).any(-1)
    return (jnp.argmax(logits, -1) == jnp.argmax(other_logits, -1)) & answered


def negative_log_likelihood(probs: Array, labels: Array) -> jax.Array:
    """``-log p(label)``, per example, in nats.

    Args:
      probs: probabilities ``[..., K]``.
      labels: integer classes ``[...]``.

    Returns:
      ``[...]``, capped where a probability has underflowed to 0 (at the smallest normal float's).

    Raises:
      AssertionError: if the shapes do not fit.

    Example:
      >>> negative_log_likelihood(jnp.array([[0.5, 0.5]]), jnp.array([0]))  # log 2
      Array([0.6931], dtype=float32)
    """
    probs, labels = jnp.asarray(probs), jnp.asarray(labels)
    chex.assert_shape(labels, probs.shape[:-1])
    own = jnp.take_along_axis(probs, labels[..., None], axis=-1)[..., 0]
    return -jnp.log(jnp.maximum(own, jnp.finfo(own.dtype).tiny))
