"""Feature maps before their ReLU: on which side of 0 the teacher's are, and how far above it."""

import chex
import jax
import jax.numpy as jnp

from effjax.errors import UserError
from effjax.losses.masking import blank, masked
from effjax.numerics import at_least_float32


def activation_boundary(
    student: jax.Array, teacher: jax.Array, *, margin: float = 1.0, where: jax.Array | None = None
) -> jax.Array:
    """How far the student is from answering where the teacher does, by a margin: activation boundaries (AB).

    Where the teacher is above 0, ``(margin - s)²`` until the student is above the margin; elsewhere ``(margin + s)²``
    until it is below its negative; summed over all units of an example. No gradient flows to the teacher.

    Args:
      student: activations before their ReLU, ``[B, ..., C]``.
      teacher: the teacher's, of the same shape.
      margin: μ, above 0.
      where: ``[B]`` booleans; examples where it is false give 0 and no gradient.

    Returns:
      The loss, ``[B]``.

    Raises:
      AssertionError: if the shapes differ.
      UserError: if the margin is not above 0.

    Example:
      >>> activation_boundary(jnp.array([[0.5, 0.5, 3.0]]), jnp.array([[2.0, -2.0, 0.1]]))  # ½² + 1½² + 0
      Array([2.5], dtype=float32)

    References:
      Heo et al., `Knowledge Transfer via Distillation of Activation Boundaries Formed by Hidden Neurons
      <https://arxiv.org/abs/1811.03233>`_, 2019, eq. 4; `its code <https://github.com/bhheo/AB_distillation>`_.
    """
    if not margin > 0:
        raise UserError(f"activation_boundary: margin={margin!r} must be above 0")
    ours, theirs = _pair(student, teacher, where)
    missing = jax.nn.relu(margin - jnp.where(theirs > 0, ours, -ours))
    return masked(jnp.square(missing).reshape(len(missing), -1).sum(-1), where)


def partial_l2(
    student: jax.Array, teacher: jax.Array, least: jax.Array, *, where: jax.Array | None = None
) -> jax.Array:
    """Squared distance to the teacher behind a margin ReLU, but for what is below it on both sides (OFD).

    The teacher's activations count as they are where they are above ``least``, and else as ``least``. Where they are 0
    or less, a student that is below its target costs nothing: after a ReLU both would be 0. Summed over all units of an
    example. No gradient flows to the teacher.

    Args:
      student: activations before their ReLU, ``[B, ..., C]``.
      teacher: the teacher's, of the same shape.
      least: the margin of each channel, ``[C]``, below 0: see :func:`expected_negative`.
      where: ``[B]`` booleans; examples where it is false give 0 and no gradient.

    Returns:
      The loss, ``[B]``.

    Raises:
      AssertionError: if the shapes do not fit.

    Example:
      >>> student, teacher = jnp.array([[1.0, 1.0, -3.0]]), jnp.array([[2.0, -5.0, -0.5]])
      >>> partial_l2(student, teacher, jnp.array([-1.0, -1.0, -1.0]))  # 1² + 2² + 0
      Array([5.], dtype=float32)

    References:
      Heo et al., `A Comprehensive Overhaul of Feature Distillation <https://arxiv.org/abs/1904.01866>`_, 2019, eq. 1 to
      4; `its code <https://github.com/clovaai/overhaul-distillation>`_.
    """
    ours, theirs = _pair(student, teacher, where)
    chex.assert_shape(least, ours.shape[-1:])
    target = jnp.maximum(theirs, jax.lax.stop_gradient(at_least_float32(jnp.asarray(least))))
    difference = jnp.where((theirs > 0) | (ours > target), ours - target, 0.0)
    return masked(jnp.square(difference).reshape(len(difference), -1).sum(-1), where)


def expected_negative(activations: jax.Array, *, axis_name: str | None = None) -> jax.Array:
    """What a channel's activations below 0 are in the mean: the margin of :func:`partial_l2`.

    Args:
      activations: before their ReLU, ``[B, ..., C]``.
      axis_name: a mapped axis that the batch lies along.

    Returns:
      The mean, ``[C]``; 0 for a channel without any.

    Example:
      >>> expected_negative(jnp.array([[1.0, 2.0], [-1.0, 3.0], [-3.0, 4.0]]))
      Array([-2.,  0.], dtype=float32)

    References:
      Heo et al., 2019, as above, section 3.1. There it is measured, or follows from the mean and the scale that the
      normalisation before the ReLU has learnt, as if what it returns were normally distributed.
    """
    x = at_least_float32(jnp.asarray(activations)).reshape(-1, activations.shape[-1])
    sums = jnp.minimum(x, 0.0).sum(0), (x < 0).sum(0).astype(x.dtype)
    if axis_name is not None:
        sums = jax.lax.psum(sums, axis_name)
    total, count = sums
    return total / jnp.maximum(count, 1.0)


def _pair(student: jax.Array, teacher: jax.Array, where: jax.Array | None) -> tuple[jax.Array, jax.Array]:
    student, teacher = jnp.asarray(student), jnp.asarray(teacher)
    chex.assert_equal_shape([student, teacher])
    return at_least_float32(blank(student, where)), at_least_float32(blank(jax.lax.stop_gradient(teacher), where))
