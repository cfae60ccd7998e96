"""A student's masks as a state holds them.

They are a nested mapping like the student's parameters, of booleans, true where a weight is kept. It holds nothing but
the kernels that are pruned: unlike None, an array can be saved, stacked and mapped over.
"""

from typing import Any

from flax import traverse_util

from effjax.pruning import apply_masks
from effjax.pruning.paths import by_path, tree_of
from effjax.typing import PyTree


def masked_student(params: PyTree, masks: PyTree) -> PyTree:
    """Parameters, their average or their gradients, ``{"student": …}``, those of removed weights 0."""
    return {**params, "student": apply_masks(params["student"], like(masks, params["student"]))}


def like(masks: PyTree, student: PyTree) -> PyTree:
    """Masks as a tree like the student's parameters, None where nothing is pruned."""
    return tree_of(by_path(masks), student)


def nested(masks: PyTree) -> dict[str, Any]:
    """Such a tree without what is None."""
    return traverse_util.unflatten_dict(by_path(masks), sep="/")
