"""Losses against a teacher."""

import chex
import jax
import jax.numpy as jnp

from effjax.losses.masking import blank, masked
from effjax.numerics import at_least_float32
from effjax.typing import Array


def tempered_softmax(logits: jax.Array, temperature: float | jax.Array) -> jax.Array:
    """Softmax of ``logits / temperature`` over the last axis, in at least float32.

    Args:
      logits: ``[..., K]``.
      temperature: a positive scalar (may be traced); above 1 it softens the distribution.

    Returns:
      Probabilities, ``[..., K]``.

    Example:
      >>> tempered_softmax(jnp.log(jnp.array([1.0, 4.0])), 2.0)  # square roots: 1 to 2
      Array([0.3333, 0.6667], dtype=float32)

    References:
      Hinton et al., `Distilling the Knowledge in a Neural Network <https://arxiv.org/abs/1503.02531>`_, 2015, eq. 1.
    """
    return jax.nn.softmax(at_least_float32(jnp.asarray(logits)) / temperature, axis=-1)


def soft_target_kl(
    student_logits: Array,
    teacher_logits: Array,
    *,
    temperature: float | jax.Array = 4.0,
    where: jax.Array | None = None,
) -> jax.Array:
    """``T² · KL(softmax(teacher / T) ‖ softmax(student / T))``, summed over classes, per example.

    The factor T² keeps the gradient's size as the temperature changes. No gradient flows to the teacher.

    Args:
      student_logits: ``[..., K]``.
      teacher_logits: ``[..., K]``.
      temperature: a positive scalar T (may be traced).
      where: ``[...]`` booleans; examples where it is false give 0 and no gradient.

    Returns:
      The divergence in nats times T², ``[...]``, never negative beyond rounding.

    Raises:
      AssertionError: if student and teacher differ in shape.

    Example:
      >>> teacher = jnp.log(jnp.array([[0.25, 0.75]]))
      >>> soft_target_kl(jnp.zeros((1, 2)), teacher, temperature=1.0)  # ¼ log ½ + ¾ log 1½
      Array([0.1308], dtype=float32)

    References:
      Hinton et al., `Distilling the Knowledge in a Neural Network <https://arxiv.org/abs/1503.02531>`_, 2015, sec. 2.
    """
    student_logits, teacher_logits = jnp.asarray(student_logits), jnp.asarray(teacher_logits)
    chex.assert_equal_shape([student_logits, teacher_logits])
    student_logits = at_least_float32(blank(student_logits, where))
    teacher_logits = at_least_float32(blank(jax.lax.stop_gradient(teacher_logits), where))
    student = jax.nn.log_softmax(student_logits / temperature, axis=-1)
    teacher = jax.nn.log_softmax(teacher_logits / temperature, axis=-1)
    divergence = (jnp.exp(teacher) * (teacher - student)).sum(-1)
    return masked(temperature**2 * divergence, where)
