"""How much boxes overlap."""

import jax
import jax.numpy as jnp

from effjax.boxes.checks import check_shape, coordinates
from effjax.typing import Array

_NOTHING = 1e-18  # no area: far below a pixel's, and float32 holds the inverse of its square, which the gradient needs


def area(boxes: Array) -> jax.Array:
    """The area of boxes.

    Args:
      boxes: ``[..., 4]``.

    Returns:
      ``[...]``: a share of the image, 0 where a box ends before it begins.

    Raises:
      UserError: if these are no boxes.

    Example:
      >>> area(jnp.array([0.0, 0.5, 0.5, 1.0]))
      Array(0.25, dtype=float32)
    """
    return _area(coordinates("boxes", boxes))


def iou(a: Array, b: Array) -> jax.Array:
    """Intersection over union of each box with each other.

    Of two empty boxes it is 0, and so is the gradient.

    Args:
      a: ``[..., M, 4]``.
      b: ``[..., N, 4]``.

    Returns:
      ``[..., M, N]`` in [0, 1].

    Raises:
      UserError: if these are no boxes.

    Example:
      >>> whole, left = [0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.5]
      >>> iou(jnp.array([whole, left]), jnp.array([left]))
      Array([[0.5],
             [1. ]], dtype=float32)

    References:
      Everingham et al., `The PASCAL Visual Object Classes Challenge
      <https://link.springer.com/article/10.1007/s11263-009-0275-4>`_, 2010, sec. 4.2.
    """
    return _iou(*_pairs(a, b))[0]


def generalized_iou(a: Array, b: Array) -> jax.Array:
    """Generalised intersection over union of each box with each other.

    That is IoU less the share of the smallest box around both that neither covers: it tells boxes apart that do not
    touch.

    Args:
      a: ``[..., M, 4]``.
      b: ``[..., N, 4]``.

    Returns:
      ``[..., M, N]`` in [-1, 1].

    Raises:
      UserError: if these are no boxes.

    Example:
      >>> left, right = [0.0, 0.0, 1.0, 0.25], [0.0, 0.75, 1.0, 1.0]
      >>> generalized_iou(jnp.array([left]), jnp.array([left, right]))  # half of what is around both is empty
      Array([[ 1. , -0.5]], dtype=float32)

    References:
      Rezatofighi et al., `Generalized Intersection over Union <https://arxiv.org/abs/1902.09630>`_, 2019, alg. 1.
    """
    return _generalized_iou(*_pairs(a, b))


def aligned_iou(a: Array, b: Array) -> jax.Array:
    """Intersection over union of each box with that at its place; see :func:`iou`.

    Args:
      a: ``[..., 4]``.
      b: ``[..., 4]``, as many.

    Returns:
      ``[...]`` in [0, 1].

    Raises:
      UserError: if these are no boxes, or not as many.

    Example:
      >>> aligned_iou(jnp.array([0.0, 0.0, 1.0, 0.75]), jnp.array([0.0, 0.25, 1.0, 1.0]))
      Array(0.5, dtype=float32)
    """
    return _iou(*_aligned(a, b))[0]


def aligned_generalized_iou(a: Array, b: Array) -> jax.Array:
    """Generalised intersection over union of each box with that at its place; see :func:`generalized_iou`.

    Args:
      a: ``[..., 4]``.
      b: ``[..., 4]``, as many.

    Returns:
      ``[...]`` in [-1, 1].

    Raises:
      UserError: if these are no boxes, or not as many.

    Example:
      >>> aligned_generalized_iou(jnp.array([0.0, 0.0, 1.0, 0.25]), jnp.array([0.0, 0.75, 1.0, 1.0]))
      Array(-0.5, dtype=float32)
    """
    return _generalized_iou(*_aligned(a, b))


def _pairs(a: Array, b: Array) -> tuple[jax.Array, jax.Array]:
    return coordinates("a", a)[..., :, None, :], coordinates("b", b)[..., None, :, :]


def _aligned(a: Array, b: Array) -> tuple[jax.Array, jax.Array]:
    a, b = coordinates("a", a), coordinates("b", b)
    check_shape("b", b, a.shape, "as many as of a")
    return a, b


def _iou(a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
    """IoU, and the area of the union."""
    both = _area(jnp.concatenate([jnp.maximum(a[..., :2], b[..., :2]), jnp.minimum(a[..., 2:], b[..., 2:])], -1))
    union = _area(a) + _area(b) - both
    return _share(both, union), union


def _generalized_iou(a: jax.Array, b: jax.Array) -> jax.Array:
    overlap, union = _iou(a, b)
    around = _area(jnp.concatenate([jnp.minimum(a[..., :2], b[..., :2]), jnp.maximum(a[..., 2:], b[..., 2:])], -1))
    return overlap - _share(around - union, around)


def _share(part: jax.Array, whole: jax.Array) -> jax.Array:
    """``part / whole``; 0, as is its gradient, where the whole is nothing."""
    there = whole > _NOTHING
    return jnp.where(there, part / jnp.where(there, whole, 1.0), 0.0)


def _area(boxes: jax.Array) -> jax.Array:
    return jnp.maximum(boxes[..., 2] - boxes[..., 0], 0.0) * jnp.maximum(boxes[..., 3] - boxes[..., 1], 0.0)
