"""Weights of two layers, shared out so that all their channels fill the same grid."""

import jax
import jax.numpy as jnp

from effjax.errors import UserError
from effjax.numerics import at_least_float32
from effjax.typing import Array


def equalize(
    kernel: Array, bias: Array, next_kernel: Array, *, in_axis: int = -2
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Divides each output channel of a layer by s and multiplies the next layer's weights for it: s = √(r₁ · r₂)/r₂.

    r₁ and r₂ are the channel's largest weights in either layer, which are the same afterwards: √(r₁ · r₂). It serves a
    grid for a whole tensor; with a grid for each channel the first layer gains nothing.

    What the two layers compute stays as it is if what lies between them lets positive factors through: nothing, a ReLU,
    a pooling. A ReLU6 does not, nor do sigmoids: their networks are not to be equalised. Nor may anything else read
    what the first layer puts out.

    Args:
      kernel: of the first layer, ``[..., C]``.
      bias: of the first layer, ``[C]``.
      next_kernel: of the next layer.
      in_axis: its axis of C input channels: -2 of a convolution or a dense layer, -1 of a depthwise convolution.

    Returns:
      The three, equalised. Channels without a weight in either layer stay as they are.

    Raises:
      UserError: if the layers do not fit.

    Example:
      >>> equalize(jnp.array([[8.0]]), jnp.array([4.0]), jnp.array([[2.0, 1.0]]))  # s = 2
      (Array([[4.]], dtype=float32), Array([2.], dtype=float32), Array([[4., 2.]], dtype=float32))

    References:
      Nagel et al., `Data-Free Quantization Through Weight Equalization and Bias Correction
      <https://arxiv.org/abs/1906.04721>`_, 2019, eq. 11; Meller et al., `Same, Same But Different
      <https://arxiv.org/abs/1902.01917>`_, 2019.
    """
    kernel, bias, next_kernel = (at_least_float32(jnp.asarray(array)) for array in (kernel, bias, next_kernel))
    channels = kernel.shape[-1]
    if bias.shape != (channels,) or next_kernel.shape[in_axis] != channels:
        raise UserError(
            f"next_kernel of shape {next_kernel.shape}, bias of {bias.shape}: {channels} channels come out of "
            f"{kernel.shape}, to go into axis {in_axis}"
        )
    first, second = _largest(kernel, -1), _largest(next_kernel, in_axis)
    used = (first > 0) & (second > 0)
    # Two roots, as the product or the quotient may leave float32.
    factor = jnp.where(used, jnp.sqrt(jnp.where(used, first, 1.0)) / jnp.sqrt(jnp.where(used, second, 1.0)), 1.0)
    along = [1] * next_kernel.ndim
    along[in_axis] = -1
    return kernel / factor, bias / factor, next_kernel * factor.reshape(along)


def _largest(kernel: jax.Array, axis: int) -> jax.Array:
    """The largest size of a weight by channel."""
    return jnp.abs(kernel).max([other for other in range(kernel.ndim) if other != axis % kernel.ndim])
