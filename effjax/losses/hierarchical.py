"""Feature maps compared at several sizes."""

import chex
import jax
import jax.numpy as jnp

from effjax.losses.masking import blank, masked
from effjax.losses.pooling import averaged
from effjax.numerics import at_least_float32

_SIZES = (4, 2, 1)


def hierarchical_context(student: jax.Array, teacher: jax.Array, *, where: jax.Array | None = None) -> jax.Array:
    """Mean squared difference of maps as they are and averaged to 4, 2 and 1 pixels, per example.

    The first weighs 1, each smaller size half of the one before, over the sum of the weights; sizes that the maps do
    not exceed are left out. No gradient flows to the teacher.

    Args:
      student: ``[B, H, W, C]``.
      teacher: of the same shape.
      where: ``[B]`` booleans; examples where it is false give 0 and no gradient.

    Returns:
      The loss, ``[B]``.

    Raises:
      AssertionError: if the shapes differ, or are not those of maps.

    Example:
      >>> rows = jnp.array([[1.0, -1.0], [1.0, -1.0]]).reshape(1, 2, 2, 1)
      >>> hierarchical_context(rows, jnp.zeros((1, 2, 2, 1)))  # (1 · 1 + ½ · 0) / 1½
      Array([0.6666667], dtype=float32)

    References:
      Chen et al., `Distilling Knowledge via Knowledge Review <https://arxiv.org/abs/2104.09044>`_, 2021, sec. 3.3;
      `its code <https://github.com/dvlab-research/ReviewKD>`_, ``CIFAR-100/util/kd.py``, ``hcl``.
    """
    student, teacher = jnp.asarray(student), jnp.asarray(teacher)
    chex.assert_rank([student, teacher], 4)
    chex.assert_equal_shape([student, teacher])
    ours = at_least_float32(blank(student, where))
    theirs = at_least_float32(blank(jax.lax.stop_gradient(teacher), where))
    total, weight, weights = jnp.square(ours - theirs).mean((1, 2, 3)), 1.0, 1.0
    for size in _SIZES:
        if size < student.shape[1]:
            weight /= 2
            weights += weight
            difference = averaged(ours, size, size) - averaged(theirs, size, size)
            total += weight * jnp.square(difference).mean((1, 2, 3))
    return masked(total / weights, where)
