"""What the losses that compare the examples of a batch with each other have in common."""

import chex
import jax
import jax.numpy as jnp

from effjax.losses.masking import blank
from effjax.numerics import at_least_float32


def vectors(x: jax.Array, where: jax.Array | None) -> jax.Array:
    """The examples of ``x`` ``[B, ...]`` as rows ``[B, D]`` in at least float32; left-out ones are 0."""
    x = at_least_float32(blank(x, where))
    return x.reshape(x.shape[0], -1)


def kept(where: jax.Array | None, batch: int) -> jax.Array:
    """``where`` as booleans ``[B]``, also where all examples take part."""
    if where is None:
        return jnp.ones(batch, bool)
    chex.assert_shape(where, (batch,))
    return jnp.asarray(where, bool)


def gather(x: jax.Array, axis_name: str | None) -> jax.Array:
    """The rows of all devices ``[N, ...]``, in the order of the devices."""
    return x if axis_name is None else jax.lax.all_gather(x, axis_name, tiled=True)


def own_rows(x: jax.Array, batch: int, axis_name: str | None) -> jax.Array:
    """This device's rows ``[B, ...]`` of what all devices hold together ``[N, ...]``."""
    if axis_name is None:
        return x
    return jax.lax.dynamic_slice_in_dim(x, jax.lax.axis_index(axis_name) * batch, batch)
