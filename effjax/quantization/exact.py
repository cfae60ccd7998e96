"""Float32 operations that are rounded one by one, as another runtime rounds them, whatever XLA makes of a program.

XLA multiplies by a reciprocal where all divide by one number, makes one division of two that follow one another, takes
a GPU's quick division, which may be off by two units in the last place, and fuses a product into the sum that follows
it, which skips the product's rounding. All of these move the last bit, and then a value that lay between two integers
goes to the other.
Neither ``optimization_barrier`` nor ``reduce_precision`` prevents it on CPU (jaxlib 0.10).
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from effjax.typing import Array

_HIGH = np.uint32(0xFFFFF000)  # of a float32: its sign, its exponent and 12 of the 24 bits of its significand
_FEW = 65_536  # numbers that the host divides at once
_SMALL = np.float32(2.0**-90)  # a product of halves that is far smaller loses bits


def quotient(x: Array, y: Array) -> jax.Array:
    """``x / y``, rounded once.

    Args:
      x: of any shape.
      y: broadcasts to it.

    Returns:
      ``x``'s shape.

    Example:
      >>> quotient(jnp.array([1.0, 3.0]), jnp.float32(2.0))
      Array([0.5, 1.5], dtype=float32)
    """
    if _is_known(x) and _is_known(y):  # a program that holds both as constants would divide by them in a way of its own
        with np.errstate(all="ignore"):  # as in any other program
            return jnp.asarray(np.asarray(x) / np.asarray(y))
    # Choices lie between: the divisors no longer look alike, and XLA no longer sees that x may be a quotient itself, of
    # which it would make one division by the product of both divisors.
    is_nan = jnp.isnan(x)
    found = jnp.where(is_nan, jnp.nan, x) / jnp.where(is_nan, x, y)
    if found.dtype != jnp.float32:
        return found
    return jax.lax.platform_dependent(found, x, y, cpu=lambda found, x, y: found, default=nearest_quotient)


def product(x: Array | float, y: Array | float) -> Array:
    """``x · y`` of scales, float32, rounded once, before anything that a program makes of it.

    Args:
      x: of any shape.
      y: broadcasts to it.

    Returns:
      ``x``'s shape; of the host, where both are known while a program is made.

    Example:
      >>> product(jnp.array([1.0, 3.0]), 0.5)
      array([0.5, 1.5], dtype=float32)
    """
    if _is_known(x) and _is_known(y):
        with np.errstate(all="ignore"):
            return np.asarray(x, np.float32) * np.asarray(y, np.float32)
    return jnp.asarray(x, jnp.float32) * jnp.asarray(y, jnp.float32)


def nearest_quotient(found: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
    """The float32 nearest to ``x / y``, from one a few units in the last place away.

    What is left, ``x − found · y``, is exact: it is taken off in products of halves of 12 bits.

    Args:
      found: float32, nearly the quotient.
      x: float32, of its shape.
      y: float32, broadcasts to it.

    Returns:
      Their shape; ``found`` where it is not finite, or so small that what is left would be no number of float32.

    Example:
      >>> nearest_quotient(jnp.float32(0.33333328), jnp.float32(1.0), jnp.float32(3.0))
      Array(0.33333334, dtype=float32)

    References:
      Markstein, `Software Division and Square Root Using Goldschmidt's Algorithms
      <https://www.informatik.uni-trier.de/Ports/Documentation/Markstein.pdf>`_, 2004.
    """
    (high, low), (high_y, low_y) = _halves(found), _halves(y)
    left = x - high * high_y - high * low_y - low * high_y - low * low_y
    corrected = found + jax.lax.stop_gradient(left / y)
    return jnp.where(jnp.isfinite(corrected) & (jnp.abs(x) > _SMALL), corrected, found)


def unfused(x: jax.Array, factor: jax.Array, addend: jax.Array) -> jax.Array:
    """``x · factor + addend``, rounded twice, on any machine: compilers make one instruction of it, which rounds once.

    Args:
      x: float32.
      factor: broadcasts to it.
      addend: broadcasts to it.

    Returns:
      Its shape.

    Example:
      >>> unfused(jnp.array([3.0, -2.0]), jnp.float32(0.5), jnp.float32(1.0))
      Array([2.5, 0. ], dtype=float32)
    """
    multiple = x * factor
    return jnp.where(jnp.isnan(multiple), jnp.nan, multiple) + addend  # a choice lies between the two


def fused(codes: jax.Array, factor: jax.Array, addend: jax.Array) -> jax.Array:
    """``codes · factor + addend``, rounded once, as by a fused multiply-add, on any machine.

    The factor is cut into halves of 12 bits, whose products with the codes are exact whether XLA fuses them or not.

    Args:
      codes: whole numbers of at most 12 bits, as float32.
      factor: float32, broadcasts to them.
      addend: float32, broadcasts to them.

    Returns:
      Their shape.

    Example:
      >>> fused(jnp.array([3.0, -2.0]), jnp.float32(0.1), jnp.float32(1.0))
      Array([1.3, 0.8], dtype=float32)

    References:
      Boldo & Melquiond, `Emulation of FMA and Correctly Rounded Sums: Proved Algorithms Using Rounding to Odd
      <https://inria.hal.science/inria-00080427>`_, 2008.
    """
    factor = jnp.asarray(factor, jnp.float32)
    high, low = _halves(factor)
    # One of these in another would be one kernel on CPU, which takes LLVM a minute to compile (jaxlib 0.11).
    addend = jax.lax.optimization_barrier(jnp.asarray(addend, jnp.float32))
    coarse, rest = _sum(codes * low, addend)
    total, error = _sum(codes * high, coarse)
    return total + _odd_sum(rest, error)


def _is_known(x: Array | float) -> bool:
    """Whether a few numbers are known while a program is made: scales."""
    return not isinstance(x, Tracer) and np.size(x) <= _FEW


def _halves(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """A number as the sum of two whose significands have 12 bits: products of such are exact."""
    high = _float(_bits(x) & _HIGH)
    return high, x - high


def _sum(a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The rounded sum of two numbers, and what rounding took off it (Knuth)."""
    total = a + b
    of_b = total - a
    return total, (a - (total - of_b)) + (b - of_b)


def _odd_sum(a: jax.Array, b: jax.Array) -> jax.Array:
    """A sum that is rounded to the neighbour with an odd last bit, unless it is exact: it can be rounded once more."""
    total, error = _sum(a, b)
    bits = _bits(total)
    towards = jnp.where((error > 0) == (total > 0), bits + 1, bits - 1)
    return jnp.where((error != 0) & (bits % 2 == 0), _float(towards), total)


def _bits(x: jax.Array) -> jax.Array:
    return jax.lax.bitcast_convert_type(x, jnp.uint32)


def _float(bits: jax.Array) -> jax.Array:
    return jax.lax.bitcast_convert_type(bits, jnp.float32)
