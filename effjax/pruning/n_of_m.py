"""Masks that hardware executes: n of every m weights that follow one another."""

from collections.abc import Collection
from functools import partial

import jax
import jax.numpy as jnp

from effjax.errors import UserError
from effjax.numerics import at_least_float32, check_finite
from effjax.pruning.paths import chosen, tree_of
from effjax.typing import PyTree


def n_of_m_mask(scores: PyTree, n: int, m: int, *, paths: Collection[str] | None = None) -> PyTree:
    """Keeps the n highest scores of every m that follow one another along a kernel's input channels.

    The axis is the last but one, ``n_in`` of ``(k_h, k_w, n_in, n_out)`` and of ``(n_in, n_out)``: what one output
    channel reads at one position of the filter, as sparse tensor cores want it (their 2:4 is ``n=2, m=4``, along the
    innermost axis of a product, which is that of the input channels in NHWC). Where m does not divide the input
    channels, the last group is shorter and keeps n weights all the same, or all that it has: runtimes fill it with
    zeros. Of equal scores the lower index is kept.

    Args:
      scores: a tree of floats, as :func:`magnitude` gives it.
      n: how many of a group are kept, from 1 to m.
      m: how many a group has.
      paths: of the leaves that are pruned; by default those of :func:`prunable`.

    Returns:
      A tree of the same structure: booleans, true where the weight is kept, and None where nothing is pruned.

    Raises:
      UserError: if n or m is out of range, there is no such path, or nothing to prune.
      Unusable: if a score is not finite (outside of a compiled program: inside, NaN is removed first).

    Example:
      >>> n_of_m_mask(jnp.array([[1.0], [4.0], [2.0], [3.0]]), 2, 4)[:, 0]
      Array([False,  True, False,  True], dtype=bool)

    References:
      Mishra et al., `Accelerating Sparse Deep Neural Networks <https://arxiv.org/abs/2104.08378>`_, 2021.
    """
    for name, value in (("n", n), ("m", m)):
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= m:
            raise UserError(f"n_of_m_mask: {name}={value!r}: n weights of m are kept, whole numbers with 1 ≤ n ≤ m")
    found = chosen("n_of_m_mask", scores, paths)
    for path, leaf in found.items():
        check_finite(f"scores of {path}", leaf)
    return tree_of({path: _mask(jnp.asarray(leaf), n, m) for path, leaf in found.items()}, scores)


@partial(jax.jit, static_argnames=("n", "m"))
def _mask(scores: jax.Array, n: int, m: int) -> jax.Array:
    scores = jnp.moveaxis(at_least_float32(scores), -2, -1)
    scores = jnp.where(jnp.isnan(scores), -jnp.inf, scores)
    size = scores.shape[-1]
    filled = jnp.pad(scores, [(0, 0)] * (scores.ndim - 1) + [(0, -size % m)], constant_values=-jnp.inf)
    groups = filled.reshape(*filled.shape[:-1], -1, m)
    own, other = groups[..., :, None], groups[..., None, :]
    earlier = jnp.tri(m, k=-1, dtype=bool)
    rank = ((other > own) | ((other == own) & earlier)).sum(-1)
    return jnp.moveaxis((rank < n).reshape(filled.shape)[..., :size], -1, -2)
