"""Tracing what is meant for ``pmap`` without devices."""

from collections.abc import Callable

import jax
import jax.numpy as jnp


def on_axis(function: Callable, axis_name: str | None) -> Callable:
    """Binds ``axis_name``, of size one, around ``function``: enough to trace it. Its results get a leading axis.

    Args:
      function: may reduce over the axis.
      axis_name: None leaves the function as it is.
    """
    if axis_name is None:
        return function

    def bound(*args):
        return jax.vmap(lambda _: function(*args), axis_name=axis_name)(jnp.zeros(1))

    return bound
