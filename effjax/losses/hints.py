"""Activations that match."""

import chex
import jax
import jax.numpy as jnp

from effjax.errors import check_known
from effjax.losses.masking import blank, masked
from effjax.numerics import at_least_float32

_FORMS = ("paper", "mean")


def hint_mse(
    student: jax.Array, teacher: jax.Array, *, form: str = "paper", where: jax.Array | None = None
) -> jax.Array:
    """Squared difference of two activations, per example.

    The forms differ in scale only: ``"paper"`` is C / 2 times ``"mean"``. No gradient flows to the teacher.

    Args:
      student: activations ``[B, C]``, ``[B, N, C]`` or ``[B, H, W, C]``, after the regressor if there is one.
      teacher: activations of the same shape.
      form: ``"paper"``: half the sum over channels, averaged over positions, as the authors train it (eq. 3 itself
        would sum over the positions as well); ``"mean"``: the plain mean over positions and channels, as RepDistiller
        and mdistiller have it.
      where: ``[B]`` booleans; examples where it is false give 0 and no gradient.

    Returns:
      The loss, ``[B]``.

    Raises:
      AssertionError: if the shapes do not fit.
      UserError: if there is no such form.

    Example:
      >>> hint_mse(jnp.zeros((1, 2)), jnp.array([[3.0, 4.0]]))  # half of 9 + 16
      Array([12.5], dtype=float32)

    References:
      Romero et al., `FitNets: Hints for Thin Deep Nets <https://arxiv.org/abs/1412.6550>`_, 2014, eq. 3;
      `its code <https://github.com/adri-romsor/FitNets>`_, ``costs/HintCost.py``.
    """
    student, teacher = jnp.asarray(student), jnp.asarray(teacher)
    chex.assert_equal_shape([student, teacher])
    chex.assert_rank(student, {2, 3, 4})
    check_known(form, _FORMS, f"hint_mse: form={form!r}")
    teacher = jax.lax.stop_gradient(teacher)
    square = jnp.square(at_least_float32(blank(student, where)) - at_least_float32(blank(teacher, where)))
    by_position = 0.5 * square.sum(-1) if form == "paper" else square.mean(-1)
    return masked(by_position.reshape(len(student), -1).mean(-1), where)
