"""Sparse from the start to the end: now and then, weights that do little are exchanged for others."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from effjax.errors import UserError
from effjax.numerics import at_least_float32
from effjax.pruning.paths import by_path, tree_of
from effjax.pruning.ranking import highest_of_each
from effjax.typing import PyTree


def drop_fraction(step: jax.Array | int, *, end: int, alpha: float = 0.3) -> jax.Array:
    """The share of the kept weights that is exchanged, α/2 (1 + cos(π t / T)): α at first, 0 in the end.

    Args:
      step: t, of the training, may be traced.
      end: T, the step from which on nothing is exchanged.
      alpha: α, the share at step 0, from 0 to 1.

    Returns:
      ``[]`` float32, from 0 to α.

    Raises:
      UserError: if T is not above 0 or α is no share.

    Example:
      >>> drop_fraction(50, end=100)
      Array(0.15, dtype=float32)

    References:
      Evci et al., `Rigging the Lottery: Making All Tickets Winners <https://arxiv.org/abs/1911.11134>`_, 2020, sec. 3.
    """
    if not end > 0 or not 0 <= alpha <= 1:
        raise UserError(f"drop_fraction: end={end} must be above 0, and alpha={alpha} from 0 to 1")
    done = jnp.clip(jnp.asarray(step, jnp.float32) / end, 0.0, 1.0)
    return jnp.where(done < 1.0, alpha / 2 * (1.0 + jnp.cos(jnp.pi * done)), 0.0)


def rigl(params: PyTree, masks: PyTree, gradients: PyTree, fraction: jax.Array | float) -> tuple[PyTree, PyTree]:
    """Exchanges kept weights of the smallest magnitude for removed ones of the largest gradient, in each layer.

    As many come as go: the whole part of ``fraction`` times the kept ones, but no more than there are removed ones to
    take their place. What has just been dropped does not come back in the same update (in the paper it may). Of equal
    ones the higher index goes, and the lower one comes.

    Args:
      params: a tree of arrays; those that are removed may have any value.
      masks: a tree of the same structure, as :func:`mask` gives it; leaves of None are left alone.
      gradients: of the loss by the *masked* parameters, also where they are 0; of the same structure.
      fraction: the share of the kept weights that is exchanged, as :func:`drop_fraction` gives it; may be traced.

    Returns:
      ``(params, masks)``: removed and newly kept weights are 0. An optimiser's moments of them are the caller's.

    Example:
      >>> weights, kept = jnp.array([3.0, 1.0, 0.0, 0.0]), jnp.array([True, True, False, False])
      >>> rigl(weights, kept, jnp.array([0.0, 9.0, 5.0, -7.0]), 0.5)
      (Array([3., 0., 0., 0.], dtype=float32), Array([ True, False, False,  True], dtype=bool))

    References:
      Evci et al., `Rigging the Lottery: Making All Tickets Winners <https://arxiv.org/abs/1911.11134>`_, 2020, alg. 1.
    """
    return _exchange(params, masks, by_path(gradients), fraction)


def set_update(key: jax.Array, params: PyTree, masks: PyTree, fraction: jax.Array | float) -> tuple[PyTree, PyTree]:
    """Exchanges kept weights of the smallest magnitude for removed ones at random, in each layer.

    In all but what comes, it is :func:`rigl`.

    Args:
      key: a PRNG key, folded with the position of each mask in the tree.
      params: a tree of arrays; those that are removed may have any value.
      masks: a tree of the same structure, as :func:`mask` gives it; leaves of None are left alone.
      fraction: the share of the kept weights that is exchanged (ζ in the paper, 0.3 there); may be traced.

    Returns:
      ``(params, masks)``: removed and newly kept weights are 0.

    Example:
      >>> weights, kept = jnp.array([3.0, 1.0, 0.0]), jnp.array([True, True, False])
      >>> set_update(jax.random.key(0), weights, kept, 0.5)
      (Array([3., 0., 0.], dtype=float32), Array([ True, False,  True], dtype=bool))

    References:
      Mocanu et al., `Scalable Training of Artificial Neural Networks with Adaptive Sparse Connectivity Inspired by
      Network Science <https://arxiv.org/abs/1707.04780>`_, 2018 (SET).
    """
    drawn = {
        path: jax.random.uniform(jax.random.fold_in(key, i), kept.shape)
        for i, (path, kept) in enumerate(by_path(masks).items())
    }
    return _exchange(params, masks, drawn, fraction)


def _exchange(
    params: PyTree, masks: PyTree, gains: Mapping[str, Any], fraction: jax.Array | float
) -> tuple[PyTree, PyTree]:
    """Of each masked leaf, by its path, the smallest weights go and those of the highest gain come."""
    weights, old = by_path(params), by_path(masks)
    given = ([jnp.asarray(tree[path]) for path in old] for tree in (old, weights, gains))
    new = dict(zip(old, _exchanged(*given, fraction), strict=True))
    for path in old:
        weights[path] = jnp.where(old[path] & new[path], weights[path], jnp.zeros_like(weights[path]))
    return tree_of(weights, params), tree_of(new, masks)


@jax.jit
def _exchanged(
    masks: list[jax.Array], weights: list[jax.Array], gains: list[jax.Array], fraction: jax.Array | float
) -> list[jax.Array]:
    share = jnp.clip(jnp.asarray(fraction, jnp.float32), 0.0, 1.0)
    counts = [kept.sum(dtype=jnp.int32) for kept in masks]
    exchanged = [
        jnp.minimum(jnp.floor(share * count).astype(jnp.int32), kept.size - count)
        for kept, count in zip(masks, counts, strict=True)
    ]
    eligible = [*map(_among, masks, weights), *(_among(~kept, gain) for kept, gain in zip(masks, gains, strict=True))]
    wanted = [*(count - gone for count, gone in zip(counts, exchanged, strict=True)), *exchanged]
    marked = highest_of_each(eligible, wanted)
    return [stays | comes for stays, comes in zip(marked[: len(masks)], marked[len(masks) :], strict=True)]


def _among(eligible: jax.Array, values: jax.Array) -> jax.Array:
    """Magnitudes, below which lies NaN, and below that what is not eligible."""
    magnitude = jnp.abs(at_least_float32(values))
    return jnp.where(eligible, jnp.where(jnp.isnan(magnitude), -1.0, magnitude), -jnp.inf)
