"""What every loss does with precision and with left-out examples."""

import chex
import jax
import jax.numpy as jnp


def masked(loss: jax.Array, where: jax.Array | None) -> jax.Array:
    """Sets the examples ``[...]`` that ``where`` leaves out to 0."""
    if where is None:
        return loss
    chex.assert_equal_shape([loss, where])
    return jnp.where(where, loss, 0.0)


def blank(x: jax.Array, where: jax.Array | None) -> jax.Array:
    """Sets left-out examples of ``x`` ``[..., *]`` to 0, so that a NaN there reaches no gradient."""
    if where is None:
        return x
    return jnp.where(where.reshape(*where.shape, *(1,) * (x.ndim - where.ndim)), x, 0.0)
