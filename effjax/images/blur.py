"""Gaussian blur of one image, as Pillow has it: three times a box blur along each axis."""

import jax
import jax.numpy as jnp

_PASSES = 3
_REACH = 2  # of a box, in pixels


def gaussian_blur(image: jax.Array, radius: jax.typing.ArrayLike) -> jax.Array:
    """Blurs an image by about a Gaussian with the deviation ``radius``; what lies beyond the edge is as at the edge.

    Args:
      image: ``[H, W, C]``, float.
      radius: in pixels, from 0 to 2.4; may be traced.

    Returns:
      ``[H, W, C]``.

    Example:
      >>> spot = jnp.zeros((5, 5, 1)).at[2, 2].set(1.0)
      >>> [round(float(level), 3) for level in gaussian_blur(spot, 1.0)[2, :, 0]]
      [0.025, 0.096, 0.166, 0.096, 0.025]

    References:
      Gwosdek et al., `Theoretical Foundations of Gaussian Convolution by Extended Box Filtering
      <https://doi.org/10.1007/978-3-642-24785-9_38>`_, 2011.
    """
    weights = _box_weights(jnp.asarray(radius, jnp.float32))
    for axis in (1, 0):
        for _ in range(_PASSES):
            image = _weighted(image, weights, axis)
    return image


def _box_weights(radius: jax.Array) -> jax.Array:
    """How much the pixels at the distances −2 … 2 count: a box whose ends may cover but a part of a pixel."""
    variance = radius**2 / _PASSES
    whole = jnp.floor((jnp.sqrt(12 * variance + 1) - 1) / 2)
    rest = (2 * whole + 1) * (whole * (whole + 1) - 3 * variance) / (6 * (variance - (whole + 1) ** 2))
    reach = whole + rest
    distances = jnp.abs(jnp.arange(-_REACH, _REACH + 1))
    return jnp.clip(reach - distances + 1, 0, 1) / (2 * reach + 1)


def _weighted(image: jax.Array, weights: jax.Array, axis: int) -> jax.Array:
    length = image.shape[axis]
    padded = jnp.pad(image, [(_REACH, _REACH) if axis == one else (0, 0) for one in range(3)], mode="edge")
    shifted = (jax.lax.slice_in_dim(padded, i, i + length, axis=axis) for i in range(2 * _REACH + 1))
    return sum((weight * pixels for weight, pixels in zip(weights, shifted, strict=True)), jnp.zeros_like(image))
