"""Affine grids: which numbers ``bits`` bits stand for.

A code is ``q = clip(rint(x / s) + z, lo, hi)`` and stands for ``s · (q − z)``; ``rint`` rounds halves to even.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from effjax.errors import UserError
from effjax.numerics import at_least_float32
from effjax.quantization.exact import quotient
from effjax.typing import Array

_MOST_BITS = 16  # codes and their differences are then exact in float32, too


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=["scale", "zero_point"], meta_fields=["bits", "signed", "axis"]
)
@dataclasses.dataclass(frozen=True)
class Grid:
    """An affine grid, for a whole tensor or for each of its channels.

    Attributes:
      scale: the distance of two neighbours, float32 ``[]``, or ``[C]`` with an axis.
      zero_point: the code of 0, int32 of the same shape.
      bits: of a code.
      signed: whether codes are signed, see :func:`limits`.
      axis: of the channels; None for one grid for all.

    Example:
      >>> grid = Grid(jnp.float32(0.5), jnp.int32(1), bits=2, signed=False)
      >>> grid.quantize(jnp.array([-0.5, 0.0, 1.0, 9.0]))
      Array([0, 1, 3, 3], dtype=int32)
    """

    scale: jax.Array
    zero_point: jax.Array
    bits: int
    signed: bool
    axis: int | None = None

    def quantize(self, x: Array) -> jax.Array:
        """The codes of ``x``, see :func:`quantize`."""
        return quantize(x, self.scale, self.zero_point, bits=self.bits, signed=self.signed, axis=self.axis)

    def dequantize(self, codes: Array) -> jax.Array:
        """What codes stand for, see :func:`dequantize`."""
        return dequantize(codes, self.scale, self.zero_point, axis=self.axis)

    def fake_quantize(self, x: Array) -> jax.Array:
        """``x`` on the grid, see :func:`fake_quantize`."""
        return fake_quantize(x, self.scale, self.zero_point, bits=self.bits, signed=self.signed, axis=self.axis)


def limits(bits: int, signed: bool) -> tuple[int, int]:
    """The lowest and the highest code.

    Signed codes are symmetric, so that −x is on the grid where x is: the code −2^(b−1) is not used.

    Args:
      bits: of a code, from 2 to 16.
      signed: whether there are negative codes.

    Returns:
      −(2^(b−1) − 1) and 2^(b−1) − 1 if signed; else 0 and 2^b − 1.

    Raises:
      UserError: if there are no codes of so many bits.

    Example:
      >>> limits(8, signed=True), limits(8, signed=False)
      ((-127, 127), (0, 255))
    """
    if not isinstance(bits, int) or not 2 <= bits <= _MOST_BITS:
        raise UserError(f"bits = {bits!r}: whole numbers from 2 to {_MOST_BITS} are allowed")
    high = 2 ** (bits - 1) - 1 if signed else 2**bits - 1
    return (-high if signed else 0), high


def quantize(
    x: Array, scale: Array, zero_point: Array, *, bits: int, signed: bool = False, axis: int | None = None
) -> jax.Array:
    """``clip(rint(x / scale) + zero_point, lo, hi)``.

    Args:
      x: of any shape; NaN has no code.
      scale: positive, ``[]``; ``[C]`` with an axis.
      zero_point: whole, of the same shape.
      bits: of a code.
      signed: whether codes are signed, see :func:`limits`.
      axis: of the channels that have scales of their own.

    Returns:
      Codes of ``x``'s shape. They are int32, whatever the bits: sums of their products fit, too.

    Raises:
      UserError: if there are no codes of so many bits, or the scales do not fit the axis.

    Example:
      >>> quantize(jnp.array([0.25, 0.75, 9.0]), 0.5, 1, bits=2)  # halves go to even: 0.5 to 0, 1.5 to 2
      Array([1, 3, 3], dtype=int32)

    References:
      Jacob et al., `Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference
      <https://arxiv.org/abs/1712.05877>`_, 2018, eq. 1; Krishnamoorthi, `Quantizing Deep Convolutional Networks for
      Efficient Inference <https://arxiv.org/abs/1806.08342>`_, 2018.
    """
    x, scale, zero_point = _prepared(x, scale, zero_point, axis)
    return jnp.clip(_rounded(x, scale, zero_point), *limits(bits, signed)).astype(jnp.int32)


def dequantize(codes: Array, scale: Array, zero_point: Array, *, axis: int | None = None) -> jax.Array:
    """``scale · (codes − zero_point)``.

    Args:
      codes: whole numbers of any shape.
      scale: positive, ``[]``; ``[C]`` with an axis.
      zero_point: whole, of the same shape.
      axis: of the channels that have scales of their own.

    Returns:
      What the codes stand for, in float32.

    Raises:
      UserError: if the scales do not fit the axis.

    Example:
      >>> dequantize(jnp.array([0, 1, 3]), 0.5, 1)
      Array([-0.5,  0. ,  1. ], dtype=float32)
    """
    codes, scale, zero_point = _prepared(jnp.asarray(codes, jnp.float32), scale, zero_point, axis)
    return scale * (codes - zero_point)


def fake_quantize(
    x: Array, scale: Array, zero_point: Array, *, bits: int, signed: bool = False, axis: int | None = None
) -> jax.Array:
    """``x`` as its codes stand for it: ``dequantize(quantize(x))``, of the same bits, with a gradient.

    Rounding passes the gradient on as it is ("straight through"); clipping stops it. None flows to scale and zero
    point: :func:`~effjax.quantization.lsq_quantize` learns them.

    Args:
      x: of any shape.
      scale: positive, ``[]``; ``[C]`` with an axis.
      zero_point: whole, of the same shape.
      bits: of a code.
      signed: whether codes are signed, see :func:`limits`.
      axis: of the channels that have scales of their own.

    Returns:
      ``x``'s shape, in at least float32.

    Raises:
      UserError: if there are no codes of so many bits, or the scales do not fit the axis.

    Example:
      >>> total = lambda x: fake_quantize(x, 0.5, 0, bits=2).sum()
      >>> jax.value_and_grad(total)(jnp.array([0.7, 9.0]))  # 0.5 + 1.5
      (Array(2., dtype=float32), Array([1., 0.], dtype=float32))

    References:
      Bengio et al., `Estimating or Propagating Gradients Through Stochastic Neurons
      <https://arxiv.org/abs/1308.3432>`_, 2013; Jacob et al., `Quantization and Training of Neural Networks
      <https://arxiv.org/abs/1712.05877>`_, 2018, eq. 12.
    """
    return _fake_quantize(*_prepared(x, scale, zero_point, axis), limits(bits, signed))


def _prepared(x: Array, scale: Array, zero_point: Array, axis: int | None) -> tuple[jax.Array, jax.Array, jax.Array]:
    """All in the precision that is computed in, scales and zero points along the axis."""
    x = at_least_float32(jnp.asarray(x))
    shape = () if axis is None else (x.shape[axis],)
    for name, array in (("scale", scale), ("zero_point", zero_point)):
        if jnp.shape(array) != shape:
            raise UserError(f"{name} of shape {jnp.shape(array)}: {shape} is needed with axis = {axis} of {x.shape}")
    along = [1] * x.ndim
    if axis is not None:
        along[axis] = -1
    return x, jnp.asarray(scale, x.dtype).reshape(along), jnp.asarray(zero_point, x.dtype).reshape(along)


def _rounded(x: jax.Array, scale: jax.Array, zero_point: jax.Array) -> jax.Array:
    return jnp.rint(quotient(x, scale)) + zero_point


@functools.partial(jax.custom_jvp, nondiff_argnums=(3,))
def _fake_quantize(x: jax.Array, scale: jax.Array, zero_point: jax.Array, limits: tuple[int, int]) -> jax.Array:
    return scale * (jnp.clip(_rounded(x, scale, zero_point), *limits) - zero_point)


@_fake_quantize.defjvp
def _straight_through(limits: tuple[int, int], primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
    rounded = _rounded(*primals)
    inside = (rounded >= limits[0]) & (rounded <= limits[1])
    return _fake_quantize(*primals, limits), jnp.where(inside, tangents[0], 0.0)
