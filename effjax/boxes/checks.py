"""What every function of boxes refuses, said the same way."""

import jax
import jax.numpy as jnp

from effjax.errors import UserError
from effjax.numerics import at_least_float32
from effjax.typing import Array


def coordinates(name: str, array: Array, count: int = 4) -> jax.Array:
    """Boxes ``[..., 4]``, or points ``[..., 2]``, in at least float32.

    Raises:
      UserError: naming the array, if its last axis is another.
    """
    array = jnp.asarray(array)
    if not array.ndim or array.shape[-1] != count:
        raise UserError(f"{name}: shape {array.shape}; allowed: [..., {count}]")
    return at_least_float32(array)


def check_shape(name: str, array: Array, shape: tuple[int, ...], said: str) -> None:
    """Refuses an array of another shape.

    Raises:
      UserError: naming the array, its shape, and which is allowed: ``said`` of what.
    """
    if array.shape != shape:
        raise UserError(f"{name}: shape {array.shape}; allowed: {shape}, {said}")
