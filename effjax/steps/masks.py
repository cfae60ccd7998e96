"""Choosing parameters by regular expressions over their paths, e.g. ``student/conv1/kernel``."""

import re
from typing import Any

import jax

from effjax.errors import UserError, nearest
from effjax.pruning.paths import path_name
from effjax.typing import PyTree


def path_mask(params: PyTree, pattern: str, *, key: str) -> PyTree:
    """Marks the parameters whose path the pattern fully matches.

    Args:
      params: any tree of arrays (or of shapes).
      pattern: a regular expression.
      key: the config key to name in an error.

    Returns:
      A tree of the same structure with booleans.

    Raises:
      UserError: if the pattern is no regular expression or matches no path.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UserError(f"{key}={pattern!r} is not a regular expression: {error}") from error
    mask = jax.tree_util.tree_map_with_path(lambda path, _: compiled.fullmatch(path_name(path)) is not None, params)
    if not any(jax.tree.leaves(mask)):
        paths = [path_name(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)]
        raise UserError(f"{key}={pattern!r} matches no parameter; {nearest(pattern, paths)}")
    return mask


def split(params: PyTree, mask: PyTree) -> tuple[list[jax.Array], Any]:
    """Takes the marked leaves out of a tree.

    Returns:
      ``(chosen, join)``: the leaves where ``mask`` is true, and a function that puts such a list back among the rest.
    """
    leaves, treedef = jax.tree.flatten(params)
    flags = treedef.flatten_up_to(mask)

    def join(chosen: list[jax.Array]) -> PyTree:
        replaced = iter(chosen)
        return treedef.unflatten([next(replaced) if flag else leaf for leaf, flag in zip(leaves, flags, strict=True)])

    return [leaf for leaf, flag in zip(leaves, flags, strict=True) if flag], join
