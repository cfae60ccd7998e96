"""The depthwise convolution: one filter a channel."""

import flax.linen as nn
import jax
import jax.numpy as jnp


class DepthwiseConv(nn.Module):
    """A convolution of each channel with its own filter, no bias, "SAME" padding.

    On CPU it is written as a sum of shifted products, which XLA fuses into one loop; with its grouped convolution an
    EfficientNet-Lite answers ten times as slowly there, and trains more slowly too. Elsewhere it is the grouped
    convolution. The two are equal but for rounding, and so are their parameters.

    Attributes:
      kernel_size: k, the height and the width of the filters.
      stride: of both axes.
      dtype: what is computed in; parameters are float32.

    References:
      Sandler et al, 2018, MobileNetV2: Inverted Residuals and Linear Bottlenecks,
      https://arxiv.org/abs/1801.04381
    """

    kernel_size: int
    stride: int = 1
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps ``[B, H, W, C]`` to ``[B, ⌈H/stride⌉, ⌈W/stride⌉, C]``."""
        # One filter feeds one channel, so the fan-out is k² (that of all the channels would be C times as large).
        init = nn.initializers.variance_scaling(2.0, "fan_in", "normal")
        kernel = self.param("kernel", init, (self.kernel_size, self.kernel_size, 1, x.shape[-1]), jnp.float32)
        x, kernel = x.astype(self.dtype), kernel.astype(self.dtype)
        return jax.lax.platform_dependent(
            x,
            kernel,
            cpu=lambda x, kernel: shifted_products(x, kernel, self.stride),
            default=lambda x, kernel: grouped(x, kernel, self.stride),
        )


def grouped(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """XLA's convolution with a group a channel; ``x [B, H, W, C]``, ``kernel [k, k, 1, C]``."""
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x.shape[-1],
    )


def shifted_products(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """The same as a sum over the k² taps of the filter: the image, shifted, times the tap's weight."""
    size = kernel.shape[0]
    out = [-(-side // stride) for side in x.shape[1:3]]
    pads = jax.lax.padtype_to_pads(x.shape[1:3], (size, size), (stride, stride), "SAME")
    padded = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    total = 0.0
    for i in range(size):
        for j in range(size):
            rows = slice(i, i + (out[0] - 1) * stride + 1, stride)
            columns = slice(j, j + (out[1] - 1) * stride + 1, stride)
            total = total + padded[:, rows, columns] * kernel[i, j, 0]
    return total
