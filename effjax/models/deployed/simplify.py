"""Makes a graph of few operations: sums and products join the layer before, and what says nothing goes."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import cast

from effjax.models.deployed import operations as ops
from effjax.models.deployed.constants import Constant
from effjax.models.deployed.draft import Draft
from effjax.models.deployed.graph import Node
from effjax.models.deployed.patterns import PATTERNS


def simplify(nodes: Sequence[Node], returned: frozenset[int], image_shape: tuple[int, ...]) -> list[Node]:
    """Rewrites until no rule applies.

    Args:
      nodes: as they were traced.
      returned: the numbers of the values that the network returns.
      image_shape: ``(H, W, C)``.

    Returns:
      The nodes, each after those that it reads.
    """
    draft = Draft(nodes, returned)
    changed = True
    while changed:
        changed = draft.sweep()
        for number in sorted(draft.nodes):
            for rule in (_neutral, *_RULES, *PATTERNS):
                if number in draft.nodes and rule(draft, draft.nodes[number]):
                    changed = True
    return [draft.nodes[number] for number in sorted(draft.nodes)]


def _shape_before(draft: Draft, node: Node) -> tuple[int, ...]:
    """The shape of a node's one input; of the images nobody knows it here."""
    source = draft.nodes.get(node.inputs[0])
    return source.shape if source else ()


def _neutral(draft: Draft, node: Node) -> bool:
    """What changes nothing is left out."""
    operation = node.operation
    if len(node.inputs) != 1 or node.output in draft.returned:
        return False
    same = _shape_before(draft, node) == node.shape
    neutral = (
        (isinstance(operation, ops.Affine) and node.constants["scale"].is_all(1) and node.constants["offset"].is_all(0))
        or (isinstance(operation, ops.Clip) and (operation.low, operation.high) == (-math.inf, math.inf))
        or (isinstance(operation, ops.Reshape | ops.Broadcast | ops.Slice) and same)
        or (isinstance(operation, ops.Pad) and not any((*operation.before, *operation.after)))
        or (isinstance(operation, ops.Transpose) and operation.order == tuple(range(len(operation.order))))
    )
    if neutral:
        draft.bypass(node)
    return neutral


def _affine_into_layer(draft: Draft, node: Node) -> bool:
    """Batch normalisation, and a bias, join the layer before."""
    layer = draft.before(node, ops.Conv, ops.Dense) if isinstance(node.operation, ops.Affine) else None
    if layer is None or any(len(one.shape) > 1 for one in node.constants.values()):
        return False
    kernel, bias = _followed_by(layer.constants["kernel"], layer.constants["bias"], node)
    constants = {"kernel": kernel, "bias": bias}
    draft.put(dataclasses.replace(layer, output=node.output, constants=constants), [layer])
    return True


def _affine_into_affine(draft: Draft, node: Node) -> bool:
    first = draft.before(node, ops.Affine) if isinstance(node.operation, ops.Affine) else None
    if first is None:
        return False
    scale, offset = _followed_by(first.constants["scale"], first.constants["offset"], node)
    constants = {"scale": scale, "offset": offset}
    draft.put(dataclasses.replace(first, output=node.output, constants=constants), [first])
    return True


def _followed_by(factor: Constant, offset: Constant, node: Node) -> tuple[Constant, Constant]:
    """What is linear and an affine node after it, as one; no number is computed that is 0 or 1 anyway."""
    scale, added = node.constants["scale"], node.constants["offset"]
    if not scale.is_all(1):
        factor = scale if factor.is_all(1) and scale.shape == factor.shape else factor * scale
        offset = offset if offset.is_all(0) else offset * scale
    if not added.is_all(0):
        offset = added if offset.is_all(0) and len(added.shape) >= len(offset.shape) else offset + added
    return factor, offset


def _affine_into_mean(draft: Draft, node: Node) -> bool:
    """A sum divided by how many were summed is a mean."""
    total = draft.before(node, ops.Reduce, ops.Pool) if isinstance(node.operation, ops.Affine) else None
    scale = node.constants["scale"].array if total else None
    if total is None or scale is None or scale.size != 1 or not node.constants["offset"].is_all(0):
        return False
    operation = cast(ops.Reduce | ops.Pool, total.operation)
    if isinstance(operation, ops.Pool):
        size = math.prod(operation.window)
    else:
        shape = _shape_before(draft, total)
        size = math.prod(shape[axis - 1] for axis in operation.axes) if shape else 0
    if operation.kind != "sum" or abs(float(scale.reshape(())) * size - 1) > 1e-6:
        return False
    draft.put(
        dataclasses.replace(total, output=node.output, operation=dataclasses.replace(operation, kind="mean")), [total]
    )
    return True


def _clips(draft: Draft, node: Node) -> bool:
    """Two clips are one."""
    first = draft.before(node, ops.Clip) if isinstance(node.operation, ops.Clip) else None
    if first is None or not isinstance(first.operation, ops.Clip) or not isinstance(node.operation, ops.Clip):
        return False
    low, high = node.operation.low, node.operation.high
    bounds = ops.Clip(*(min(max(bound, low), high) for bound in (first.operation.low, first.operation.high)))
    draft.put(dataclasses.replace(first, output=node.output, operation=bounds), [first])
    return True


def _reshapes(draft: Draft, node: Node) -> bool:
    """Of two reshapes the second counts."""
    first = draft.before(node, ops.Reshape) if isinstance(node.operation, ops.Reshape) else None
    if first is None:
        return False
    draft.put(dataclasses.replace(node, inputs=first.inputs), [first])
    return True


def _pad_into_conv(draft: Draft, node: Node) -> bool:
    """Zeros around an image are the convolution's own padding."""
    pad = draft.before(node, ops.Pad) if isinstance(node.operation, ops.Conv) else None
    if pad is None or not isinstance(pad.operation, ops.Pad) or not isinstance(node.operation, ops.Conv):
        return False
    (_, *before, left), (_, *after, right) = pad.operation.before, pad.operation.after
    if pad.operation.number or left or right or min(before + after) < 0:
        return False
    own = node.operation.padding
    rows, columns = ((own[i][0] + before[i], own[i][1] + after[i]) for i in (0, 1))
    operation = dataclasses.replace(node.operation, padding=(rows, columns))
    draft.put(dataclasses.replace(node, inputs=pad.inputs, operation=operation), [pad])
    return True


_RULES: tuple[Callable[[Draft, Node], bool], ...] = (
    _affine_into_mean,
    _affine_into_affine,
    _affine_into_layer,
    _clips,
    _reshapes,
    _pad_into_conv,
)
