"""What the packages of pure functions share: how exactly they compute, and what is refused of arrays before they do."""

from typing import Any

import jax
import jax.core
import jax.numpy as jnp
import numpy as np

from effjax.errors import UserError

_SLACK = 1e-2  # of a sum of probabilities: as much as bfloat16 leaves of it


#: For products whose differences matter: by default, accelerators multiply in formats of 8 to 11 bits.
EXACT = jax.lax.Precision.HIGHEST


class Unusable(UserError):
    """Numbers of a network that say nothing: NaN, infinity, or probabilities that are none."""


def check_finite(name: str, array: Any) -> None:
    """Refuses NaN and infinity, where the values are there to be looked at: inside jit they are not.

    Raises:
      UserError: naming the array and the first example that has them.
    """
    if isinstance(array, jax.core.Tracer):
        return
    with np.errstate(over="ignore"):  # what float32 cannot hold is infinite to every selector
        bad = ~np.isfinite(np.asarray(array, np.float32))
    if bad.any():
        first = np.argwhere(bad)[0].tolist()
        raise Unusable(f"{name}: {bad.sum()} values are not finite, the first at {first}; mend the network first")


def check_probs(name: str, probs: Any) -> None:
    """Refuses what are no probabilities over the last axis, where the values are there to be looked at.

    Raises:
      Unusable: naming the array and the first that are none.
    """
    if isinstance(probs, jax.core.Tracer):
        return
    good = np.asarray(_are_probs(probs) if isinstance(probs, jax.Array) else are_probs(np.asarray(probs)))
    if good.all():
        return
    check_finite(name, probs)
    first = np.argwhere(~good)[0].tolist()
    given = np.asarray(probs, np.float32)[tuple(first)]
    raise Unusable(
        f"{name}: {(~good).sum()} of {good.size} are no probabilities (0 or more, of sum 1), the first at {first}: "
        f"{np.array2string(given[:4], precision=4, separator=', ')}{'…' if len(given) > 4 else ''} of sum "
        f"{given.sum():.4g}; mend the network first, or give softmax of its logits"
    )


def are_probs(probs: Any) -> Any:
    """Whether ``[..., C]`` are probabilities ``[...]``: none is negative, their sum is 1; NaN and infinity are none.

    Inside a program too. Sums may be off by what rounding leaves of them.
    """
    with np.errstate(all="ignore"):
        total = probs.sum(-1, dtype=jnp.promote_types(probs.dtype, np.float32))
        return (abs(total - 1.0) <= _SLACK) & (probs.min(-1) >= -1e-6)


_are_probs = jax.jit(are_probs)


def at_least_float32(x: jax.Array) -> jax.Array:
    """What comes from a network that ran in bfloat16 is computed with in float32; float64 stays as it is."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


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
