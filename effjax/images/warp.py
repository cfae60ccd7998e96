"""Affine warps of one image: rotation, shear, translation."""

import chex
import jax
import jax.numpy as jnp

FILL = (124 / 255, 116 / 255, 104 / 255)  # ImageNet's mean colour: what a warp brings in from outside the image
GREY_FILL = 117 / 255  # its luma


def warp(image: jax.Array, matrix: jax.Array, *, interpolation: str = "bilinear") -> jax.Array:
    """Moves each pixel to where ``matrix`` points; what comes from outside is :data:`FILL`.

    Coordinates are Pillow's: the centre of pixel (column 0, row 0) lies at (½, ½); a point within the image whose
    neighbours are not takes the nearest pixels at the edge.

    Args:
      image: ``[H, W, C]``, C = 1 or 3, in [0, 1].
      matrix: ``[2, 3]``; it takes a place (x, y, 1) of the result to a place (x, y) of ``image``, in pixels.
      interpolation: "bilinear", or "bicubic", by Keys' kernel with a = −1, as Pillow warps.

    Returns:
      ``[H, W, C]``.

    Raises:
      AssertionError: if the shapes do not fit.
    """
    chex.assert_rank(image, 3)
    chex.assert_axis_dimension_comparator(image, 2, lambda channels: channels in (1, 3), "is 1 or 3")
    chex.assert_shape(matrix, (2, 3))
    height, width, channels = image.shape
    y, x = jnp.meshgrid(jnp.arange(height) + 0.5, jnp.arange(width) + 0.5, indexing="ij")
    column = matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2]
    row = matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2]
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    fill = jnp.asarray(FILL if channels == 3 else GREY_FILL, image.dtype)
    read = _READERS[interpolation]
    return jnp.where(inside[..., None], read(image, row - 0.5, column - 0.5), fill)


def _bilinear(image: jax.Array, row: jax.Array, column: jax.Array) -> jax.Array:
    height, width, channels = image.shape
    above, left = jnp.floor(row), jnp.floor(column)
    down, right = (row - above)[..., None], (column - left)[..., None]
    pixels = image.reshape(height * width, channels)

    def at(rows: jax.Array, columns: jax.Array) -> jax.Array:
        rows = jnp.clip(rows.astype(jnp.int32), 0, height - 1)
        return pixels[rows * width + jnp.clip(columns.astype(jnp.int32), 0, width - 1)]

    upper = (1 - right) * at(above, left) + right * at(above, left + 1)
    lower = (1 - right) * at(above + 1, left) + right * at(above + 1, left + 1)
    return (1 - down) * upper + down * lower


def _bicubic(image: jax.Array, row: jax.Array, column: jax.Array) -> jax.Array:
    height, width, channels = image.shape
    above, left = jnp.floor(row), jnp.floor(column)
    downs, rights = _cubic_weights(row - above), _cubic_weights(column - left)
    pixels = image.reshape(height * width, channels)
    found = jnp.zeros((*row.shape, channels), image.dtype)
    for i, down in enumerate(downs):
        rows = jnp.clip(above.astype(jnp.int32) + i - 1, 0, height - 1)
        for j, right in enumerate(rights):
            columns = jnp.clip(left.astype(jnp.int32) + j - 1, 0, width - 1)
            found += (down * right)[..., None] * pixels[rows * width + columns]
    return jnp.clip(found, 0, 1)


def _cubic_weights(d: jax.Array) -> tuple[jax.Array, ...]:
    """What four neighbours count, of which the second lies ``d`` before the place that is read."""
    return -d + 2 * d**2 - d**3, 1 - 2 * d**2 + d**3, d + d**2 - d**3, d**3 - d**2


_READERS = {"bilinear": _bilinear, "bicubic": _bicubic}


def rotation(degrees: jax.Array, height: int, width: int) -> jax.Array:
    """The matrix for :func:`warp` that turns an image counter-clockwise about its centre, ``[2, 3]``."""
    angle = jnp.deg2rad(degrees)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    x, y = width / 2, height / 2
    return affine(cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y)


def shear_x(factor: jax.Array, height: int, width: int) -> jax.Array:
    """The matrix for :func:`warp` that moves each row to the left by ``factor`` times its distance from the top."""
    del height, width
    return affine(1, factor, 0, 0, 1, 0)


def shear_y(factor: jax.Array, height: int, width: int) -> jax.Array:
    """The matrix for :func:`warp` that moves each column up by ``factor`` times its distance from the left."""
    del height, width
    return affine(1, 0, 0, factor, 1, 0)


def translation_x(share: jax.Array, height: int, width: int) -> jax.Array:
    """The matrix for :func:`warp` that moves an image to the left by a share of its width."""
    del height
    return affine(1, 0, share * width, 0, 1, 0)


def translation_y(share: jax.Array, height: int, width: int) -> jax.Array:
    """The matrix for :func:`warp` that moves an image up by a share of its height."""
    del width
    return affine(1, 0, 0, 0, 1, share * height)


def affine(*entries: jax.Array | float) -> jax.Array:
    """A matrix ``[2, 3]`` of its six entries, row by row."""
    return jnp.stack([jnp.asarray(entry, jnp.float32) for entry in entries]).reshape(2, 3)
