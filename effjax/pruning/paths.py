"""Which leaves of a tree are pruned, by their paths, e.g. ``stage1/block2/conv1/kernel``."""

from collections.abc import Collection, Mapping
from typing import Any

import jax

from effjax.errors import UserError, check_known
from effjax.typing import PyTree


def prunable(params: PyTree) -> tuple[str, ...]:
    """The weights that pruning is meant for: kernels, and never a bias, a normalisation or an embedding.

    Kernels are the leaves of two axes or more that are called ``kernel``, as flax calls them. In a tree where none is,
    they are all leaves of two axes or more. A first or last layer that is to stay dense is left out of what is
    returned.

    Args:
      params: a tree of arrays or shapes. With several networks along a leading axis, call it inside of ``vmap``.

    Returns:
      Their paths, in the order of the tree.

    Example:
      >>> import numpy as np
      >>> conv = {"kernel": np.ones((3, 3, 1, 8)), "bias": np.ones(8)}
      >>> prunable({"conv": conv, "position_table": np.ones((16, 8))})
      ('conv/kernel',)
    """
    matrices = [path for path, leaf in by_path(params).items() if len(leaf.shape) >= 2]
    kernels = tuple(path for path in matrices if path.rpartition("/")[2] == "kernel")
    return kernels or tuple(matrices)


def by_path(tree: PyTree) -> dict[str, Any]:
    """The leaves of a tree by their paths, in its order; None is no leaf."""
    return {path_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def path_name(path: tuple[Any, ...]) -> str:
    """A path in a tree as ``a/b/c``."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def tree_of(leaves: Mapping[str, Any], tree: PyTree) -> PyTree:
    """A tree like ``tree`` of other leaves, by their paths; None where there is none."""
    return jax.tree_util.tree_map_with_path(lambda path, _: leaves.get(path_name(path)), tree)


def chosen(name: str, tree: PyTree, paths: Collection[str] | None) -> dict[str, Any]:
    """The leaves at some paths, in the order of the tree; by default the prunable ones.

    Raises:
      UserError: if there is no such path, or none at all, or a leaf has fewer than two axes.
    """
    leaves = by_path(tree)
    for path in paths or ():
        check_known(path, leaves, f"{name}: no leaf {path!r}")
    wanted = set(prunable(tree) if paths is None else paths)
    if not wanted:
        raise UserError(f"{name}: there is nothing to prune; a kernel, of two axes or more, is needed")
    for path in wanted:
        if len(leaves[path].shape) < 2:
            raise UserError(f"{name}: {path} is no kernel, its shape is {leaves[path].shape}; two axes are needed")
    return {path: leaf for path, leaf in leaves.items() if path in wanted}
