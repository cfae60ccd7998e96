"""Groups of operations with a name of their own, which runtimes compute faster: pools, softmax, GELU, LayerNorm."""

import dataclasses
import math
from collections.abc import Callable
from typing import TypeGuard, cast

from effjax.models.deployed import operations as ops
from effjax.models.deployed.draft import Draft
from effjax.models.deployed.graph import Node


def _pool(draft: Draft, node: Node) -> bool:
    """``[B, h, a, w, b, C]`` reduced to ``[B, h, w, C]`` is a pool of windows of a × b."""
    operation = node.operation
    if not isinstance(operation, ops.Reduce) or operation.axes != (2, 4):
        return False
    cut = draft.before(node, ops.Reshape)
    source = draft.nodes.get(cut.inputs[0]) if cut else None
    if cut is None or source is None or len(cut.shape) != 5 or len(source.shape) != 3:
        return False
    height, a, width, b, channels = cut.shape
    if source.shape != (height * a, width * b, channels):
        return False
    pool = ops.Pool(operation.kind, (a, b), (a, b), ((0, 0), (0, 0)))
    draft.put(dataclasses.replace(node, inputs=cut.inputs, operation=pool), [cut])
    return True


def _softmax(draft: Draft, node: Node) -> bool:
    """exp(x − max x) / Σ exp(x − max x)."""
    if not _is(node, "div"):
        return False
    raised, total = (_unshaped(draft, number) for number in node.inputs)
    if not _is(raised, "exp") or not _reduces(total, "sum") or total.inputs != (raised.output,):
        return False
    shifted = _unshaped(draft, raised.inputs[0])
    if not _is(shifted, "sub"):
        return False
    source, most = shifted.inputs[0], _unshaped(draft, shifted.inputs[1])
    axes = cast(ops.Reduce, total.operation).axes
    if not _reduces(most, "max", axes) or most.inputs != (source,) or len(axes) != 1:
        return False
    draft.put(dataclasses.replace(node, inputs=(source,), operation=ops.Softmax(axes[0])))
    return True


def _gelu(draft: Draft, node: Node) -> bool:
    """½ x erfc(−x / √2)."""
    if not _is(node, "mul"):
        return False
    half, tail = (draft.nodes.get(number) for number in node.inputs)
    if not _scales(half, 0.5) or not _is(tail, "erfc"):
        return False
    scaled = draft.nodes.get(tail.inputs[0])
    negative = draft.nodes.get(scaled.inputs[0]) if _scales(scaled, math.sqrt(0.5)) else None
    if not _is(negative, "neg") or negative.inputs != half.inputs:
        return False
    draft.put(dataclasses.replace(node, inputs=half.inputs, operation=ops.Elementwise("gelu")))
    return True


def _layer_norm(draft: Draft, node: Node) -> bool:
    """(x − mean x) · (scale / √(mean x² − mean² x + ε)), as flax writes it."""
    if not _is(node, "mul"):
        return False
    centred, factor = (_unshaped(draft, number) for number in node.inputs)
    if not _is(centred, "sub") or not _is_affine(factor):
        return False
    root = _unshaped(draft, factor.inputs[0])
    shifted = _unshaped(draft, root.inputs[0]) if _is(root, "rsqrt") else None
    if not _is_affine(shifted) or not factor.constants["offset"].is_all(0):
        return False
    epsilon = shifted.constants["offset"].array
    variance = _unshaped(draft, shifted.inputs[0])
    if variance is not None and variance.operation == ops.Clip(low=0.0):
        variance = _unshaped(draft, variance.inputs[0])
    if epsilon is None or epsilon.size != 1 or not shifted.constants["scale"].is_all(1) or not _is(variance, "sub"):
        return False
    source, mean = centred.inputs[0], _unshaped(draft, centred.inputs[1])
    squares, square = (_unshaped(draft, number) for number in variance.inputs)
    last = (len(node.shape),)
    expected = (
        _reduces(mean, "mean", last)
        and mean.inputs == (source,)
        and _reduces(squares, "mean", last)
        and _squares(draft, squares.inputs[0], source)
        and _squares(draft, square.output if square else -1, mean.output)
    )
    if not expected:
        return False
    constants = {"scale": factor.constants["scale"], "offset": factor.constants["offset"]}
    operation = ops.LayerNorm(float(epsilon.reshape(())))
    draft.put(dataclasses.replace(node, inputs=(source,), operation=operation, constants=constants))
    return True


def _offset_into_layer_norm(draft: Draft, node: Node) -> bool:
    norm = draft.before(node, ops.LayerNorm) if isinstance(node.operation, ops.Affine) else None
    if norm is None or not norm.constants["offset"].is_all(0) or not node.constants["scale"].is_all(1):
        return False
    constants = {**norm.constants, "offset": node.constants["offset"]}
    draft.put(dataclasses.replace(norm, output=node.output, constants=constants), [norm])
    return True


def _unshaped(draft: Draft, number: int) -> Node | None:
    """The maker of a value, looked for behind reshapes and repetitions along axes of length one; None of the images."""
    node = draft.nodes.get(number)
    while node is not None and isinstance(node.operation, ops.Reshape | ops.Broadcast):
        node = draft.nodes.get(node.inputs[0])
    return node


def _is_affine(node: Node | None) -> TypeGuard[Node]:
    return node is not None and isinstance(node.operation, ops.Affine)


def _is(node: Node | None, name: str) -> TypeGuard[Node]:
    return node is not None and node.operation == ops.Elementwise(name)


def _reduces(node: Node | None, kind: str, axes: tuple[int, ...] = ()) -> TypeGuard[Node]:
    operation = node.operation if node else None
    return isinstance(operation, ops.Reduce) and operation.kind == kind and (axes or operation.axes) == operation.axes


def _scales(node: Node | None, number: float) -> TypeGuard[Node]:
    if not _is_affine(node) or not node.constants["offset"].is_all(0):
        return False
    scale = node.constants["scale"].array
    return scale is not None and scale.size == 1 and abs(float(scale.reshape(())) - number) < 1e-6


def _squares(draft: Draft, number: int, source: int) -> bool:
    node = draft.nodes.get(number)
    return node is not None and node.operation == ops.Power(2) and node.inputs == (source,)


#: Each takes a draft and a node, and returns whether it has put something in the node's place.
PATTERNS: tuple[Callable[[Draft, Node], bool], ...] = (_pool, _softmax, _gelu, _layer_norm, _offset_into_layer_norm)
