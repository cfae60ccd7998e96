"""From integer sums to codes, as onnxruntime's fused kernels come to them, bit for bit.

Codes are uint8, held in int32. What leaves an integer sum is multiplied in float32 and rounded once, halves to even.
A ReLU costs nothing: it is the clipping at a zero point of 0. Max-pooling, cutting and padding (with the zero point)
keep codes as they are.
"""

import itertools

import jax
import jax.numpy as jnp

from effjax.errors import UserError
from effjax.quantization.exact import fused, product, quotient, unfused
from effjax.quantization.grids import Grid, limits
from effjax.quantization.sums import every, shifted
from effjax.typing import Array


def requantize(total: Array, input_scale: Array, weight_scale: Array, grid: Grid) -> jax.Array:
    """The codes of an integer sum: ``clip(rint(f32(total) · f32(f32(s_x · s_w) / s_y)) + z_y)``.

    Args:
      total: int32 ``[..., C]``.
      input_scale: ``[]``.
      weight_scale: ``[C]``.
      grid: of the result, one for all.

    Returns:
      int32 ``[..., C]``.

    Example:
      >>> grid = Grid(jnp.float32(0.5), jnp.int32(3), 8, False)
      >>> requantize(jnp.array([[9], [-90]]), 0.5, jnp.array([0.5]), grid).ravel()  # 4.5 to even, and 3
      Array([7, 0], dtype=int32)
    """
    step = product(input_scale, weight_scale)
    return _coded(jnp.asarray(total).astype(jnp.float32) * quotient(step, grid.scale), grid)


def dequantize_sum(total: Array, input_scale: Array, weight_scale: Array) -> jax.Array:
    """What an integer sum stands for, as the logits that a network ends with: ``f32(total) · f32(s_x · s_w)``.

    Args:
      total: int32 ``[..., C]``.
      input_scale: ``[]``.
      weight_scale: ``[C]``.

    Returns:
      float32 ``[..., C]``.

    Example:
      >>> dequantize_sum(jnp.array([[9]]), 0.5, jnp.array([0.5]))
      Array([[2.25]], dtype=float32)
    """
    step = product(input_scale, weight_scale)
    return jnp.asarray(total).astype(jnp.float32) * step


def integer_add(a: Array, b: Array, a_grid: Grid, b_grid: Grid, grid: Grid) -> jax.Array:
    """The codes of a sum: ``rint(a · r_a + (b · r_b + (z_y − (r_a · z_a + r_b · z_b))))`` with ``r = s_in / s_y``.

    Each product and the sum that it goes into are rounded together: a fused multiply-add, as onnxruntime's kernel for
    x86 with AVX2 has it. (Its kernel for ARM adds in fixed point: where a sum lies between two codes, the other one may
    come out.)

    Args:
      a: codes.
      b: codes, of the same shape.
      a_grid: of ``a``, one for all.
      b_grid: of ``b``, one for all.
      grid: of the result, one for all.

    Returns:
      int32 of their shape.

    Raises:
      UserError: if a grid has more than 8 bits.

    Example:
      >>> grid, finer = (Grid(jnp.float32(scale), jnp.int32(10), 8, False) for scale in (0.5, 0.25))
      >>> integer_add(jnp.array([14]), jnp.array([14]), grid, finer, grid)  # 2 + 1 = 3
      Array([16], dtype=int32)
    """
    for given in (a_grid, b_grid, grid):
        if given.bits > 8:
            raise UserError(f"a grid of {given.bits} bits: at most 8 are added as onnxruntime adds them")
    ratio_a, ratio_b = (quotient(given.scale, grid.scale) for given in (a_grid, b_grid))
    zero_a, zero_b, zero = (given.zero_point.astype(jnp.float32) for given in (a_grid, b_grid, grid))
    fixed = zero - fused(zero_a, ratio_a, fused(zero_b, ratio_b, jnp.float32(0.0)))
    a, b = (jnp.asarray(codes).astype(jnp.float32) for codes in (a, b))
    total = jnp.rint(fused(a, ratio_a, fused(b, ratio_b, fixed)))
    return jnp.clip(total, *limits(grid.bits, grid.signed)).astype(jnp.int32)


def integer_mean(codes: Array, input_grid: Grid, grid: Grid) -> jax.Array:
    """The codes of the mean over height and width: ``rint(Σ (q_x − z_x) · s_x / (s_y · H · W)) + z_y``.

    Args:
      codes: ``[B, H, W, C]``.
      input_grid: of the codes, one for all.
      grid: of the result, one for all.

    Returns:
      int32 ``[B, C]``.

    Example:
      >>> grid = Grid(jnp.float32(0.5), jnp.int32(1), 8, False)
      >>> integer_mean(jnp.array([3, 4, 6, 8]).reshape(1, 2, 2, 1), grid, grid)  # 17/4 + 1
      Array([[5]], dtype=int32)
    """
    total = shifted(codes, input_grid.zero_point).sum((1, 2))
    pixels = float(jnp.shape(codes)[1] * jnp.shape(codes)[2])
    return _coded(total.astype(jnp.float32) * quotient(input_grid.scale, product(grid.scale, pixels)), grid)


def integer_average_pool(
    codes: Array,
    input_grid: Grid,
    grid: Grid,
    *,
    window: tuple[int, int],
    strides: tuple[int, int] = (1, 1),
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0)),
) -> jax.Array:
    """The codes of means over windows: ``rint(Σ (q_x − z_x) · s_x / (h · w) / s_y + z_y)``.

    onnxruntime computes these with floats: a window is summed row by row, and the zero point is added before rounding,
    so of what lies between two codes the even code is taken, not the even multiple.

    Args:
      codes: ``[B, H, W, C]``.
      input_grid: of the codes, one for all.
      grid: of the result, one for all.
      window: its height and width, ``(h, w)``.
      strides: down and to the right.
      padding: zeros that are added above and below, left and right; a mean counts them.

    Returns:
      int32 ``[B, H', W', C]``.

    Example:
      >>> grid = Grid(jnp.float32(0.5), jnp.int32(1), 8, False)
      >>> integer_average_pool(jnp.array([3, 4]).reshape(1, 1, 2, 1), grid, grid, window=(1, 2)).ravel()  # 5/2 + 1
      Array([4], dtype=int32)
    """
    x = jnp.pad(shifted(codes, input_grid.zero_point), ((0, 0), *padding, (0, 0))).astype(jnp.float32)
    rows, columns = ((x.shape[1 + i] - window[i]) // strides[i] + 1 for i in range(2))
    total = jnp.zeros((len(x), rows, columns, x.shape[-1]), jnp.float32)
    for i, j in itertools.product(*map(range, window)):
        total = unfused(x[:, every(i, rows, strides[0]), every(j, columns, strides[1])], input_grid.scale, total)
    multiples = quotient(quotient(total, jnp.float32(window[0] * window[1])), grid.scale)
    return jnp.clip(jnp.rint(multiples + grid.zero_point), *limits(grid.bits, grid.signed)).astype(jnp.int32)


def _coded(multiples: jax.Array, grid: Grid) -> jax.Array:
    """The codes of real multiples of a grid's scale."""
    low, high = limits(grid.bits, grid.signed)
    return jnp.clip(jnp.rint(multiples) + grid.zero_point, low, high).astype(jnp.int32)
