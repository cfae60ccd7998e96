"""Equal values are told apart by lot, never by where they stand: files are sorted, by class more often than not."""

import jax
import jax.numpy as jnp

from effjax.typing import Array

_PURPOSE = 0x6C6F7473  # larger than any number of a pick or of an example that the same key is folded with


def lots(key: jax.Array | None, ids: Array) -> jax.Array:
    """A lot for each example, a function of the key and its id or position alone.

    Args:
      key: a PRNG key; None is always the same one.
      ids: ``[N]`` whole numbers, 0 or more.

    Returns:
      ``[N]`` uint32, above 0.
    """
    return _lots(jax.random.key(0) if key is None else key, ids)


@jax.jit
def _lots(key: jax.Array, ids: jax.Array) -> jax.Array:
    own = jax.random.fold_in(key, _PURPOSE)
    drawn = jax.vmap(lambda id_: jax.random.bits(jax.random.fold_in(own, id_)))(ids)
    return jnp.maximum(drawn, 1)


def highest(values: jax.Array, drawn: jax.Array, k: int) -> jax.Array:
    """Positions ``[k]`` of the highest values ``[N]``, the highest first; of equal ones that with the higher lot."""
    return jnp.lexsort((drawn, values))[::-1][:k].astype(jnp.int32)


def highest_one(values: jax.Array, drawn: jax.Array) -> jax.Array:
    """The position of the highest value, ``[]``; of equal ones that with the higher lot."""

    def better(one: tuple[jax.Array, ...], other: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        (value, lot, position), (value_, lot_, position_) = one, other
        drawn_first = (lot > lot_) | ((lot == lot_) & (position < position_))
        takes = (value > value_) | ((value == value_) & drawn_first)
        return tuple(jnp.where(takes, a, b) for a, b in zip(one, other, strict=True))

    # In one pass: compared with its own maximum, what XLA computes twice may differ in the last bit.
    nothing = jnp.array(-jnp.inf, values.dtype), jnp.uint32(0), jnp.int32(0)
    return jax.lax.reduce((values, drawn, jnp.arange(len(values), dtype=jnp.int32)), nothing, better, (0,))[2]


def highest_of(values: jax.Array, drawn: jax.Array, k: int) -> jax.Array:
    """Positions ``[k]`` of the highest values ``[N]``, as :func:`highest`, but in no order, and without a sort."""
    found, positions = jax.lax.top_k(values, k)
    above, bound = found > found[-1], found[-1]

    def by_lot() -> jax.Array:
        """Where the lowest of them is there more often than there is room: those with the higher lots."""
        equal = jax.lax.top_k(jnp.where(values == bound, drawn, 0), k)[1]
        places = jnp.arange(k) - above.sum()
        return jnp.where(above, positions, equal[jnp.maximum(places, 0)])

    crowded = (values == bound).sum() > (found == bound).sum()
    return jax.lax.cond(crowded, by_lot, lambda: positions).astype(jnp.int32)
