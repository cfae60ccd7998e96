"""Which channels of a feature map answer together."""

import chex
import jax
import jax.numpy as jnp

from effjax.losses.masking import blank, masked
from effjax.numerics import EXACT, at_least_float32, unit


def channel_correlation(student: jax.Array, teacher: jax.Array, *, where: jax.Array | None = None) -> jax.Array:
    """Squared difference of how channels correlate (ICKD), per example.

    A channel's row holds its inner products, over all places, with every channel, and has unit length. Squares are
    summed over the other channels, and averaged over the rows. No gradient flows to the teacher.

    Args:
      student: activations ``[B, H, W, C]``.
      teacher: the teacher's, of as many channels; sizes may differ.
      where: ``[B]`` booleans; examples where it is false give 0 and no gradient.

    Returns:
      The loss, ``[B]``.

    Raises:
      AssertionError: if the shapes do not fit.

    Example:
      >>> apart, alike = jnp.array([[[[1.0, 0.0], [0.0, 1.0]]]]), jnp.array([[[[1.0, 1.0], [0.0, 0.0]]]])
      >>> channel_correlation(apart, alike)  # rows (1, 0) and (0, 1) against (√½, √½)
      Array([0.5857864], dtype=float32)

    References:
      Liu et al., `Exploring Inter-Channel Correlation for Diversity-Preserved Knowledge Distillation
      <https://arxiv.org/abs/2202.03680>`_, 2021, eq. 3 and 4; `its code <https://github.com/ADLab-AutoDrive/ICKD>`_,
      ``Cifar100/distiller_zoo/ICKD.py``.
    """
    student, teacher = jnp.asarray(student), jnp.asarray(teacher)
    chex.assert_rank([student, teacher], 4)
    chex.assert_equal_shape_prefix([student, teacher], 1)
    chex.assert_equal_shape_suffix([student, teacher], 1)
    ours, theirs = (_rows(at_least_float32(blank(x, where))) for x in (student, jax.lax.stop_gradient(teacher)))
    return masked(jnp.square(ours - theirs).sum(-1).mean(-1), where)


def _rows(maps: jax.Array) -> jax.Array:
    return unit(jnp.einsum("bhwc,bhwd->bcd", maps, maps, precision=EXACT))
