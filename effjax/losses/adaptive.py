"""Targets of a teacher of another architecture, the label's raised; and its decision as a label."""

import chex
import jax
import jax.numpy as jnp

from effjax.losses.classification import cross_entropy
from effjax.losses.masking import blank, masked
from effjax.numerics import at_least_float32
from effjax.typing import Array


def adaptive_target(
    student_logits: Array,
    teacher_logits: Array,
    labels: Array,
    *,
    power: float = 1.0,
    temperature: float | jax.Array = 1.0,
    where: jax.Array | None = None,
) -> jax.Array:
    """``−(1 + p_c)^γ log q_c − Σ_{k≠c} p_k^γ log q_k + log q_c``, with the label c: OFA's loss, per example.

    p are the teacher's probabilities, q the student's. At γ = 1 it is the cross-entropy with the teacher; a larger γ
    raises the label over what else an unlike teacher says. No gradient flows to the teacher.

    Args:
      student_logits: ``[..., K]``.
      teacher_logits: ``[..., K]``.
      labels: ``[...]`` classes.
      power: γ, 1 or more.
      temperature: T, which both logits are divided by; there is no factor T².
      where: ``[...]`` booleans; examples where it is false give 0 and no gradient.

    Returns:
      The loss, ``[...]``.

    Raises:
      AssertionError: if the shapes do not fit.

    Example:
      >>> adaptive_target(jnp.zeros((1, 2)), jnp.zeros((1, 2)), jnp.array([0]), power=2.0)  # (1½² − 1 + ½²) log 2
      Array([1.0397207], dtype=float32)

    References:
      Hao et al., `One-for-All: Bridge the Gap Between Heterogeneous Architectures in Knowledge Distillation
      <https://arxiv.org/abs/2310.19444>`_, 2023, eq. 6; `its code <https://github.com/Hao840/OFAKD>`_,
      ``distillers/ofa.py``.
    """
    student, teacher = jnp.asarray(student_logits), jnp.asarray(teacher_logits)
    chex.assert_equal_shape([student, teacher])
    chex.assert_shape(labels, student.shape[:-1])
    ours = jax.nn.log_softmax(at_least_float32(blank(student, where)) / temperature)
    theirs = jax.nn.softmax(at_least_float32(blank(jax.lax.stop_gradient(teacher), where)) / temperature)
    label = jax.nn.one_hot(labels, student.shape[-1], dtype=theirs.dtype)
    return masked(-(((theirs + label) ** power - label) * ours).sum(-1), where)


def hard_label(student_logits: Array, teacher_logits: Array, *, where: jax.Array | None = None) -> jax.Array:
    """Cross-entropy with the class that the teacher decides for, per example: DeiT's hard-label distillation.

    Args:
      student_logits: ``[..., K]``.
      teacher_logits: ``[..., K]``.
      where: ``[...]`` booleans; examples where it is false give 0 and no gradient.

    Returns:
      The loss in nats, ``[...]``.

    Raises:
      AssertionError: if the shapes differ.

    Example:
      >>> hard_label(jnp.zeros((1, 2)), jnp.array([[0.1, 0.2]]))  # log 2
      Array([0.6931472], dtype=float32)

    References:
      Touvron et al., `Training data-efficient image transformers & distillation through attention
      <https://arxiv.org/abs/2012.12877>`_, 2021, eq. 3.
    """
    student, teacher = jnp.asarray(student_logits), jnp.asarray(teacher_logits)
    chex.assert_equal_shape([student, teacher])
    decided = jnp.argmax(jax.lax.stop_gradient(blank(teacher, where)), -1)
    return masked(cross_entropy(blank(student, where), decided), where)
