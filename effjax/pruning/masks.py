"""Masks: which weights are kept. A tree like the parameters, of booleans; None where nothing is pruned."""

from collections.abc import Collection
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from effjax.errors import check_known
from effjax.numerics import at_least_float32, check_finite
from effjax.pruning.densities import check_sparsity, erk, kept_share, uniform
from effjax.pruning.paths import chosen, tree_of
from effjax.pruning.ranking import highest, highest_of_each, rounded
from effjax.typing import PyTree

_DENSITIES = {"layer": uniform, "erk": erk}
SCOPES: tuple[str, ...] = ("global", *_DENSITIES)


def mask(
    scores: PyTree, sparsity: jax.Array | float, *, scope: str = "global", paths: Collection[str] | None = None
) -> PyTree:
    """Keeps the weights of the highest scores: exactly as many as a sparsity says, whatever the scores.

    The number that is kept is (1 − sparsity) × size, rounded half to even, of all weights together or of each layer.
    The sparsity is taken as float32, and (1 − sparsity) as the nearest multiple of 2⁻²⁴. Of equal scores the
    lower index is kept, and of equal ones in two layers that of the layer which comes first in the tree.

    Args:
      scores: a tree of floats, as :func:`magnitude` gives it.
      sparsity: the share of weights that are removed, from 0 to 1; may be traced, then what lies outside is cut.
      scope: among which weights scores are compared: ``"global"``, all together; ``"layer"``, each layer keeps the same
        share; ``"erk"``, each layer keeps the share that :func:`erk` gives it. The rounding of L layers together is off
        by L / 2 weights at most.
      paths: of the leaves that are pruned; by default those of :func:`prunable`.

    Returns:
      A tree of the same structure: booleans, true where the weight is kept, and None where nothing is pruned.

    Raises:
      UserError: if there is no such scope or path, nothing to prune, or the sparsity is no share.
      Unusable: if a score is not finite (outside of a compiled program: inside, NaN is removed first).

    Example:
      >>> mask({"kernel": jnp.array([[3.0, 1.0], [1.0, 2.0]]), "bias": jnp.ones(2)}, 0.25)
      {'bias': None, 'kernel': Array([[ True,  True],
             [False,  True]], dtype=bool)}
    """
    check_known(scope, SCOPES, f"mask: scope={scope!r}")
    found = chosen("mask", scores, paths)
    for path, leaf in found.items():
        check_finite(f"scores of {path}", leaf)
    check_sparsity(sparsity)
    masks = _masks([jnp.asarray(leaf) for leaf in found.values()], jnp.asarray(sparsity, jnp.float32), scope)
    return tree_of(dict(zip(found, masks, strict=True)), scores)


@partial(jax.jit, static_argnames="scope")
def _masks(scores: list[jax.Array], sparsity: jax.Array, scope: str) -> list[jax.Array]:
    scores = [at_least_float32(leaf) for leaf in scores]
    if scope == "global":
        joined = jnp.concatenate([leaf.ravel() for leaf in scores])
        kept = highest(joined, rounded(kept_share(sparsity), joined.size))
        parts = jnp.split(kept, np.cumsum([leaf.size for leaf in scores])[:-1].tolist())
        return [part.reshape(leaf.shape) for part, leaf in zip(parts, scores, strict=True)]
    densities = _DENSITIES[scope]({str(i): leaf.shape for i, leaf in enumerate(scores)}, sparsity).values()
    return highest_of_each(scores, [rounded(d, leaf.size) for leaf, d in zip(scores, densities, strict=True)])


def apply_masks(params: PyTree, masks: PyTree) -> PyTree:
    """Sets the weights that are not kept to 0.

    Args:
      params: a tree of arrays.
      masks: a tree of the same structure, as :func:`mask` gives it.

    Returns:
      The parameters; leaves without a mask are as they were.

    Example:
      >>> apply_masks({"kernel": jnp.array([3.0, 1.0])}, {"kernel": jnp.array([True, False])})
      {'kernel': Array([3., 0.], dtype=float32)}
    """
    return map_masked(lambda kept, w: jnp.where(kept, w, jnp.zeros_like(w)), masks, params)


def map_masked(function: Any, masks: PyTree, params: PyTree) -> PyTree:
    """``function(mask, weights)`` of each leaf that has a mask; the others are as they were."""
    return jax.tree.map(
        lambda kept, w: w if kept is None else function(kept, w), masks, params, is_leaf=lambda leaf: leaf is None
    )


def count(masks: PyTree) -> tuple[jax.Array, int]:
    """Counts the weights that have a mask.

    Args:
      masks: as :func:`mask` gives them.

    Returns:
      ``(kept, size)``: how many are kept, ``[]`` int32, and how many there are.

    Example:
      >>> count({"bias": None, "kernel": jnp.array([True, False, True])})
      (Array(2, dtype=int32), 3)
    """
    leaves = [jnp.asarray(leaf) for leaf in jax.tree.leaves(masks)]
    kept = sum((leaf.sum(dtype=jnp.int32) for leaf in leaves), start=jnp.zeros((), jnp.int32))
    return kept, sum(leaf.size for leaf in leaves)


def sparsity_of(masks: PyTree) -> jax.Array:
    """The share of weights that are removed, of those that have a mask.

    Args:
      masks: as :func:`mask` gives them.

    Returns:
      ``[]`` float32, from 0 to 1; 0 where there is no mask.

    Example:
      >>> sparsity_of({"bias": None, "kernel": jnp.array([True, False, True, True])})
      Array(0.25, dtype=float32)
    """
    kept, size = count(masks)
    return (size - kept) / max(size, 1)
