"""Logits as regression targets, and the logits of an ensemble."""

import chex
import jax
import jax.numpy as jnp

from effjax.losses.masking import blank, masked
from effjax.numerics import at_least_float32


def logit_mse(student_logits: jax.Array, teacher_logits: jax.Array, *, where: jax.Array | None = None) -> jax.Array:
    """``½ Σ (student − teacher)²`` over the classes, per example.

    Of logits that are centred over the K classes, the gradient of :func:`~effjax.losses.soft_target_kl` tends to a K-th
    of this one's as the temperature grows. No gradient flows to the teacher.

    Args:
      student_logits: ``[..., K]``.
      teacher_logits: ``[..., K]``.
      where: ``[...]`` booleans; examples where it is false give 0 and no gradient.

    Returns:
      The loss, ``[...]``.

    Raises:
      AssertionError: if the shapes do not fit.

    Example:
      >>> logit_mse(jnp.array([[1.0, 2.0]]), jnp.zeros((1, 2)))  # half of 1 + 4
      Array([2.5], dtype=float32)

    References:
      Ba & Caruana, `Do Deep Nets Really Need to be Deep? <https://arxiv.org/abs/1312.6184>`_, 2014, eq. 1.
    """
    student_logits, teacher_logits = jnp.asarray(student_logits), jnp.asarray(teacher_logits)
    chex.assert_equal_shape([student_logits, teacher_logits])
    teacher_logits = jax.lax.stop_gradient(teacher_logits)
    gap = at_least_float32(blank(student_logits, where)) - at_least_float32(blank(teacher_logits, where))
    return masked(0.5 * jnp.square(gap).sum(-1), where)


def ensemble_logits(logits: jax.Array, temperature: float | jax.Array) -> jax.Array:
    """Logits whose softmax at this temperature is the mean of the members' softmaxes at this temperature.

    They are ``T · log(mean over the members of softmax(logits / T))``, as log-sum-exps, thus finite for any logits.

    Args:
      logits: the members' logits ``[M, ..., K]``.
      temperature: a positive scalar T (may be traced); the result is the ensemble's at this T only.

    Returns:
      Logits ``[..., K]``, in at least float32, none above 0.

    Raises:
      AssertionError: if there is no axis of members beside the classes.

    Example:
      >>> members = jnp.log(jnp.array([[0.2, 0.8], [0.6, 0.4]]))
      >>> jnp.exp(ensemble_logits(members, 1.0))
      Array([0.4, 0.6], dtype=float32)

    References:
      Hinton et al., `Distilling the Knowledge in a Neural Network <https://arxiv.org/abs/1503.02531>`_, 2015, sec. 2
      (the arithmetic mean of an ensemble's predictive distributions as soft targets).
    """
    logits = jnp.asarray(logits)
    if logits.ndim < 2:
        raise AssertionError(f"ensemble_logits: shape {logits.shape}; [M, ..., K] is needed")
    log_probs = jax.nn.log_softmax(at_least_float32(logits) / temperature, axis=-1)
    return temperature * (jax.nn.logsumexp(log_probs, axis=0) - jnp.log(float(len(logits))))
