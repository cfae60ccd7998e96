"""Soft targets in two parts: how sure of the label, and how the rest is shared out."""

import chex
import jax
import jax.numpy as jnp

from effjax.errors import UserError
from effjax.losses.masking import blank, masked
from effjax.numerics import at_least_float32


def decoupled_kl(
    student_logits: jax.Array,
    teacher_logits: jax.Array,
    labels: jax.Array,
    *,
    temperature: float | jax.Array = 4.0,
    alpha: float | jax.Array = 1.0,
    beta: float | jax.Array = 8.0,
    where: jax.Array | None = None,
) -> jax.Array:
    """``T² · (α · KL(b_t ‖ b_s) + β · KL(q_t ‖ q_s))``, per example: decoupled knowledge distillation (DKD).

    ``b`` is the binary distribution label / not label (TCKD), ``q`` the distribution over the other classes given that
    it is not the label (NCKD), both at temperature T. With α = 1 and β = 1 − the teacher's probability of the label,
    this is :func:`~effjax.losses.soft_target_kl`. No gradient flows to the teacher.

    Everything is a difference of log-sum-exps, so it is exact and finite for any logits. The authors' code takes the
    logarithm of summed probabilities (minus infinity once one underflows) and hides the label by taking 1,000 off its
    logit: where that leads by more than 1,000 T, the label comes back into ``q``, and the values differ from these.

    Args:
      student_logits: ``[..., K]``.
      teacher_logits: ``[..., K]``.
      labels: classes ``[...]``, integers in ``[0, K)``.
      temperature: a positive scalar T (may be traced).
      alpha: weight of the target part, a scalar or ``[...]``.
      beta: weight of the non-target part, a scalar or ``[...]``.
      where: ``[...]`` booleans; examples where it is false give 0 and no gradient.

    Returns:
      The loss in nats times T², ``[...]``.

    Raises:
      AssertionError: if the shapes do not fit or the labels are no integers.
      UserError: if there are fewer than three classes: then ``q`` is a single class, and its part is always 0.

    Example:
      >>> teacher = jnp.log(jnp.array([[0.5, 0.25, 0.25]]))  # as unsure of the rest as the student
      >>> decoupled_kl(jnp.zeros((1, 3)), teacher, jnp.array([0]), temperature=1.0)  # ½ log 1½ + ½ log ¾
      Array([0.0589], dtype=float32)

    References:
      Zhao et al., `Decoupled Knowledge Distillation <https://arxiv.org/abs/2203.08679>`_, 2022, eq. 7;
      `its code <https://github.com/megvii-research/mdistiller>`_, ``mdistiller/distillers/DKD.py``.
    """
    student_logits, teacher_logits = jnp.asarray(student_logits), jnp.asarray(teacher_logits)
    is_label = label_places("decoupled_kl", student_logits, teacher_logits, labels)
    student = _parts(at_least_float32(blank(student_logits, where)) / temperature, is_label)
    teacher = _parts(at_least_float32(blank(jax.lax.stop_gradient(teacher_logits), where)) / temperature, is_label)
    target, rest = (_divergence(t, s) for t, s in zip(teacher, student, strict=True))
    return masked(temperature**2 * (alpha * target + beta * rest), where)


def label_places(loss: str, student_logits: jax.Array, teacher_logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Where the labels are among the classes, for losses that look at the label and at the others apart.

    Args:
      loss: its name, for messages.
      student_logits: ``[..., K]``.
      teacher_logits: ``[..., K]``.
      labels: classes ``[...]``, integers in ``[0, K)``.

    Returns:
      Booleans ``[..., K]``.

    Raises:
      AssertionError: if the shapes do not fit or the labels are no integers.
      UserError: if there are fewer than three classes: then what is apart from the label is a single class.
    """
    labels = jnp.asarray(labels)
    chex.assert_equal_shape([student_logits, teacher_logits])
    chex.assert_shape(labels, student_logits.shape[:-1])
    chex.assert_type(labels, int)
    num_classes = student_logits.shape[-1]
    if num_classes < 3:
        raise UserError(f"{loss}: {num_classes} classes; allowed: 3 or more. Use soft_target_kl instead")
    return jax.nn.one_hot(labels, num_classes, dtype=bool)


def _parts(logits: jax.Array, is_label: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Logarithms of ``b`` ``[..., 2]`` and of ``q`` ``[..., K]``, in which the label's is minus infinity."""
    everything = jax.nn.logsumexp(logits, axis=-1)
    others = jax.nn.logsumexp(logits, axis=-1, where=~is_label)
    label = jnp.where(is_label, logits, 0.0).sum(-1)
    binary = jnp.stack([label - everything, others - everything], axis=-1)
    return binary, jnp.where(is_label, -jnp.inf, logits - others[..., None])


def _divergence(teacher: jax.Array, student: jax.Array) -> jax.Array:
    """KL of logarithms of probabilities over the last axis; what is impossible for both adds nothing."""
    possible = jnp.isfinite(teacher) & jnp.isfinite(student)
    gap = jnp.where(possible, teacher, 0.0) - jnp.where(possible, student, 0.0)
    return (jnp.exp(teacher) * gap).sum(-1)
