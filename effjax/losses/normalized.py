"""Soft targets of the label as it is, and of the rest as shares of the rest."""

import jax
import jax.numpy as jnp

from effjax.losses.decoupled import label_places
from effjax.losses.masking import blank, masked
from effjax.numerics import at_least_float32


def normalized_kd(
    student_logits: jax.Array,
    teacher_logits: jax.Array,
    labels: jax.Array,
    *,
    temperature: float | jax.Array = 1.0,
    gamma: float | jax.Array = 1.5,
    where: jax.Array | None = None,
) -> jax.Array:
    """``-t_y log s_y - γ T² Σ q_t log q_s``, per example: normalised knowledge distillation (NKD).

    ``s_y`` and ``t_y`` are the probabilities of the label at temperature 1, ``q`` the distributions over the other
    classes given that it is not the label, at temperature T. Cross-entropies: at a student that is its teacher it is
    not 0, but its gradient is but for the label's. No gradient flows to the teacher.

    Args:
      student_logits: ``[..., K]``.
      teacher_logits: ``[..., K]``.
      labels: classes ``[...]``, integers in ``[0, K)``.
      temperature: a positive scalar T (may be traced); the paper takes 1, and other code 3 for small images.
      gamma: weight of the part of the other classes.
      where: ``[...]`` booleans; examples where it is false give 0 and no gradient.

    Returns:
      The loss in nats, ``[...]``.

    Raises:
      AssertionError: if the shapes do not fit or the labels are no integers.
      UserError: if there are fewer than three classes: then ``q`` is a single class.

    Example:
      >>> teacher = jnp.log(jnp.array([[0.5, 0.25, 0.25]]))
      >>> normalized_kd(jnp.zeros((1, 3)), teacher, jnp.array([0]))  # ½ log 3 + 1½ log 2
      Array([1.589], dtype=float32)

    References:
      Yang et al., `From Knowledge Distillation to Self-Knowledge Distillation: A Unified Approach with Normalized Loss
      and Customized Soft Labels <https://arxiv.org/abs/2303.13005>`_, 2023, eq. 9; `its code
      <https://github.com/yzd-v/cls_KD>`_, ``mmcls/distillation/losses/nkd.py``, which at times has left the label among
      the other classes.
    """
    student_logits, teacher_logits = jnp.asarray(student_logits), jnp.asarray(teacher_logits)
    is_label = label_places("normalized_kd", student_logits, teacher_logits, labels)
    student = at_least_float32(blank(student_logits, where))
    teacher = at_least_float32(blank(jax.lax.stop_gradient(teacher_logits), where))
    sure = jnp.where(is_label, jax.nn.softmax(teacher), 0.0).sum(-1)
    target = -sure * jnp.where(is_label, jax.nn.log_softmax(student), 0.0).sum(-1)
    ours, theirs = (_rest(logits / temperature, is_label) for logits in (student, teacher))
    rest = -jnp.where(is_label, 0.0, jnp.exp(theirs) * ours).sum(-1)
    return masked(target + gamma * temperature**2 * rest, where)


def _rest(logits: jax.Array, is_label: jax.Array) -> jax.Array:
    """Logarithms of the probabilities of the other classes, given that it is one of them; at the label's place 0."""
    others = jax.nn.logsumexp(logits, axis=-1, where=~is_label, keepdims=True)
    return jnp.where(is_label, 0.0, logits - others)
