"""Exactly so many of the highest, though their number is only known inside of a compiled program.

The number of weights that are kept follows a schedule of the step, so it cannot be the static k of ``top_k``. Instead
of sorting, the lowest kept score is found bit by bit: 32 counts, of which each is as fast as memory (on CPU ten times
as fast as to sort).
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

_PIECES = 12  # bits: a product of numbers of 24 and 31 bits is computed in pieces that 32 bits hold


def rounded(density: jax.Array | float, size: int) -> jax.Array:
    """``density × size``, rounded, half to even; in whole numbers, so that no size is too large to be exact.

    Args:
      density: from 0 to 1 (what lies outside is cut), taken as the nearest multiple of 2⁻²⁴.
      size: below 2³¹.

    Returns:
      ``[]`` int32, from 0 (at density 0) to ``size`` (at density 1).
    """
    one = 1 << _PIECES
    units = jnp.rint(jnp.clip(jnp.asarray(density, jnp.float32), 0.0, 1.0) * one**2).astype(jnp.uint32)
    high, low = units >> _PIECES, units & (one - 1)
    size_high, size_low = (jnp.uint32(part) for part in divmod(size, one))
    middle = size_high * low + size_low * high
    rest = ((middle & (one - 1)) << _PIECES) + size_low * low
    whole = size_high * high + (middle >> _PIECES) + (rest >> 2 * _PIECES)
    rest, half = rest & (one**2 - 1), one**2 // 2
    up = (rest > half) | ((rest == half) & (whole % 2 == 1))
    return (whole + up).astype(jnp.int32)


def highest(scores: jax.Array, count: jax.Array) -> jax.Array:
    """Marks the ``count`` highest scores; of equal ones those of the lower index.

    Args:
      scores: ``[N]`` floats. NaN is below all others.
      count: ``[]``, from 0 to N.

    Returns:
      ``[N]`` booleans, of which exactly ``count`` are true.
    """
    ranks = _ranks(scores)
    bits = jnp.iinfo(ranks.dtype).bits

    def more(bit: jax.Array, lowest: jax.Array) -> jax.Array:
        higher = lowest | jnp.left_shift(jnp.ones_like(lowest), (bits - 1 - bit).astype(ranks.dtype))
        return jnp.where((ranks >= higher).sum() >= count, higher, lowest)

    # The highest number that at least `count` ranks reach; those above it are fewer.
    lowest = jax.lax.fori_loop(0, bits, more, jnp.zeros((), ranks.dtype))
    above, equal = ranks > lowest, ranks == lowest
    return above | (equal & (jnp.cumsum(equal) <= count - above.sum()))


def highest_of_each(scores: Sequence[jax.Array], counts: Sequence[jax.Array]) -> list[jax.Array]:
    """Marks in each array, of any shape, its highest scores, as :func:`highest` does.

    Arrays of one size are looked at together: networks have few sizes, and each is a loop that must be compiled.
    """
    sizes: dict[int, list[int]] = {}
    for i, one in enumerate(scores):
        sizes.setdefault(one.size, []).append(i)
    marked: dict[int, jax.Array] = {}
    for alike in sizes.values():
        rows = jax.vmap(highest)(jnp.stack([scores[i].ravel() for i in alike]), jnp.stack([counts[i] for i in alike]))
        marked.update((i, rows[row].reshape(scores[i].shape)) for row, i in enumerate(alike))
    return [marked[i] for i in range(len(scores))]


def _ranks(scores: jax.Array) -> jax.Array:
    """Whole numbers in the order of the scores: their bits, those of negative ones turned around."""
    width = jnp.finfo(scores.dtype).bits
    whole = jax.lax.bitcast_convert_type(scores, jnp.dtype(f"uint{width}"))
    sign = jnp.asarray(1 << (width - 1), whole.dtype)
    whole = jnp.where(whole == sign, jnp.zeros_like(whole), whole)  # −0 is 0
    ordered = jnp.where(whole >= sign, ~whole, whole | sign)
    return jnp.where(jnp.isnan(scores), jnp.zeros_like(whole), ordered)
