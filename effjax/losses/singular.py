"""The directions in which a feature map varies most, and how they change from layer to layer."""

import itertools
from collections.abc import Sequence
from functools import partial
from typing import cast

import chex
import jax
import jax.numpy as jnp

from effjax.errors import check_known
from effjax.losses.masking import blank, masked
from effjax.numerics import EXACT, at_least_float32

_FORMS = ("channels", "columns")
_MORE = 3  # of the student's vectors are tried, more than the teacher has
_WIDTH = 8.0  # of the kernel that compares the vectors of two layers


def singular_transfer(
    student_maps: Sequence[jax.Array],
    teacher_maps: Sequence[jax.Array],
    *,
    form: str = "channels",
    where: jax.Array | None = None,
) -> jax.Array:
    """How leading singular vectors relate from layer to layer, student against teacher (KD-SVD), per example.

    Of each map the right singular vector of the largest singular value, turned so that its largest component is
    positive; of the student that one of its four first ones which is most like the teacher's, turned to it. All
    components of one layer are compared with all of the next by the kernel ``exp(−(a − b)² / 8)``; the squared
    differences of what student and teacher have there are summed. No gradient flows to the teacher.

    Args:
      student_maps: activations ``[B, H, W, C]`` of two layers or more, in the order of the network.
      teacher_maps: of as many layers of the teacher.
      form: ``"channels"``: a map is a matrix of places and channels, as in the paper and in RepDistiller; both networks
        need as many channels. ``"columns"``: of channels and rows, and columns, as mdistiller has it; as wide maps.
      where: ``[B]`` booleans; examples where it is false give 0 and no gradient.

    Returns:
      The loss, ``[B]``.

    Raises:
      AssertionError: if the numbers of maps, or what vectors are made of, do not fit.
      UserError: if there is no such form.

    Example:
      >>> first, second = jnp.array([[[[1.0, 0.0]]]]), jnp.array([[[[0.0, 1.0]]]])  # one place: its own direction
      >>> singular_transfer((first, first), (first, first)), singular_transfer((first, second), (first, second))
      (Array([0.], dtype=float32), Array([0.], dtype=float32))

    References:
      Lee et al., `Self-supervised Knowledge Distillation Using Singular Value Decomposition
      <https://arxiv.org/abs/1807.06819>`_, 2018; `RepDistiller <https://github.com/HobbitLong/RepDistiller>`_,
      ``distiller_zoo/KDSVD.py``; `mdistiller <https://github.com/megvii-research/mdistiller>`_,
      ``mdistiller/distillers/KDSVD.py``. There the signs of the teacher's vectors are those that the decomposition
      happens to have.
    """
    check_known(form, _FORMS, f"singular_transfer: form={form!r}")
    students, teachers = ([jnp.asarray(x) for x in maps] for maps in (student_maps, teacher_maps))
    if len(students) != len(teachers) or len(students) < 2:
        raise AssertionError(f"singular_transfer: {len(students)} maps against {len(teachers)}; as many, 2 or more")
    chex.assert_rank([*students, *teachers], 4)
    chex.assert_equal_shape_prefix([*students, *teachers], 1)
    ours, theirs = [], []
    for student, teacher in zip(students, teachers, strict=True):
        own, other = (_matrix(at_least_float32(blank(x, where)), form) for x in (student, teacher))
        chex.assert_equal_shape_suffix([own, other], 1)
        target = leading_vectors(jax.lax.stop_gradient(other), 1)[..., 0]
        ours.append(_most_like(leading_vectors(own, min(1 + _MORE, *own.shape[1:])), target))
        theirs.append(target)
    relations = zip(itertools.pairwise(ours), itertools.pairwise(theirs), strict=True)
    total = sum(jnp.square(_relation(*own) - _relation(*other)).sum((1, 2)) for own, other in relations)
    return masked(cast(jax.Array, total), where)


def _matrix(maps: jax.Array, form: str) -> jax.Array:
    """``[B, places, channels]``, or ``[B, channels and rows, columns]``."""
    if form == "channels":
        return maps.reshape(len(maps), -1, maps.shape[-1])
    return maps.transpose(0, 3, 1, 2).reshape(len(maps), -1, maps.shape[2])


def _most_like(vectors: jax.Array, target: jax.Array) -> jax.Array:
    """Of vectors ``[B, D, n]`` the one with the largest cosine to the target ``[B, D]``, turned to it, ``[B, D]``."""
    cosines = jnp.einsum("bdn,bd->bn", vectors, target, precision=EXACT)
    chosen = jnp.argmax(jnp.abs(cosines), -1)[:, None]
    sign = jnp.sign(jnp.take_along_axis(cosines, chosen, -1))
    return sign * jnp.take_along_axis(vectors, chosen[:, None], -1)[..., 0]


def _relation(before: jax.Array, after: jax.Array) -> jax.Array:
    return jnp.exp(-jnp.square(after[:, :, None] - before[:, None]) / _WIDTH)


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def leading_vectors(matrices: jax.Array, count: int) -> jax.Array:
    """The right singular vectors of the largest singular values, each with its largest component positive.

    Differentiable where smaller singular values are the same, as of a map with several channels that are 0: what the
    decomposition's own derivative answers there is NaN. Vectors of one and the same value do not turn into one another.

    Args:
      matrices: ``[B, M, D]``.
      count: how many, at most D.

    Returns:
      Unit vectors, ``[B, D, count]``, that of the largest value first.
    """
    return _vectors(matrices)[1][..., :count]


def _vectors(matrices: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The squares of the singular values, from the largest, ``[B, D]``, and all vectors ``[B, D, D]``."""
    squares, vectors = jnp.linalg.eigh(jnp.einsum("bmd,bme->bde", matrices, matrices, precision=EXACT))
    largest = jnp.take_along_axis(vectors, jnp.argmax(jnp.abs(vectors), 1)[:, None], 1)
    return squares[:, ::-1], (vectors * jnp.where(largest < 0, -1.0, 1.0))[..., ::-1]


@leading_vectors.defjvp
def _turned(count: int, primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    (matrices,), (change,) = primals, tangents
    squares, vectors = _vectors(matrices)
    first = vectors[..., :count]
    turned = jnp.einsum("bmd,bme->bde", change, matrices, precision=EXACT)
    turned = turned + turned.swapaxes(1, 2)  # of the product of a matrix with itself
    along = jnp.einsum("bdj,bde,bei->bji", vectors, turned, first, precision=EXACT)
    gaps = squares[:, None, :count] - squares[:, :, None]
    # Below what single precision leaves of the largest one, a gap is rounding.
    real = jnp.abs(gaps) > 1e-6 * squares[:, :1, None]
    shares = jnp.where(real, along / jnp.where(real, gaps, 1.0), 0.0)
    return first, jnp.einsum("bdj,bji->bdi", vectors, shares, precision=EXACT)
