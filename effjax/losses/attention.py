"""Where a network looks."""

import functools
from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp

from effjax.errors import check_known
from effjax.losses.masking import blank, masked
from effjax.losses.pooling import averaged
from effjax.numerics import at_least_float32, norm, unit

_FORMS = ("code", "paper")
Maps = jax.Array | Sequence[jax.Array]


def attention_transfer(
    student_maps: Maps, teacher_maps: Maps, *, form: str = "code", where: jax.Array | None = None
) -> jax.Array:
    """Difference of two attention maps, summed over pairs of layers, per example.

    An attention map is the sum over channels of the squared activations, divided by its L2 norm over the positions (a
    map that is 0 everywhere stays 0). Student and teacher may differ in channels. Where they differ in height or width,
    the larger activations are first averaged down to the smaller size. No gradient flows to the teacher.

    Args:
      student_maps: activations ``[B, H, W, C]``, or a sequence of them, one for each pair of layers.
      teacher_maps: the same of the teacher.
      form: ``"code"``: the squared difference averaged over positions, as the authors' code and most others have it;
        ``"paper"``: the L2 norm of the difference (eq. 2). Their scales are far apart.
      where: ``[B]`` booleans; examples where it is false give 0 and no gradient.

    Returns:
      The loss, ``[B]``.

    Raises:
      AssertionError: if the shapes or the numbers of maps do not fit.
      UserError: if there is no such form.

    Example:
      >>> left, right = jnp.array([[[[2.0], [0.0]]]]), jnp.array([[[[0.0], [3.0]]]])  # one row of two pixels
      >>> attention_transfer(left, right)  # maps (1, 0) and (0, 1)
      Array([1.], dtype=float32)

    References:
      Zagoruyko & Komodakis, `Paying More Attention to Attention <https://arxiv.org/abs/1612.03928>`_, 2017;
      `its code <https://github.com/szagoruyko/attention-transfer>`_, ``utils.py``; the resizing is RepDistiller's,
      ``distiller_zoo/AT.py``.
    """
    check_known(form, _FORMS, f"attention_transfer: form={form!r}")
    students, teachers = _sequence(student_maps), _sequence(teacher_maps)
    if len(students) != len(teachers) or not students:
        raise AssertionError(f"attention_transfer: {len(students)} maps against {len(teachers)}; pairs are needed")
    chex.assert_rank([*students, *teachers], 4)
    chex.assert_equal_shape_prefix([*students, *teachers], 1)
    differences = [_difference(s, t, where) for s, t in zip(students, teachers, strict=True)]
    losses = [norm(d) if form == "paper" else jnp.square(d).mean(-1) for d in differences]
    return masked(functools.reduce(jnp.add, losses), where)


def _sequence(maps: Maps) -> list[jax.Array]:
    return [jnp.asarray(m) for m in maps] if isinstance(maps, list | tuple) else [jnp.asarray(maps)]


def _difference(student: jax.Array, teacher: jax.Array, where: jax.Array | None) -> jax.Array:
    """Student's less teacher's attention, ``[B, H · W]``."""
    height, width = (min(student.shape[axis], teacher.shape[axis]) for axis in (1, 2))
    student, teacher = (
        attention_maps(averaged(at_least_float32(blank(maps, where)), height, width))
        for maps in (student, jax.lax.stop_gradient(teacher))
    )
    return student - teacher


def attention_maps(maps: jax.Array) -> jax.Array:
    """Where maps ``[B, H, W, C]`` are large: their squares, summed over channels, of unit length, ``[B, H · W]``."""
    return unit(jnp.square(maps).sum(-1).reshape(len(maps), -1))
