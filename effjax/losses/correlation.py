"""Predictions whose relations match, whatever their scale."""

import chex
import jax
import jax.numpy as jnp

from effjax.losses.batches import gather, kept
from effjax.losses.distillation import tempered_softmax
from effjax.losses.masking import blank
from effjax.numerics import norm

_EPSILON = 1e-8  # added to the product of the norms, as the authors' code does


def dist(
    student_logits: jax.Array,
    teacher_logits: jax.Array,
    *,
    temperature: float | jax.Array = 1.0,
    inter: float | jax.Array = 1.0,
    intra: float | jax.Array = 1.0,
    where: jax.Array | None = None,
    axis_name: str | None = None,
) -> jax.Array:
    """``T² · (inter · (1 − r between the classes) + intra · (1 − r within each class))``, for the batch as a whole.

    r is Pearson's correlation of the student's with the teacher's probabilities: between the classes for each example
    and averaged over the examples; within each class over the batch and averaged over the classes.
    What does not vary (a row of equal probabilities, the column of a class that every example is sure about, a batch of
    one) correlates with nothing: r = 0 there, and no gradient. No gradient flows to the teacher.

    Args:
      student_logits: ``[B, K]``.
      teacher_logits: ``[B, K]``.
      temperature: a positive scalar T (may be traced).
      inter: weight of the relations between the classes (β in the paper).
      intra: weight of the relations within each class (γ in the paper).
      where: ``[B]`` booleans; examples where it is false take no part.
      axis_name: the mapped axis over which the batch is spread; all its devices return the same value.

    Returns:
      The loss, a scalar ``[]``; 0 where no example takes part.

    Raises:
      AssertionError: if the shapes do not fit.

    Example:
      >>> logits = jnp.array([[1.0, 0.0], [0.0, 1.0]])
      >>> dist(logits, logits[::-1])  # r = −1 between the classes and within each: 2 + 2
      Array(4., dtype=float32)

    References:
      Huang et al., `Knowledge Distillation from A Stronger Teacher <https://arxiv.org/abs/2205.10536>`_, 2022;
      `its code <https://github.com/hunto/image_classification_sota>`_, ``lib/models/losses/dist_kd.py`` (T², 1e-8).
    """
    student_logits, teacher_logits = jnp.asarray(student_logits), jnp.asarray(teacher_logits)
    chex.assert_rank(student_logits, 2)
    chex.assert_equal_shape([student_logits, teacher_logits])
    keep = kept(where, len(student_logits))
    student = gather(tempered_softmax(blank(student_logits, where), temperature), axis_name)
    teacher = tempered_softmax(blank(jax.lax.stop_gradient(teacher_logits), where), temperature)
    teacher, keep = gather(teacher, axis_name), gather(keep, axis_name)
    taking_part = keep[:, None] & jnp.ones(student.shape, bool)
    count = keep.sum()
    between = jnp.where(keep, 1.0 - _pearson(student, teacher, taking_part, axis=1), 0.0).sum() / jnp.maximum(count, 1)
    within = (1.0 - _pearson(student, teacher, taking_part, axis=0)).mean()
    return temperature**2 * jnp.where(count > 0, inter * between + intra * within, 0.0)


def _pearson(x: jax.Array, y: jax.Array, keep: jax.Array, axis: int) -> jax.Array:
    """Pearson's correlation along ``axis`` of what takes part."""
    x, y = _centred(x, keep, axis), _centred(y, keep, axis)
    return (x * y).sum(axis) / (norm(x, axis) * norm(y, axis) + _EPSILON)


def _centred(x: jax.Array, keep: jax.Array, axis: int) -> jax.Array:
    """``x`` less its mean; exactly 0 where it varies by rounding only, whose gradient would be of the size 1 / ε."""
    count = jnp.maximum(keep.sum(axis, keepdims=True), 1)
    x = jnp.where(keep, x, 0.0)
    centred = jnp.where(keep, x - x.sum(axis, keepdims=True) / count, 0.0)
    rounding = (8 * jnp.finfo(x.dtype).eps) ** 2 * jnp.square(x).sum(axis, keepdims=True)
    return jnp.where(jnp.square(centred).sum(axis, keepdims=True) > rounding, centred, 0.0)
