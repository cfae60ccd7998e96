"""Sparse from the start to the end: now and then, weights that do little are exchanged for others."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from effjax.errors import UserError
from effjax.numerics import at_least_float32
from effjax.pruning.paths import by_path, tree_of
from effjax.pruning.ranking import highest
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
    gains = by_path(gradients)
    return _exchange(params, masks, lambda path: jnp.asarray(gains[path]), fraction)


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
    shapes = by_path(masks)
    keys = {path: jax.random.fold_in(key, i) for i, path in enumerate(shapes)}
    return _exchange(params, masks, lambda path: jax.random.uniform(keys[path], shapes[path].shape), fraction)


def _exchange(
    params: PyTree, masks: PyTree, gain: Callable[[str], jax.Array], fraction: jax.Array | float
) -> tuple[PyTree, PyTree]:
    """Of each masked leaf, by its path, the smallest weights go and those of the highest gain come."""
    weights, changed = by_path(params), {}
    for path, kept in by_path(masks).items():
        new = _exchanged(jnp.asarray(kept), jnp.asarray(weights[path]), gain(path), fraction)
        stays = kept & new
        weights[path], changed[path] = jnp.where(stays, weights[path], jnp.zeros_like(weights[path])), new
    return tree_of(weights, params), tree_of(changed, masks)


@jax.jit
def _exchanged(kept: jax.Array, weights: jax.Array, gain: jax.Array, fraction: jax.Array | float) -> jax.Array:
    share = jnp.clip(jnp.asarray(fraction, jnp.float32), 0.0, 1.0)
    count = kept.sum(dtype=jnp.int32)
    exchanged = jnp.minimum(jnp.floor(share * count).astype(jnp.int32), kept.size - count)
    stays = highest(_among(kept, weights).ravel(), count - exchanged)
    comes = highest(_among(~kept, gain).ravel(), exchanged)
    return (stays | comes).reshape(kept.shape)


def _among(eligible: jax.Array, values: jax.Array) -> jax.Array:
    """Magnitudes, below which lies NaN, and below that what is not eligible."""
    magnitude = jnp.abs(at_least_float32(values))
    return jnp.where(eligible, jnp.where(jnp.isnan(magnitude), -1.0, magnitude), -jnp.inf)
