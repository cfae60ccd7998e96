"""Derivatives with respect to what a function computes on its way."""

from collections.abc import Callable
from typing import Any

import jax
import jax.extend.core as jex


def value_and_inner_grad(
    function: Callable[..., tuple[jax.Array, jax.Array]], *args: Any
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Differentiates a function's value with respect to an intermediate result that it also returns.

    A network returns its activations as results, so they cannot be differentiated by. Here the function is traced,
    the intermediate result becomes an input of what comes after it, and that is differentiated: no hook is needed in
    the network, and whatever reaches the value by another way (a skip connection) is held fixed.

    Args:
      function: from ``args`` to ``(values, inner)``: an array of any shape, and the intermediate result itself, as it
        is used afterwards. Where examples do not mix, the gradient of the sum of values is each example's own.
      *args: trees of arrays.

    Returns:
      ``(values, inner, gradient)``: the gradient of ``values.sum()`` has the shape and dtype of ``inner``, and is zero
      if the value does not depend on it.

    Example:
      >>> def squared(x):
      ...     inner = 3.0 * x
      ...     return inner**2, inner
      >>> value_and_inner_grad(squared, jax.numpy.array(2.0))[2]  # by inner, 2 · 6; by x it would be 36
      Array(12., dtype=float32, weak_type=True)
    """
    closed = jax.make_jaxpr(function)(*args)
    jaxpr, leaves = closed.jaxpr, jax.tree.leaves(args)
    values, inner = jaxpr.outvars
    until = jex.jaxpr_as_fun(closed.replace(jaxpr=jaxpr.replace(outvars=[inner])))
    after = jex.jaxpr_as_fun(
        closed.replace(
            jaxpr=jaxpr.replace(
                invars=[*jaxpr.invars, inner],
                outvars=[values],
                eqns=[_without(inner, equation) for equation in jaxpr.eqns],
                debug_info=jaxpr.debug_info.with_unknown_names(),
            )
        )
    )

    def total(inner: jax.Array) -> tuple[jax.Array, jax.Array]:
        (values,) = after(*leaves, inner)
        return values.sum(), values

    (reached,) = until(*leaves)
    gradient, found = jax.grad(total, has_aux=True)(reached)
    return found, reached, gradient


def _without(inner: Any, equation: Any) -> Any:
    """The equation, which no longer says what ``inner`` is."""
    return equation.replace(outvars=[jex.DropVar(var.aval) if var is inner else var for var in equation.outvars])
