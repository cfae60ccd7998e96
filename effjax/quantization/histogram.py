"""How often an activation takes which values, in one pass over batches of unknown range."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from effjax.typing import Array

_SIDE = 4096  # bins below and above 0
_EXPONENTS = -100, 115  # of two, of the width of a bin: what float32 can divide by, and the range of float32
_REACH = 12  # _SIDE is two to the power of this


class Histogram(NamedTuple):
    """Counts in bins of a width that is a power of two, as wide as the largest value seen so far needs.

    When a larger value comes, neighbouring bins are joined: all counts are those of one pass with the width of the end,
    exactly, whatever the order of the batches. Half or more of the bins on the side of that value are in use. There is
    room for 4·10⁹ values in all.

    Attributes:
      counts: uint32 ``[8192]``; the second half holds 0 and above.
      exponent: log₂ of the width, int32 ``[]``.
      low: the lowest value seen, float32 ``[]``.
      high: the highest.

    Example:
      >>> seen = Histogram.empty().update(jnp.array([0.0, 1.5, 9.0]), where=jnp.array([True, True, False]))
      >>> seen = seen.merge(Histogram.empty().update(jnp.array([-3.0])))
      >>> seen.low, seen.high, seen.counts.sum()
      (Array(-3., dtype=float32), Array(1.5, dtype=float32), Array(3, dtype=uint32))
    """

    counts: jax.Array
    exponent: jax.Array
    low: jax.Array
    high: jax.Array

    @classmethod
    def empty(cls) -> "Histogram":
        """The histogram of nothing."""
        infinity = jnp.full((), jnp.inf, jnp.float32)
        counts = jnp.zeros((2 * _SIDE,), jnp.uint32)
        return cls(counts, jnp.full((), _EXPONENTS[0], jnp.int32), infinity, -infinity)

    def update(self, values: Array, *, where: Array | None = None) -> "Histogram":
        """Adds ``values`` (any shape), leaving out those where ``where`` (booleans of the first axes) is false.

        Raises:
          AssertionError: if the shapes do not fit.
        """
        values = jnp.asarray(values, jnp.float32)
        where = jnp.ones(values.shape, bool) if where is None else jnp.asarray(where, bool)
        chex.assert_equal_shape_prefix([values, where], where.ndim)
        where = jnp.broadcast_to(where.reshape(*where.shape, *(1,) * (values.ndim - where.ndim)), values.shape)
        low = jnp.min(values, where=where, initial=jnp.inf)
        high = jnp.max(values, where=where, initial=-jnp.inf)
        needed = _needed(jnp.max(jnp.abs(values), where=where, initial=0.0))
        wide = self._widened(jnp.maximum(self.exponent, needed))
        # A product with a power of two is exact.
        place = jnp.clip(jnp.floor(values * _power(-wide.exponent)), -_SIDE, _SIDE - 1).astype(jnp.int32) + _SIDE
        counts = wide.counts.at[place.ravel()].add(where.ravel().astype(jnp.uint32))
        return Histogram(counts, wide.exponent, jnp.minimum(self.low, low), jnp.maximum(self.high, high))

    def merge(self, other: "Histogram") -> "Histogram":
        """The histogram of what either has seen."""
        exponent = jnp.maximum(self.exponent, other.exponent)
        counts = self._widened(exponent).counts + other._widened(exponent).counts
        return Histogram(counts, exponent, jnp.minimum(self.low, other.low), jnp.maximum(self.high, other.high))

    @property
    def edges(self) -> jax.Array:
        """Where the bins begin and end, ``[8193]``."""
        return jnp.arange(-_SIDE, _SIDE + 1, dtype=jnp.float32) * _power(self.exponent)

    @property
    def centres(self) -> jax.Array:
        """What the values of a bin are taken for, ``[8192]``: its middle; in the bin that begins with 0, 0."""
        middles = (jnp.arange(-_SIDE, _SIDE, dtype=jnp.float32) + 0.5) * _power(self.exponent)
        return middles.at[_SIDE].set(0.0)

    def _widened(self, exponent: jax.Array) -> "Histogram":
        """With bins of at least the present width: as many at a time are joined."""
        place = jnp.arange(-_SIDE, _SIDE) >> jnp.minimum(exponent - self.exponent, 31)
        counts = jnp.zeros_like(self.counts).at[place + _SIDE].add(self.counts)
        return self._replace(counts=counts, exponent=exponent)


def _needed(peak: jax.Array) -> jax.Array:
    """The exponent of the width at which the bins reach beyond ``peak``."""
    exponent = (jax.lax.bitcast_convert_type(peak, jnp.int32) >> 23) - 127
    return jnp.clip(exponent + 1 - _REACH, *_EXPONENTS)


def _power(exponent: jax.Array) -> jax.Array:
    """Two to the power of a whole number, exactly."""
    return jax.lax.bitcast_convert_type((exponent + 127) << 23, jnp.float32)
