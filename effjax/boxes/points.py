"""Boxes as distances from the points of a grid."""

import jax
import jax.numpy as jnp

from effjax.boxes.checks import coordinates
from effjax.typing import Array


def grid_points(height: int, width: int) -> jax.Array:
    """The centres of a feature map's cells.

    Args:
      height: of the map, in cells.
      width: of the map, in cells.

    Returns:
      ``[height · width, 2]``: y, x in [0, 1], row by row.

    Example:
      >>> grid_points(1, 2)
      Array([[0.5 , 0.25],
             [0.5 , 0.75]], dtype=float32)
    """
    rows, columns = ((jnp.arange(n, dtype=jnp.float32) + 0.5) / n for n in (height, width))
    y, x = jnp.meshgrid(rows, columns, indexing="ij")
    return jnp.stack([y.ravel(), x.ravel()], -1)


def encode(points: Array, boxes: Array) -> jax.Array:
    """Boxes as a network predicts them: how far their sides are from a point.

    Args:
      points: ``[..., 2]``, y and x.
      boxes: ``[..., 4]``.

    Returns:
      Distances ``[..., 4]`` to the top, left, bottom and right side; all are above 0 where the point is in the box.

    Raises:
      UserError: if these are no points, or no boxes.

    Example:
      >>> encode(jnp.array([0.5, 0.5]), jnp.array([0.25, 0.0, 1.0, 0.75]))
      Array([0.25, 0.5 , 0.5 , 0.25], dtype=float32)

    References:
      Tian et al., `FCOS: Fully Convolutional One-Stage Object Detection <https://arxiv.org/abs/1904.01355>`_, 2019,
      eq. 1.
    """
    points, boxes = coordinates("points", points, 2), coordinates("boxes", boxes)
    return jnp.concatenate([points - boxes[..., :2], boxes[..., 2:] - points], -1)


def decode(points: Array, distances: Array) -> jax.Array:
    """The boxes that :func:`encode` has encoded.

    Args:
      points: ``[..., 2]``, y and x.
      distances: ``[..., 4]`` to the top, left, bottom and right side.

    Returns:
      Boxes ``[..., 4]``; they may reach beyond the image.

    Raises:
      UserError: if these are no points, or not four distances each.

    Example:
      >>> decode(jnp.array([0.5, 0.5]), jnp.array([0.25, 0.5, 0.5, 0.25]))
      Array([0.25, 0.  , 1.  , 0.75], dtype=float32)
    """
    points, distances = coordinates("points", points, 2), coordinates("distances", distances)
    return jnp.concatenate([points - distances[..., :2], points + distances[..., 2:]], -1)
