"""How a change of one image is carried out on a batch of them."""

from collections.abc import Callable

import jax


def each_example(change: Callable[..., jax.Array], *batch: jax.Array) -> jax.Array:
    """Returns ``change`` of each example, for a ``change`` that may branch (``lax.switch``, ``lax.cond``).

    On a CPU, one example after another takes the branch that it drew and no other. Accelerators want the whole batch
    at once; every example then takes every branch, and keeps the one that it drew.

    Args:
      change: maps the arrays of one example to an array.
      *batch: arrays ``[B, ...]``; cut over devices by ``pmap`` or an automatic mesh, not by one of explicit axes.

    Returns:
      ``[B, ...]``.
    """
    return jax.lax.platform_dependent(
        *batch,
        cpu=lambda *batch: jax.lax.map(lambda example: change(*example), batch),
        default=lambda *batch: jax.vmap(change)(*batch),
    )
