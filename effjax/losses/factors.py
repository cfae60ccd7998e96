"""Factors: what is left of a teacher's map when it has been paraphrased, and a student's translation of it."""

import chex
import jax
import jax.numpy as jnp

from effjax.errors import check_known
from effjax.losses.attention import attention_maps
from effjax.losses.masking import blank, masked
from effjax.losses.pooling import averaged
from effjax.numerics import at_least_float32, unit

_FORMS = ("repdistiller", "paper")


def factor_transfer(
    student: jax.Array, teacher: jax.Array, *, form: str = "repdistiller", where: jax.Array | None = None
) -> jax.Array:
    """Mean absolute difference of two factors of unit length, per example: factor transfer (FT).

    No gradient flows to the teacher.

    Args:
      student: the student's factor, ``[B, H, W, C]``.
      teacher: the teacher's. In the paper's form of the same shape; else it may differ, and larger maps are averaged
        down to the smaller.
      form: ``"repdistiller"``: of where factors are large, the mean over channels of their squares; ``"paper"``: of the
        factors themselves (eq. 4 with p = 1), whose code takes the mean as well.
      where: ``[B]`` booleans; examples where it is false give 0 and no gradient.

    Returns:
      The loss, ``[B]``.

    Raises:
      AssertionError: if the shapes do not fit.
      UserError: if there is no such form.

    Example:
      >>> left, right = jnp.array([[[[2.0], [0.0]]]]), jnp.array([[[[0.0], [3.0]]]])  # one row of two pixels
      >>> factor_transfer(left, right), factor_transfer(left, -right), factor_transfer(left, -left, form="paper")
      (Array([1.], dtype=float32), Array([1.], dtype=float32), Array([1.], dtype=float32))

    References:
      Kim et al., `Paraphrasing Complex Network: Network Compression via Factor Transfer
      <https://arxiv.org/abs/1802.04977>`_, 2018; `RepDistiller <https://github.com/HobbitLong/RepDistiller>`_,
      ``distiller_zoo/FT.py``.
    """
    check_known(form, _FORMS, f"factor_transfer: form={form!r}")
    student, teacher = jnp.asarray(student), jnp.asarray(teacher)
    chex.assert_rank([student, teacher], 4)
    chex.assert_equal_shape_prefix([student, teacher], 1)
    ours, theirs = (at_least_float32(blank(x, where)) for x in (student, jax.lax.stop_gradient(teacher)))
    if form == "paper":
        chex.assert_equal_shape([student, teacher])
        ours, theirs = (unit(x.reshape(len(x), -1)) for x in (ours, theirs))
    else:
        height, width = (min(student.shape[axis], teacher.shape[axis]) for axis in (1, 2))
        ours, theirs = (attention_maps(averaged(x, height, width)) for x in (ours, theirs))
    return masked(jnp.abs(ours - theirs).mean(-1), where)
