"""The depthwise convolution: one filter a channel."""

import functools
import itertools
from collections.abc import Callable
from typing import cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

#: Zeros before and after the rows, and the columns.
Pads = tuple[tuple[int, int], tuple[int, int]]

_BLOCK = 8  # pixels summed in one step of the kernel's gradient: more compile longer and run no faster


class DepthwiseConv(nn.Module):
    """A convolution of each channel with its own filter.

    On CPU it is written as a sum of shifted products, which XLA fuses into one loop; with its grouped convolution an
    EfficientNet-Lite answers ten times as slowly there, and trains more slowly too. Elsewhere it is the grouped
    convolution. The two are equal but for rounding, and so are their parameters.

    Attributes:
      kernel_size: k, the height and the width of the filters.
      stride: of both axes.
      symmetric: whether as many zeros are added before as after, as in PyTorch; else "SAME" padding, which at stride 2
        adds more after.
      use_bias: whether a number is added to each channel.
      dtype: what is computed in; parameters are float32.
      convolution: what computes it, in the place of :func:`depthwise_conv`.

    References:
      Sandler et al, 2018, MobileNetV2: Inverted Residuals and Linear Bottlenecks,
      https://arxiv.org/abs/1801.04381
    """

    kernel_size: int
    stride: int = 1
    symmetric: bool = False
    use_bias: bool = False
    dtype: DTypeLike = jnp.float32
    convolution: Callable[[jax.Array, jax.Array, int, Pads], jax.Array] | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps ``[B, H, W, C]`` to ``[B, ⌈H/stride⌉, ⌈W/stride⌉, C]``."""
        # One filter feeds one channel, so the fan-out is k² (that of all the channels would be C times as large).
        init = nn.initializers.variance_scaling(2.0, "fan_in", "normal")
        kernel = self.param("kernel", init, (self.kernel_size, self.kernel_size, 1, x.shape[-1]), jnp.float32)
        x, kernel = x.astype(self.dtype), kernel.astype(self.dtype)
        half = self.kernel_size // 2
        pads = ((half, half), (half, half)) if self.symmetric else same_pads(x, self.kernel_size, self.stride)
        x = (self.convolution or depthwise_conv)(x, kernel, self.stride, pads)
        if not self.use_bias:
            return x
        return x + self.param("bias", nn.initializers.zeros, (x.shape[-1],), jnp.float32).astype(self.dtype)


def same_pads(x: jax.Array, size: int, stride: int) -> Pads:
    """The zeros before and after each axis of images ``[B, H, W, C]`` that "SAME" padding adds."""
    down, right = jax.lax.padtype_to_pads(x.shape[1:3], (size, size), (stride, stride), "SAME")
    return (down[0], down[1]), (right[0], right[1])


def depthwise_conv(
    x: jax.Array, kernel: jax.Array, stride: int, pads: Pads, precision: jax.lax.Precision | None = None
) -> jax.Array:
    """Each channel with its own filter, in the way that suits the platform.

    Args:
      x: ``[B, H, W, C]``.
      kernel: ``[k, k, 1, C]``.
      stride: of both axes.
      pads: zeros before and after the rows, and the columns.
      precision: of the products, where they are a convolution.
    """
    return jax.lax.platform_dependent(
        x,
        kernel,
        cpu=lambda x, kernel: shifted_products(x, kernel, stride, pads),
        default=lambda x, kernel: grouped(x, kernel, stride, pads, precision),
    )


def grouped(
    x: jax.Array, kernel: jax.Array, stride: int, pads: Pads, precision: jax.lax.Precision | None = None
) -> jax.Array:
    """XLA's convolution with a group a channel; ``x [B, H, W, C]``, ``kernel [k, k, 1, C]``."""
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        pads,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x.shape[-1],
        precision=precision,
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def shifted_products(x: jax.Array, kernel: jax.Array, stride: int, pads: Pads) -> jax.Array:
    """The same as a sum over the k² taps of the filter: the image, shifted, times the tap's weight.

    Its derivatives are written out: those that JAX would derive take XLA on CPU 20 times as long as the forward pass.
    """
    size, padded, total = kernel.shape[0], _pad(x, pads), 0.0
    rows, columns = ((side - size) // stride + 1 for side in padded.shape[1:3])
    for i, j in itertools.product(range(size), repeat=2):
        shifted = padded[:, _taps(i, rows, stride), _taps(j, columns, stride)]
        total = total + shifted * kernel[i, j, 0]
    return cast(jax.Array, total)


def _forward(x, kernel, stride, pads):
    return shifted_products(x, kernel, stride, pads), (x, kernel)


def _backward(stride, pads, saved, gradient):
    x, kernel = saved
    return _image_gradient(x, kernel, gradient, stride, pads), _kernel_gradient(x, kernel, gradient, stride, pads)


shifted_products.defvjp(_forward, _backward)


def _image_gradient(x, kernel, gradient, stride, pads):
    """The filter, turned around, over the gradient with zeros put where the stride has left pixels out."""
    size = kernel.shape[0]
    around = [
        (size - 1 - low, side + low - ((out - 1) * stride + 1), stride - 1)
        for (low, _), side, out in zip(pads, x.shape[1:3], gradient.shape[1:3], strict=True)
    ]
    zero = jnp.zeros((), gradient.dtype)
    spread = jax.lax.pad(gradient, zero, [(0, 0, 0), *around, (0, 0, 0)])
    total, (height, width) = 0.0, x.shape[1:3]
    for i, j in itertools.product(range(size), repeat=2):
        total = total + spread[:, i : i + height, j : j + width] * kernel[size - 1 - i, size - 1 - j, 0]
    return cast(jax.Array, total)


def _kernel_gradient(x, kernel, gradient, stride, pads):
    """For each tap the sum of the shifted image times the gradient, a few pixels at a time.

    A loop over small blocks whose every operation is elementwise over the channels: what is summed stays in the cache.
    """
    size, (batch, rows, columns, channels) = kernel.shape[0], gradient.shape
    width = min(columns, _BLOCK)
    height = min(rows, max(_BLOCK // width, 1))
    down, right = -(-rows // height), -(-columns // width)
    # Blocks that reach beyond the edge meet zeros.
    gradient = jnp.pad(gradient, ((0, 0), (0, down * height - rows), (0, right * width - columns), (0, 0)))
    padded = _pad(x, pads)
    reach = [(count - 1) * stride + size for count in (down * height, right * width)]
    more = [(0, max(wanted - side, 0)) for wanted, side in zip(reach, padded.shape[1:3], strict=True)]
    padded = jnp.pad(padded, ((0, 0), *more, (0, 0)))
    window = (height - 1) * stride + size, (width - 1) * stride + size

    def add_block(number, sums):
        example, place = number // (down * right), number % (down * right)
        top, left = place // right * height, place % right * width
        image = jax.lax.dynamic_slice(padded, (example, top * stride, left * stride, 0), (1, *window, channels))[0]
        block = jax.lax.dynamic_slice(gradient, (example, top, left, 0), (1, height, width, channels))[0]
        taps = []
        for i, j in itertools.product(range(size), repeat=2):
            pixels = itertools.product(range(height), range(width))
            taps.append(sum(image[i + h * stride, j + w * stride] * block[h, w] for h, w in pixels))
        return sums + jnp.stack(taps)

    zeros = jnp.zeros((size * size, channels), jnp.float32)
    sums = jax.lax.fori_loop(0, batch * down * right, add_block, zeros)
    return sums.reshape(kernel.shape).astype(kernel.dtype)


def _pad(x, pads):
    return jnp.pad(x, ((0, 0), *pads, (0, 0)))


def _taps(start, count, stride):
    return slice(start, start + (count - 1) * stride + 1, stride)
