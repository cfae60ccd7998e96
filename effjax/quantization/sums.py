"""Layers in integers: sums of products of codes, exact in int32."""

import itertools

import jax
import jax.numpy as jnp

from effjax.errors import UserError
from effjax.quantization.exact import quotient
from effjax.typing import Array

Padding = str | tuple[tuple[int, int], tuple[int, int]]


def quantize_bias(bias: Array, input_scale: Array, weight_scale: Array) -> jax.Array:
    """The bias as it is added to a sum of products: ``rint(b / (s_x · s_w))``.

    Args:
      bias: ``[C]``.
      input_scale: ``[]``.
      weight_scale: ``[C]``, such that this fits int32: see :func:`~effjax.quantization.safe_weight_scale`.

    Returns:
      int32 ``[C]``.

    Example:
      >>> quantize_bias(jnp.array([1.0, -0.3]), 0.5, jnp.array([0.1, 0.1]))
      Array([20, -6], dtype=int32)
    """
    step = jnp.asarray(input_scale, jnp.float32) * jnp.asarray(weight_scale, jnp.float32)
    return jnp.rint(quotient(jnp.asarray(bias, jnp.float32), step)).astype(jnp.int32)


def integer_dense(codes: Array, zero_point: Array, kernel: Array, bias: Array) -> jax.Array:
    """``Σ (q_x − z_x) · q_w + b_q``.

    Args:
      codes: of the inputs, ``[..., I]``.
      zero_point: of the inputs, ``[]``.
      kernel: codes of the weights, ``[I, O]``.
      bias: ``[O]``, see :func:`quantize_bias`.

    Returns:
      Sums, int32 ``[..., O]``; what does not fit int32 wraps around.

    Example:
      >>> integer_dense(jnp.array([[5, 7]]), 4, jnp.array([[2], [-1]]), jnp.array([10]))  # 1·2 − 3·1 + 10
      Array([[9]], dtype=int32)
    """
    kernel, bias = jnp.asarray(kernel, jnp.int32), jnp.asarray(bias, jnp.int32)
    return jnp.matmul(shifted(codes, zero_point), kernel, preferred_element_type=jnp.int32) + bias


def integer_conv(
    codes: Array,
    zero_point: Array,
    kernel: Array,
    bias: Array,
    *,
    strides: tuple[int, int] = (1, 1),
    padding: Padding = "SAME",
    dilation: tuple[int, int] = (1, 1),
) -> jax.Array:
    """A convolution of codes, padded with zeros: ``Σ (q_x − z_x) · q_w + b_q``.

    It is a sum of products over the kernel's taps: float32 would not hold the sums, and XLA's own convolution of
    int32 does not come to an end on CPU where it is depthwise. How many groups of channels there are follows from the
    shapes: each output reads as many channels as the kernel has inputs.

    Args:
      codes: of the inputs, ``[B, H, W, C]``.
      zero_point: of the inputs, ``[]``.
      kernel: codes of the weights, ``[h, w, C / groups, O]``; of a depthwise convolution ``[h, w, 1, C]``.
      bias: ``[O]``, see :func:`quantize_bias`.
      strides: down and to the right.
      padding: ``"SAME"``, ``"VALID"``, or what is added above and below, left and right.
      dilation: how far the kernel's taps are apart, down and to the right.

    Returns:
      Sums, int32 ``[B, H', W', O]``; what does not fit int32 wraps around.

    Raises:
      UserError: if the channels, or the outputs, do not fall into equal groups.

    Example:
      >>> codes = jnp.array([[3, 5], [4, 9]]).reshape(1, 2, 2, 1)
      >>> ones = jnp.ones((2, 2, 1, 1), jnp.int32)
      >>> integer_conv(codes, 3, ones, jnp.array([100]), padding="VALID").ravel()  # 0 + 2 + 1 + 6 + 100
      Array([109], dtype=int32)
    """
    x, kernel = shifted(codes, zero_point), jnp.asarray(kernel, jnp.int32)
    (height, width, inputs, outputs), channels = kernel.shape, x.shape[-1]
    groups = channels // inputs
    if not groups or inputs * groups != channels or outputs % groups:
        raise UserError(f"kernel of shape {kernel.shape}: {channels} channels do not fall into groups of its inputs")
    sides = x.shape[1:3]
    size = tuple((taps - 1) * apart + 1 for taps, apart in zip((height, width), dilation, strict=True))
    pads = jax.lax.padtype_to_pads(sides, size, strides, padding) if isinstance(padding, str) else padding
    rows, columns = (
        (side + sum(pad) - taps) // stride + 1
        for side, pad, taps, stride in zip(sides, pads, size, strides, strict=True)
    )
    padded = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    total = jnp.broadcast_to(jnp.asarray(bias, jnp.int32), (len(x), rows, columns, outputs))
    for i, j in itertools.product(range(height), range(width)):
        down, right = every(i * dilation[0], rows, strides[0]), every(j * dilation[1], columns, strides[1])
        total += _products(padded[:, down, right], kernel[i, j], groups)
    return total


def _products(x: jax.Array, kernel: jax.Array, groups: int) -> jax.Array:
    """``[B, H, W, C]`` by ``[C / groups, O]``, each group of channels by its own outputs."""
    if groups == kernel.shape[-1] == x.shape[-1]:
        return x * kernel[0]
    if groups == 1:
        return jnp.matmul(x, kernel, preferred_element_type=jnp.int32)
    inputs, outputs = kernel.shape
    by_group = x.reshape(*x.shape[:3], groups, inputs)
    kernels = kernel.reshape(inputs, groups, outputs // groups)
    found = jnp.einsum("bhwgi,igo->bhwgo", by_group, kernels, preferred_element_type=jnp.int32)
    return found.reshape(*x.shape[:3], outputs)


def shifted(codes: Array, zero_point: Array) -> jax.Array:
    """Codes less the code of 0."""
    return jnp.asarray(codes, jnp.int32) - jnp.asarray(zero_point, jnp.int32)


def every(start: int, count: int, stride: int) -> slice:
    """One tap of a window: the places that it reads, from the first on."""
    return slice(start, start + (count - 1) * stride + 1, stride)
