"""How likely examples are to be alike, for the teacher and for the student."""

import chex
import jax
import jax.numpy as jnp

from effjax.losses.batches import gather, kept, vectors
from effjax.losses.masking import masked
from effjax.numerics import EXACT, unit

_EPSILON = 1e-7  # of the authors' code


def probabilistic_transfer(
    student: jax.Array, teacher: jax.Array, *, where: jax.Array | None = None, axis_name: str | None = None
) -> jax.Array:
    """Divergence of how likely each example is to be like each other one, per example: PKT.

    The cosines of an example with all N of the batch, itself too, are brought to [0, 1] and divided by their sum. The
    value of example i is the mean over j of ``t_ij · log((t_ij + 1e-7) / (s_ij + 1e-7))``, so that the mean over the
    batch (with ``where``: the sum over those that take part, divided by their number) is what the authors' code gives;
    that divides by N² where a divergence would by N. No gradient flows to the teacher.

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
      >>> probabilistic_transfer(jnp.eye(2), jnp.ones((2, 1)))  # (⅔, ⅓) of the student, ½ and ½ of the teacher
      Array([0.0294, 0.0294], dtype=float32)

    References:
      Passalis & Tefas, `Learning Deep Representations with Probabilistic Knowledge Transfer
      <https://arxiv.org/abs/1803.10837>`_, 2018; `RepDistiller <https://github.com/HobbitLong/RepDistiller>`_,
      ``distiller_zoo/PKT.py``.
    """
    chex.assert_equal_shape_prefix([student, teacher], 1)
    others = gather(kept(where, len(student)), axis_name)
    ours, theirs = (
        _likeness(features, where, others, axis_name) for features in (student, jax.lax.stop_gradient(teacher))
    )
    each = theirs * (jnp.log(theirs + _EPSILON) - jnp.log(ours + _EPSILON))
    return masked(each.sum(-1) / jnp.maximum(others.sum(), 1), where)


def _likeness(features: jax.Array, where: jax.Array | None, others: jax.Array, axis_name: str | None) -> jax.Array:
    """This device's rows ``[B, N]``, of sum 1; 0 for those that are left out."""
    own = unit(vectors(jnp.asarray(features), where))
    cosines = jnp.matmul(own, gather(own, axis_name).T, precision=EXACT)
    likeness = jnp.where(others, (jnp.clip(cosines, -1, 1) + 1) / 2, 0.0)
    return likeness / jnp.maximum(likeness.sum(-1, keepdims=True), _EPSILON)
