"""Where on the image channels answer: the same places for student and teacher, whichever channels these are."""

import chex
import jax
import jax.numpy as jnp

from effjax.losses.masking import blank, masked
from effjax.losses.pooling import averaged
from effjax.numerics import EXACT, at_least_float32, unit


def neuron_selectivity(student: jax.Array, teacher: jax.Array, *, where: jax.Array | None = None) -> jax.Array:
    """Squared maximum mean discrepancy between the channels' maps, per example: neuron selectivity transfer (NST).

    Each channel's map is a vector over the H·W places, of unit length, and vectors are compared by the kernel
    ``(a · b)²``: the mean over pairs of the teacher's channels, plus that over the student's, less twice that between
    them. Larger maps are averaged down to the smaller ones. No gradient flows to the teacher.

    Args:
      student: feature maps ``[B, H, W, C]``.
      teacher: feature maps ``[B, H', W', C']``.
      where: ``[B]`` booleans; examples where it is false give 0 and no gradient.

    Returns:
      The discrepancy, ``[B]``, never negative beyond rounding.

    Raises:
      AssertionError: if they are no maps of one batch.

    Example:
      >>> left, right = jnp.array([1.0, 0.0]).reshape(1, 1, 2, 1), jnp.array([0.0, 1.0]).reshape(1, 1, 2, 1)
      >>> neuron_selectivity(left, right), neuron_selectivity(left, 3 * left)
      (Array([2.], dtype=float32), Array([0.], dtype=float32))

    References:
      Huang & Wang, `Like What You Like: Knowledge Distill via Neuron Selectivity Transfer
      <https://arxiv.org/abs/1707.01219>`_, 2017, eq. 8 with the polynomial kernel; `RepDistiller
      <https://github.com/HobbitLong/RepDistiller>`_, ``distiller_zoo/NST.py``.
    """
    student, teacher = jnp.asarray(student), jnp.asarray(teacher)
    chex.assert_rank([student, teacher], 4)
    chex.assert_equal_shape_prefix([student, teacher], 1)
    height, width = (min(student.shape[axis], teacher.shape[axis]) for axis in (1, 2))
    ours, theirs = (
        _channels(averaged(at_least_float32(blank(maps, where)), height, width))
        for maps in (student, jax.lax.stop_gradient(teacher))
    )
    return masked(_kernel(theirs, theirs) + _kernel(ours, ours) - 2 * _kernel(ours, theirs), where)


def _channels(maps: jax.Array) -> jax.Array:
    """``[B, C, H · W]``, each channel of unit length."""
    return unit(maps.reshape(len(maps), -1, maps.shape[-1]).swapaxes(1, 2))


def _kernel(one: jax.Array, other: jax.Array) -> jax.Array:
    """The mean of the squared inner products of all pairs of channels, ``[B]``."""
    return jnp.square(jnp.matmul(one, other.swapaxes(1, 2), precision=EXACT)).mean((1, 2))
