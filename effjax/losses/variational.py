"""What a student's activation says of its teacher's, as a Gaussian whose variances are learnt."""

import chex
import jax
import jax.numpy as jnp

from effjax.losses.masking import blank, masked
from effjax.numerics import at_least_float32


def variational_information(
    predicted: jax.Array, teacher: jax.Array, variance: jax.Array, *, where: jax.Array | None = None
) -> jax.Array:
    """``½ ((μ − t)² / σ² + log σ²)``, the mean over places and channels, per example.

    But for a constant the negative logarithm of the probability of the teacher's activation under a Gaussian with the
    student's prediction as its mean, and one variance a channel: a bound on the information that they share. It may be
    negative. No gradient flows to the teacher.

    Args:
      predicted: μ, what a regressor makes of the student's activation, ``[B, ..., C]``.
      teacher: t, the teacher's activation, of the same shape.
      variance: σ², ``[C]``, above 0.
      where: ``[B]`` booleans; examples where it is false give 0 and no gradient.

    Returns:
      The loss, ``[B]``.

    Raises:
      AssertionError: if the shapes do not fit.

    Example:
      >>> variational_information(jnp.array([[3.0, 1.0]]), jnp.ones((1, 2)), jnp.array([1.0, 1.0]))  # (2² + 0²) / 4
      Array([1.], dtype=float32)

    References:
      Ahn et al., `Variational Information Distillation for Knowledge Transfer <https://arxiv.org/abs/1904.05835>`_,
      2019, eq. 4 and 5; `RepDistiller <https://github.com/HobbitLong/RepDistiller>`_, ``distiller_zoo/VID.py``.
    """
    predicted, teacher = jnp.asarray(predicted), jnp.asarray(teacher)
    chex.assert_equal_shape([predicted, teacher])
    chex.assert_shape(variance, predicted.shape[-1:])
    ours = at_least_float32(blank(predicted, where))
    theirs = at_least_float32(blank(jax.lax.stop_gradient(teacher), where))
    each = 0.5 * (jnp.square(ours - theirs) / variance + jnp.log(variance))
    return masked(each.reshape(len(each), -1).mean(-1), where)
