"""How a network gets from one layer to a later one: which channels of both answer together."""

import itertools
from collections.abc import Sequence
from typing import cast

import chex
import jax
import jax.numpy as jnp

from effjax.errors import check_known
from effjax.losses.masking import blank, masked
from effjax.losses.pooling import averaged
from effjax.numerics import EXACT, at_least_float32

_FORMS = ("mean", "paper")


def solution_flow(
    student_maps: Sequence[jax.Array],
    teacher_maps: Sequence[jax.Array],
    *,
    form: str = "mean",
    where: jax.Array | None = None,
) -> jax.Array:
    """Squared difference of the flows of solution procedure (FSP), summed over consecutive layers, per example.

    The flow from a layer to the next one is the matrix of all products of a channel of the one and a channel of the
    other, averaged over the places; the larger of both maps is first averaged down to the smaller. No gradient flows to
    the teacher.

    Args:
      student_maps: activations ``[B, H, W, C]`` of two layers or more, in the order of the network.
      teacher_maps: of as many layers of the teacher, of as many channels each.
      form: ``"mean"``: the mean over a matrix, as RepDistiller has it; ``"paper"``: the sum (eq. 2).
      where: ``[B]`` booleans; examples where it is false give 0 and no gradient.

    Returns:
      The loss, ``[B]``.

    Raises:
      AssertionError: if the numbers of maps, or of channels, do not fit.
      UserError: if there is no such form.

    Example:
      >>> first, second = jnp.array([[[[1.0, 2.0]]]]), jnp.array([[[[3.0]]]])  # one place: the flow is (3, 6)
      >>> solution_flow((first, second), (first, 2 * second))
      Array([22.5], dtype=float32)

    References:
      Yim et al., `A Gift from Knowledge Distillation: Fast Optimization, Network Minimization and Transfer Learning
      <https://openaccess.thecvf.com/content_cvpr_2017/html/Yim_A_Gift_From_CVPR_2017_paper.html>`_, 2017, eq. 1 and 2;
      `RepDistiller <https://github.com/HobbitLong/RepDistiller>`_, ``distiller_zoo/FSP.py``.
    """
    check_known(form, _FORMS, f"solution_flow: form={form!r}")
    students, teachers = ([jnp.asarray(x) for x in maps] for maps in (student_maps, teacher_maps))
    if len(students) != len(teachers) or len(students) < 2:
        raise AssertionError(f"solution_flow: {len(students)} maps against {len(teachers)}; as many, 2 or more")
    chex.assert_rank([*students, *teachers], 4)
    chex.assert_equal_shape_prefix([*students, *teachers], 1)
    for student, teacher in zip(students, teachers, strict=True):
        chex.assert_equal_shape_suffix([student, teacher], 1)
    teachers = [jax.lax.stop_gradient(x) for x in teachers]
    ours, theirs = ([at_least_float32(blank(x, where)) for x in maps] for maps in (students, teachers))
    reduced = jnp.sum if form == "paper" else jnp.mean
    flows = zip(itertools.pairwise(ours), itertools.pairwise(theirs), strict=True)
    total = sum(reduced(jnp.square(_flow(*own) - _flow(*other)), (1, 2)) for own, other in flows)
    return masked(cast(jax.Array, total), where)


def _flow(first: jax.Array, second: jax.Array) -> jax.Array:
    """The mean over places of the products of channels, ``[B, C, C']``."""
    height, width = (min(first.shape[axis], second.shape[axis]) for axis in (1, 2))
    first, second = (averaged(x, height, width) for x in (first, second))
    return jnp.einsum("bhwc,bhwd->bcd", first, second, precision=EXACT) / (height * width)
