"""Targets that follow the pixels of their image: boxes, points and masks under affine maps.

A map is a matrix ``[2, 3]`` as :func:`effjax.images.warp.warp` has it: it takes a place (x, y, 1) of the result to the
place (x, y) of the image that is seen there, in pixels.
"""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp

Size = tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Boxes:
    """Targets ``[..., 4]``: y0, x0, y1, x1 in [0, 1]. What reaches beyond the image is cut off.

    A box that was turned becomes the box around it.

    Attributes:
      valid: the field ``[...]`` that is false on padding and becomes false where a box is lost, if a batch has it.
      least: a box is lost if less than this share of its area is left in the image, or no area at all.
    """

    valid: str = "valid"
    least: float = 0.1

    def moved(self, boxes: jax.Array, matrices: jax.Array, size: Size) -> tuple[jax.Array, jax.Array]:
        """Moves boxes.

        Args:
          boxes: ``[..., 4]``.
          matrices: the maps ``[n, 2, 3]`` that the image has undergone, in order.
          size: (height, width) of the image, in pixels.

        Returns:
          The boxes, and which of them are left, ``[...]``.
        """
        share = jnp.ones(boxes.shape[:-1])
        for matrix in matrices:
            corners = boxes[..., jnp.array([[0, 1], [0, 3], [2, 1], [2, 3]])]
            corners = moved_points(corners, matrix, size)
            whole = jnp.concatenate([corners.min(-2), corners.max(-2)], -1)
            boxes = jnp.clip(whole, 0, 1)
            share = share * _area(boxes) / jnp.maximum(_area(whole), jnp.finfo(whole.dtype).tiny)
        return boxes, (share >= self.least) & (_area(boxes) > 0)


@dataclasses.dataclass(frozen=True)
class Points:
    """Targets ``[..., 2]``: y, x in [0, 1]. One that leaves the image is lost.

    Attributes:
      valid: the field that is false on padding and becomes false where all points of an entry are lost, if a batch has
        it; of as many axes as say what is lost together: ``[M, K]`` of points ``[M, K, 2]`` speaks of each, ``[M]`` of
        each K.
    """

    valid: str = "valid"

    def moved(self, points: jax.Array, matrices: jax.Array, size: Size) -> tuple[jax.Array, jax.Array]:
        """Moves points; see :meth:`Boxes.moved`.

        Args:
          points: ``[..., 2]``.
          matrices: the maps ``[n, 2, 3]``.
          size: (height, width) of the image, in pixels.

        Returns:
          The points, and which of them are in the image, ``[...]``.
        """
        left = jnp.ones(points.shape[:-1], bool)
        for matrix in matrices:
            points = moved_points(points, matrix, size)
            left &= ((points >= 0) & (points <= 1)).all(-1)
        return points, left


@dataclasses.dataclass(frozen=True)
class Masks:
    """Targets ``[..., H, W]`` or, where their last two axes are not those of the image, ``[H, W, ...]``.

    Every pixel takes the value of the nearest one; what comes from outside the image is ``fill``.

    Attributes:
      fill: 0, or the number of what is not looked at.
      valid: none: a mask says itself what is left.
    """

    fill: float = 0
    valid: str = ""

    def moved(self, masks: jax.Array, matrices: jax.Array, size: Size) -> tuple[jax.Array, None]:
        """Moves masks; see :meth:`Boxes.moved`.

        Args:
          masks: ``[..., H, W]`` or ``[H, W, ...]``, of any dtype.
          matrices: the maps ``[n, 2, 3]``.
          size: (H, W).

        Returns:
          The masks, and None: nothing is lost.

        Raises:
          ValueError: if they have not the image's size.
        """
        last = masks.shape[-2:] == size
        if not last and masks.shape[:2] != size:
            raise ValueError(f"masks of shape {masks.shape} are neither [..., H, W] nor [H, W, ...] of images {size}")
        masks = masks if last else jnp.moveaxis(masks, (0, 1), (-2, -1))
        for matrix in matrices:
            masks = _sampled(masks, matrix, self.fill)
        return masks if last else jnp.moveaxis(masks, (-2, -1), (0, 1)), None


Kind = Boxes | Points | Masks
KINDS: Mapping[str, Kind] = {"boxes": Boxes(), "points": Points(), "masks": Masks()}


def follow(
    fields: Mapping[str, jax.Array], moves: Mapping[str, Kind], matrices: jax.Array, size: Size
) -> dict[str, jax.Array]:
    """Moves the targets of one example.

    Where a target is padded, padding stays as it is, and what is lost becomes zeros and not valid.

    Args:
      fields: of the example, by name: the targets, and which of their entries are valid.
      moves: by target, how it moves.
      matrices: ``[n, 2, 3]``, the maps that the image has undergone, in order.
      size: (height, width) of the image, in pixels.

    Returns:
      The fields that have changed.
    """
    found: dict[str, jax.Array] = {}
    for name, kind in moves.items():
        before, valid = jnp.asarray(fields[name]), fields.get(kind.valid)
        found[name], left = kind.moved(before, matrices, size)
        if left is None or valid is None:
            continue
        kept = left.any(tuple(range(valid.ndim, left.ndim))) & (valid != 0)
        shown = jnp.where(_over(kept, before), found[name], jnp.zeros_like(before))
        found[name] = jnp.where(_over(valid != 0, before), shown, before)
        found[kind.valid] = (found.get(kind.valid, valid) != 0).astype(valid.dtype) * kept.astype(valid.dtype)
    return found


def moved_points(points: jax.Array, matrix: jax.Array, size: Size) -> jax.Array:
    """Moves points by one map.

    Args:
      points: ``[..., 2]``, y and x in [0, 1].
      matrix: ``[2, 3]``.
      size: (height, width) of the image, in pixels.

    Returns:
      Where the points are seen, ``[..., 2]``; maybe outside of the image.

    Example:
      >>> left = jnp.array([[1.0, 0, 10], [0, 1, 0]])  # by ten pixels
      >>> moved_points(jnp.array([0.5, 0.75]), left, (20, 40)).tolist()
      [0.5, 0.5]
    """
    height, width = size
    y, x = points[..., 0] * height - matrix[1, 2], points[..., 1] * width - matrix[0, 2]
    (a, b), (c, d) = matrix[:, :2]
    area = a * d - b * c
    return jnp.stack([(a * y - c * x) / (area * height), (d * x - b * y) / (area * width)], -1)


def _sampled(masks: jax.Array, matrix: jax.Array, fill: float) -> jax.Array:
    height, width = masks.shape[-2:]
    y, x = jnp.meshgrid(jnp.arange(height) + 0.5, jnp.arange(width) + 0.5, indexing="ij")
    column, row = (jnp.floor(to_x * x + to_y * y + by).astype(jnp.int32) for to_x, to_y, by in matrix)
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    return jnp.where(inside, masks[..., row, column], jnp.asarray(fill, masks.dtype))


def _area(boxes: jax.Array) -> jax.Array:
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def _over(chosen: jax.Array, array: jax.Array) -> jax.Array:
    return chosen.reshape(*chosen.shape, *[1] * (array.ndim - chosen.ndim))
