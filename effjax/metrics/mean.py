"""A mean that is kept as a sum and a count, so that it merges exactly over batches, devices and hosts."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp


class Mean(NamedTuple):
    """The mean of what it has seen.

    Never average averages: the last batch of an evaluation is padded, and devices may hold unequal numbers of real
    examples. Merge the states, then compute once.

    Attributes:
      total: the sum of the values, float32 ``[]``.
      count: how many values, float32 ``[]``.

    Example:
      >>> first = Mean.empty().update(jnp.array([1.0, 2.0, 9.0]), where=jnp.array([True, True, False]))
      >>> first.merge(Mean.empty().update(jnp.array([6.0]))).compute()
      Array(3., dtype=float32)
    """

    total: jax.Array
    count: jax.Array  # pyright: ignore[reportIncompatibleMethodOverride] (tuples have a method of this name)

    @classmethod
    def empty(cls) -> "Mean":
        """The mean of nothing."""
        return cls(jnp.zeros((), jnp.float32), jnp.zeros((), jnp.float32))

    def update(self, values: jax.Array, *, where: jax.Array | None = None) -> "Mean":
        """Adds ``values`` (any shape), leaving out those where ``where`` (the same shape) is false.

        Raises:
          AssertionError: if the shapes differ.
        """
        values = jnp.asarray(values, jnp.float32)
        where = jnp.ones(values.shape, bool) if where is None else jnp.asarray(where, bool)
        chex.assert_equal_shape([values, where])
        return Mean(self.total + jnp.where(where, values, 0.0).sum(), self.count + where.sum(dtype=jnp.float32))

    def merge(self, other: "Mean") -> "Mean":
        """The mean of what either has seen."""
        return Mean(self.total + other.total, self.count + other.count)

    def compute(self) -> jax.Array:
        """The mean, ``[]``; NaN if nothing was seen."""
        return self.total / self.count
