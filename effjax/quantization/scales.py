"""Which grid a tensor gets."""

import jax
import jax.numpy as jnp

from effjax.errors import UserError
from effjax.numerics import at_least_float32
from effjax.quantization.exact import quotient
from effjax.quantization.grids import Grid, limits
from effjax.typing import Array

_SMALLEST = 2.0**-100  # a scale below this is taken for 0: what float32 divides by it may be infinite
_HALF_RANGE = 2.0**30  # of int32: a bias may fill one half, the products the other


def weight_grid(weights: Array, *, bits: int = 8, axis: int = -1) -> Grid:
    """The symmetric grid of a layer's weights, a scale for each output channel: ``max|w| / (2^(b−1) − 1)``.

    Args:
      weights: a kernel.
      bits: of a code.
      axis: of the output channels: the last one of ``HWIO``, of ``HW1C`` and of ``[in, out]``.

    Returns:
      A signed grid with zero points 0. A channel whose weights are all 0 has scale 1; what its bias needs, too, says
      :func:`safe_weight_scale`.

    Raises:
      UserError: if there are no codes of so many bits.

    Example:
      >>> weight_grid(jnp.array([[1.0, 0.0], [-2.0, 0.0]]), bits=3).scale  # over 3
      Array([0.6667, 1.    ], dtype=float32)
    """
    weights = at_least_float32(jnp.asarray(weights))
    axis = axis % weights.ndim
    peak = jnp.abs(weights).max([other for other in range(weights.ndim) if other != axis])
    scale = usable(quotient(peak, jnp.float32(limits(bits, True)[1])))
    return Grid(scale, jnp.zeros(scale.shape, jnp.int32), bits, True, axis)


def activation_grid(low: Array | float, high: Array | float, bits: int = 8) -> Grid:
    """The unsigned grid from ``low`` to ``high``, both moved to reach 0, which is on the grid: padding is exact.

    Args:
      low: the lowest value, ``[]``.
      high: the highest, ``[]``.
      bits: of a code.

    Returns:
      A grid of scale ``(high − low) / (2^b − 1)``; 1 where the range holds nothing but 0.

    Raises:
      UserError: if there are no codes of so many bits.

    Example:
      >>> grid = activation_grid(-0.5, 1.2)
      >>> grid.scale, grid.zero_point
      (Array(0.0067, dtype=float32), Array(75, dtype=int32))
    """
    _, most = limits(bits, False)
    low = jnp.minimum(jnp.asarray(low, jnp.float32), 0.0)
    high = jnp.maximum(jnp.asarray(high, jnp.float32), 0.0)
    parts = jnp.float32(most)
    scale = usable(quotient(high, parts) - quotient(low, parts))  # high − low may be infinite
    zero_point = jnp.clip(jnp.rint(quotient(-low, scale)), 0, most).astype(jnp.int32)
    return Grid(scale, zero_point, bits, False)


def safe_weight_scale(
    scale: Array, kernel: Array, bias: Array, input_scale: Array, *, input_bits: int = 8
) -> jax.Array:
    """Scales of weights, made larger where int32 would not hold the bias or the sum of the products.

    A channel of small weights has a small scale, and its bias is counted in steps of ``s_x · s_w``: of
    EfficientNet-Lite0's 22,008 biases 98 do not fit. So ``s_w ≥ |b| / (s_x · 2³⁰)``, and the products of the channel's
    codes with any inputs stay below 2³⁰, too. Such a channel's weights lose digits that its bias drowns.

    Args:
      scale: of the weights, ``[C]``, as :func:`weight_grid` finds them.
      kernel: the weights, whose last axis are the channels.
      bias: ``[C]``.
      input_scale: of what the weights are multiplied with, ``[]``.
      input_bits: of its codes.

    Returns:
      ``[C]``, none below ``scale``.

    Raises:
      UserError: if so many products fit into no int32, whatever the scale.

    Example:
      >>> kernel, bias = jnp.array([[1e-8, 0.5]]), jnp.array([3.0, 3.0])
      >>> scale = weight_grid(kernel).scale
      >>> safe_weight_scale(scale, kernel, bias, 0.01) > scale
      Array([ True, False], dtype=bool)

    References:
      Jacob et al., `Quantization and Training of Neural Networks <https://arxiv.org/abs/1712.05877>`_, 2018, sec. 2.4
      (biases as int32 of scale s_x · s_w).
    """
    scale, kernel, bias = (at_least_float32(jnp.asarray(array)) for array in (scale, kernel, bias))
    largest = 2**input_bits - 1
    fan_in = kernel.size // kernel.shape[-1]
    left = _HALF_RANGE - largest * fan_in / 2  # a code is at most |w|/s + 1/2
    if left <= 0:
        raise UserError(f"kernel of shape {kernel.shape}: sums of {fan_in} products do not fit int32")
    products = jnp.abs(kernel).reshape(-1, kernel.shape[-1]).sum(0) * (largest / left)
    steps = quotient(jnp.abs(bias), jnp.asarray(input_scale, scale.dtype)) / _HALF_RANGE
    return jnp.maximum(scale, jnp.maximum(steps, products))


def usable(scale: jax.Array) -> jax.Array:
    """1 in the place of scales so small that float32 cannot divide by them: all is 0 there."""
    return jnp.where(scale < _SMALLEST, 1.0, scale)
