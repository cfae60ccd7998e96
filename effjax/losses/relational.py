"""The geometry of a batch: how far apart its examples lie, and at which angles."""

import chex
import jax
import jax.numpy as jnp

from effjax.losses.batches import gather, kept, own_rows, vectors
from effjax.losses.masking import masked
from effjax.numerics import EXACT


def relational_distance(
    student: jax.Array, teacher: jax.Array, *, where: jax.Array | None = None, axis_name: str | None = None
) -> jax.Array:
    """Smooth L1 difference of the distances between examples, per example.

    Distances are divided by their mean over all pairs of different examples, each network's by its own. The value of
    example i is the mean over all j, itself included, so the mean over the batch (with ``where``: the sum over those
    that take part, divided by their number) is the published loss. Distances below 1e-6 count as 1e-6 and have no
    gradient, as in the authors' code. No gradient flows to the teacher.

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
      >>> line = jnp.array([[0.0], [1.0], [2.0]])
      >>> relational_distance(line, 5.0 * line)  # the scale does not matter
      Array([0., 0., 0.], dtype=float32)

    References:
      Park et al., `Relational Knowledge Distillation <https://arxiv.org/abs/1904.05068>`_, 2019, eq. 4 to 6;
      `its code <https://github.com/lenscloth/RKD>`_, ``metric/loss.py``.
    """
    keep = _checked(student, teacher, where, axis_name)
    difference = _distances(student, where, keep, axis_name)
    difference -= _distances(jax.lax.stop_gradient(teacher), where, keep, axis_name)
    by_row = jnp.where(keep, _smooth_l1(difference), 0.0).sum(-1) / jnp.maximum(keep.sum(), 1)
    return masked(own_rows(by_row, len(student), axis_name), where)


def relational_angle(
    student: jax.Array, teacher: jax.Array, *, where: jax.Array | None = None, axis_name: str | None = None
) -> jax.Array:
    """Smooth L1 difference of the cosines of the angles that examples form, per example.

    The value of example i is the mean over all j and k of the angles at i, so the mean over the batch (with ``where``:
    the sum over those that take part, divided by their number) is the published loss. An angle with a side of length 0
    has the cosine 0 and no gradient. No gradient flows to the teacher.

    The cosines come from the N × N inner products, since ``<x_j − x_i, x_k − x_i>`` is
    ``<x_j, x_k> − <x_i, x_j> − <x_i, x_k> + <x_i, x_i>``: the N² differences of D numbers each are never formed, only
    the cosines, N³ of them.

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
      >>> corner = jnp.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
      >>> relational_angle(corner, corner[:, ::-1])  # nor does a reflection
      Array([0., 0., 0.], dtype=float32)

    References:
      Park et al., `Relational Knowledge Distillation <https://arxiv.org/abs/1904.05068>`_, 2019, eq. 7 and 8;
      `its code <https://github.com/lenscloth/RKD>`_, ``metric/loss.py``.
    """
    keep = _checked(student, teacher, where, axis_name)
    difference = _cosines(student, where, keep, axis_name)
    difference -= _cosines(jax.lax.stop_gradient(teacher), where, keep, axis_name)
    both = keep[:, None] & keep[None, :]
    by_vertex = jnp.where(both, _smooth_l1(difference), 0.0).sum((-2, -1)) / jnp.maximum(keep.sum(), 1) ** 2
    return masked(by_vertex, where)


def _checked(student: jax.Array, teacher: jax.Array, where: jax.Array | None, axis_name: str | None) -> jax.Array:
    """Which of all devices' examples take part, ``[N]``."""
    chex.assert_equal_shape_prefix([student, teacher], 1)
    return gather(kept(where, len(student)), axis_name)


def _smooth_l1(difference: jax.Array) -> jax.Array:
    size = jnp.abs(difference)
    near = jnp.minimum(size, 1.0)
    return 0.5 * jnp.square(near) + (size - near)


def _inner_products(features: jax.Array, where: jax.Array | None, keep: jax.Array, axis_name: str | None) -> jax.Array:
    """Inner products ``[N, N]`` of all devices' examples, seen from their mean."""
    rows = gather(vectors(jnp.asarray(features), where), axis_name)
    # No relation depends on the origin; from the mean, the differences of inner products cancel the least.
    rows = jnp.where(keep[:, None], rows - rows.sum(0) / jnp.maximum(keep.sum(), 1), 0.0)
    return jnp.matmul(rows, rows.T, precision=EXACT)


def _squared_distances(inner: jax.Array) -> jax.Array:
    square = jnp.diagonal(inner)
    return square[:, None] + square[None, :] - 2.0 * inner


def _distances(features: jax.Array, where: jax.Array | None, keep: jax.Array, axis_name: str | None) -> jax.Array:
    """Distances ``[N, N]`` over their mean."""
    inner = _inner_products(features, where, keep, axis_name)
    pairs = keep[:, None] & keep[None, :] & ~jnp.eye(len(inner), dtype=bool)
    square = jnp.where(pairs, _squared_distances(inner), 1.0)
    distances = jnp.where(pairs, jnp.sqrt(jnp.maximum(square, 1e-12)), 0.0)
    count = pairs.sum()
    return distances * count / jnp.where(count > 0, distances.sum(), 1.0)


def _cosines(features: jax.Array, where: jax.Array | None, keep: jax.Array, axis_name: str | None) -> jax.Array:
    """Cosines ``[B, N, N]`` of the angles at this device's examples."""
    inner = _inner_products(features, where, keep, axis_name)
    square, lengths = jnp.diagonal(inner), _squared_distances(inner)
    # Equal examples: what is left of the difference of their inner products is rounding.
    apart = lengths > 8 * jnp.finfo(inner.dtype).eps * (square[:, None] + square[None, :])
    inverse = jnp.where(apart, jax.lax.rsqrt(jnp.where(apart, lengths, 1.0)), 0.0)
    own = [own_rows(x, len(features), axis_name) for x in (inner, square, inverse)]
    return jax.vmap(lambda row, length, sides: _at_vertex(inner, row, length, sides))(*own)


def _at_vertex(inner: jax.Array, row: jax.Array, length: jax.Array, sides: jax.Array) -> jax.Array:
    """Cosines ``[N, N]`` at one example, given its inner products, its squared length and its inverse distances."""
    return (inner - row[:, None] - row[None, :] + length) * sides[:, None] * sides[None, :]
