"""Examples that are alike for the teacher are alike for the student."""

import chex
import jax
import jax.numpy as jnp

from effjax.losses.batches import gather, kept, vectors
from effjax.losses.masking import masked
from effjax.numerics import EXACT, unit


def similarity_preserving(
    student: jax.Array, teacher: jax.Array, *, where: jax.Array | None = None, axis_name: str | None = None
) -> jax.Array:
    """Squared difference of the rows of the batch's similarity matrices, per example.

    A row holds the inner products of one example with all N of the batch, divided by the row's L2 norm. The value of
    example i is the squared difference of the i-th rows over N, so the mean over the batch (with ``where``: the sum
    over those that take part, divided by their number) is the published loss, the squared Frobenius norm over N².
    A row of zeros stays as it is and has no gradient. No gradient flows to the teacher.

    Args:
      student: features ``[B, ...]``, flattened to vectors.
      teacher: features ``[B, ...]``; all but the batch may differ from the student's.
      where: ``[B]`` booleans; examples where it is false take no part and give 0.
      axis_name: the mapped axis over which the batch is spread; examples are compared with those of all its devices.

    Returns:
      The loss, ``[B]``.

    Raises:
      AssertionError: if the shapes do not fit.

    Example:
      >>> similarity_preserving(jnp.eye(2), jnp.ones((2, 1)))  # rows (1, 0) and (√½, √½): (2 − √2) / 2
      Array([0.2929, 0.2929], dtype=float32)

    References:
      Tung & Mori, `Similarity-Preserving Knowledge Distillation <https://arxiv.org/abs/1907.09682>`_, 2019, eq. 4;
      `RepDistiller <https://github.com/HobbitLong/RepDistiller>`_, ``distiller_zoo/SP.py``, which its author verified.
    """
    chex.assert_equal_shape_prefix([student, teacher], 1)
    count = gather(kept(where, len(student)), axis_name).sum()
    difference = _rows(student, where, axis_name) - _rows(jax.lax.stop_gradient(teacher), where, axis_name)
    return masked(jnp.square(difference).sum(-1) / jnp.maximum(count, 1), where)


def _rows(features: jax.Array, where: jax.Array | None, axis_name: str | None) -> jax.Array:
    """This device's rows ``[B, N]`` of the normalised similarity matrix; left-out examples are similar to none."""
    own = vectors(jnp.asarray(features), where)
    return unit(jnp.matmul(own, gather(own, axis_name).T, precision=EXACT))
