"""What the losses that compare the examples of a batch with each other have in common."""

import chex
import jax
import jax.numpy as jnp

from effjax.losses.masking import at_least_float32, blank

# Differences of inner products lose their digits in the short formats that accelerators multiply in by default.
EXACT = jax.lax.Precision.HIGHEST


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


def unit(x: jax.Array, axis: int = -1) -> jax.Array:
    """``x`` over its L2 norm along ``axis``. Where that is 0 (below 1e-12), the result is 0 and so is the gradient."""
    square = jnp.square(x).sum(axis, keepdims=True)
    nonzero = square > 1e-24
    return jnp.where(nonzero, x * jax.lax.rsqrt(jnp.where(nonzero, square, 1.0)), 0.0)


def norm(x: jax.Array, axis: int = -1) -> jax.Array:
    """The L2 norm along ``axis``, whose gradient at 0 is 0."""
    square = jnp.square(x).sum(axis)
    nonzero = square > 0
    return jnp.where(nonzero, jnp.sqrt(jnp.where(nonzero, square, 1.0)), 0.0)
