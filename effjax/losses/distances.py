"""Distances of embeddings and logits to the teacher's: of the batch as a whole, by learnt variances, by a metric."""

import chex
import jax
import jax.numpy as jnp

from effjax.errors import UserError
from effjax.losses.batches import gather, kept, own_rows, vectors
from effjax.losses.masking import blank, masked
from effjax.numerics import EXACT, at_least_float32, norm, unit


def log_distance(
    student: jax.Array,
    teacher: jax.Array,
    *,
    power: float = 4.0,
    where: jax.Array | None = None,
    axis_name: str | None = None,
) -> jax.Array:
    """``log Σ |s − t|^power`` over all units of all examples: one number for the batch (SRD).

    No gradient flows to the teacher.

    Args:
      student: embeddings ``[B, ...]``.
      teacher: the teacher's, of the same shape.
      power: of the absolute differences, above 1.
      where: ``[B]`` booleans; examples where it is false take no part.
      axis_name: a mapped axis that the batch lies along.

    Returns:
      The loss, ``[]``.

    Raises:
      AssertionError: if the shapes differ.
      UserError: if the power is not above 1.

    Example:
      >>> log_distance(jnp.array([[3.0, 1.0]]), jnp.array([[1.0, 1.0]]), power=2.0) - jnp.log(4.0)
      Array(0., dtype=float32)

    References:
      Miles & Mikolajczyk, `Understanding the Role of the Projector in Knowledge Distillation
      <https://arxiv.org/abs/2303.11098>`_, 2024, eq. 11; `its code
      <https://github.com/roymiles/Simple-Recipe-Distillation>`_.
    """
    if not power > 1:
        raise UserError(f"log_distance: power={power!r} must be above 1")
    chex.assert_equal_shape([student, teacher])
    difference = jnp.abs(vectors(jnp.asarray(student), where) - vectors(_frozen(teacher), where))
    # Over the largest one, so that no power is out of range.
    largest = jax.lax.stop_gradient(difference.max(initial=0.0))
    if axis_name is not None:
        largest = jax.lax.pmax(largest, axis_name)
    largest = jnp.maximum(largest, 1e-12)
    total = jnp.power(difference / largest, power).sum()
    if axis_name is not None:
        total = jax.lax.psum(total, axis_name)
    return jnp.log(jnp.maximum(total, 1e-30)) + power * jnp.log(largest)


def adaptive_distance(
    student: jax.Array, teacher: jax.Array, log_variance: jax.Array, *, where: jax.Array | None = None
) -> jax.Array:
    """``(s − t)² / σ² + log σ²``, the mean over units, per example: what is learnt well counts for more (PAD).

    No gradient flows to the teacher.

    Args:
      student: embeddings ``[B, D]``.
      teacher: the teacher's, of the same shape.
      log_variance: log σ² of each unit of each example, ``[B, D]``.
      where: ``[B]`` booleans; examples where it is false give 0 and no gradient.

    Returns:
      The loss, ``[B]``; it may be negative.

    Raises:
      AssertionError: if the shapes differ.

    Example:
      >>> adaptive_distance(jnp.array([[3.0, 0.0]]), jnp.array([[1.0, 0.0]]), jnp.log(jnp.array([[4.0, 0.25]])))
      Array([0.5], dtype=float32)

    References:
      Zhang et al., `Prime-Aware Adaptive Distillation <https://arxiv.org/abs/2008.01458>`_, 2020, eq. 4;
      `torchdistill <https://github.com/yoshitomo-matsubara/torchdistill>`_, ``PADL2Loss``.
    """
    chex.assert_rank([student, teacher, log_variance], 2)
    chex.assert_equal_shape([student, teacher, log_variance])
    arrays = (jnp.asarray(student), _frozen(teacher), jnp.asarray(log_variance))
    ours, theirs, spread = (at_least_float32(blank(x, where)) for x in arrays)
    return masked((jnp.square(ours - theirs) * jnp.exp(-spread) + spread).mean(-1), where)


def gram_distance(
    student_logits: jax.Array,
    teacher_logits: jax.Array,
    *,
    ridge: float = 0.1,
    where: jax.Array | None = None,
    axis_name: str | None = None,
) -> jax.Array:
    """How unlike the teacher's an example's cosines to all of the batch are, by Mahalanobis' distance (SKD).

    Of the differences D of both matrices of cosines between logits, ``√(Dᵢ Σ⁻¹ Dᵢ)`` for row i, where Σ is the
    covariance of D's columns with ``ridge`` added to its diagonal. No gradient flows to the teacher.

    Args:
      student_logits: ``[B, K]``.
      teacher_logits: ``[B, K']``.
      ridge: above 0.
      where: ``[B]`` booleans; examples where it is false give 0, no gradient, and nobody is compared with them.
      axis_name: a mapped axis that the batch lies along.

    Returns:
      The loss, ``[B]``.

    Raises:
      AssertionError: if the shapes do not fit.
      UserError: if the ridge is not above 0.

    Example:
      >>> logits = jnp.array([[1.0, 0.0], [0.0, 1.0]])
      >>> gram_distance(2 * logits, logits)
      Array([0., 0.], dtype=float32)

    References:
      Jeong et al., Streamlined Knowledge Distillation, CVPR 2026; `torchdistill
      <https://github.com/yoshitomo-matsubara/torchdistill>`_, ``SKDDirectionLoss``.
    """
    if not ridge > 0:
        raise UserError(f"gram_distance: ridge={ridge!r} must be above 0")
    chex.assert_rank([student_logits, teacher_logits], 2)
    chex.assert_equal_shape_prefix([student_logits, teacher_logits], 1)
    size = len(student_logits)
    takes_part = gather(kept(where, size), axis_name)
    units = (unit(vectors(x, where)) for x in (jnp.asarray(student_logits), _frozen(teacher_logits)))
    ours, theirs = (gather(x, axis_name) for x in units)
    own, other = (jnp.matmul(x, x.T, precision=EXACT) for x in (ours, theirs))
    difference, count = own - other, takes_part.sum()
    centred = jnp.where(takes_part[:, None], difference - difference.sum(0) / jnp.maximum(count, 1), 0.0)
    covariance = jnp.matmul(centred.T, centred, precision=EXACT) / jnp.maximum(count - 1, 1)
    factor = jnp.linalg.cholesky(covariance + ridge * jnp.eye(len(covariance)))
    scaled = jax.scipy.linalg.solve_triangular(factor, difference.T, lower=True)
    return masked(own_rows(norm(scaled, 0), size, axis_name), where)


def _frozen(x: jax.Array) -> jax.Array:
    return jax.lax.stop_gradient(jnp.asarray(x))
