"""What a batch's predictions say of which examples are alike, and of which classes are."""

import chex
import jax
import jax.numpy as jnp

from effjax.losses.batches import gather, kept, vectors
from effjax.losses.distillation import tempered_softmax
from effjax.losses.masking import blank, masked
from effjax.numerics import EXACT


def example_correlation(
    student_logits: jax.Array,
    teacher_logits: jax.Array,
    *,
    temperature: float | jax.Array = 4.0,
    where: jax.Array | None = None,
    axis_name: str | None = None,
) -> jax.Array:
    """Squared difference of the products of examples' probabilities, ``Σ_j (p_i · p_j − q_i · q_j)²``, per example.

    The batch level of multi-level distillation. No gradient flows to the teacher.

    Args:
      student_logits: ``[B, K]``.
      teacher_logits: ``[B, K]``.
      temperature: T, which both logits are divided by.
      where: ``[B]`` booleans; examples where it is false take no part and give 0.
      axis_name: the mapped axis over which the batch is spread.

    Returns:
      The loss, ``[B]``.

    Raises:
      AssertionError: if the shapes differ.

    Example:
      >>> example_correlation(jnp.zeros((2, 2)), jnp.array([[50.0, -50.0]] * 2), temperature=1.0)  # (1 − ½)², twice
      Array([0.5, 0.5], dtype=float32)

    References:
      Jin et al., `Multi-Level Logit Distillation
      <https://openaccess.thecvf.com/content/CVPR2023/papers/Jin_Multi-Level_Logit_Distillation_CVPR_2023_paper.pdf>`_,
      2023, eq. 6; `its code <https://github.com/Jin-Ying/Multi-Level-Logit-Distillation>`_, ``bc_loss``.
    """
    ours, theirs = _probs(student_logits, teacher_logits, temperature, where)

    def products(probs: jax.Array) -> jax.Array:
        return jnp.matmul(probs, gather(probs, axis_name).T, precision=EXACT)

    return masked(jnp.square(products(theirs) - products(ours)).sum(-1), where)


def class_correlation(
    student_logits: jax.Array,
    teacher_logits: jax.Array,
    *,
    temperature: float | jax.Array = 4.0,
    where: jax.Array | None = None,
    axis_name: str | None = None,
) -> jax.Array:
    """Squared difference of the products of classes' probabilities over the batch, over the classes: one number.

    The class level of multi-level distillation: with P ``[B, K]`` and Q, ``‖Pᵀ P − Qᵀ Q‖² / K``. It grows with the
    batch, as published. No gradient flows to the teacher.

    Args:
      student_logits: ``[B, K]``.
      teacher_logits: ``[B, K]``.
      temperature: T, which both logits are divided by.
      where: ``[B]`` booleans; examples where it is false take no part.
      axis_name: the mapped axis over which the batch is spread.

    Returns:
      The loss, ``[]``, of the whole batch.

    Raises:
      AssertionError: if the shapes differ.

    Example:
      >>> class_correlation(jnp.zeros((2, 2)), jnp.array([[50.0, -50.0]] * 2), temperature=1.0)  # (1½² + 3 · ½²) / 2
      Array(1.5, dtype=float32)

    References:
      As of :func:`example_correlation`; eq. 8, ``cc_loss``.
    """
    ours, theirs = (gather(x, axis_name) for x in _probs(student_logits, teacher_logits, temperature, where))
    difference = jnp.matmul(theirs.T, theirs, precision=EXACT) - jnp.matmul(ours.T, ours, precision=EXACT)
    return jnp.square(difference).sum() / ours.shape[-1]


def _probs(
    student: jax.Array, teacher: jax.Array, temperature: float | jax.Array, where: jax.Array | None
) -> tuple[jax.Array, jax.Array]:
    """Both sides' probabilities; 0 where an example takes no part."""
    student, teacher = jnp.asarray(student), jnp.asarray(teacher)
    chex.assert_rank([student, teacher], 2)
    chex.assert_equal_shape([student, teacher])
    here = kept(where, len(student))
    ours, theirs = (
        blank(tempered_softmax(vectors(x, where), temperature), here) for x in (student, jax.lax.stop_gradient(teacher))
    )
    return ours, theirs
