"""What each operation of a graph is in ONNX.

ONNX convolves images whose channels come before their rows, so a value may be there in two layouts: as in the graph,
and with its channels first. What needs the other one transposes it once; what does not care takes what it finds.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from onnx import helper, numpy_helper

from effjax.errors import UserError
from effjax.models.deployed import operations as ops
from effjax.models.deployed.graph import Node

LAST, FIRST = "channels last", "channels first"
#: A mean over all places, before its two axes of one place are taken away: a quantiser follows it at once, so that
#: runtimes take the mean of codes.
POOLED = "channels first, of one place"

_ELEMENTWISE = {
    "abs": "Abs",
    "add": "Add",
    "div": "Div",
    "eq": "Equal",
    "erf": "Erf",
    "exp": "Exp",
    "ge": "GreaterOrEqual",
    "gt": "Greater",
    "le": "LessOrEqual",
    "log": "Log",
    "logistic": "Sigmoid",
    "lt": "Less",
    "max": "Max",
    "min": "Min",
    "mul": "Mul",
    "neg": "Neg",
    "sqrt": "Sqrt",
    "sub": "Sub",
    "tanh": "Tanh",
}


class OnnxWriter:
    """Collects the nodes and the arrays of an ONNX graph.

    Attributes:
      nodes: so far.
      arrays: so far.
      values: by the number of a value of the graph and by layout, its name in the file.
    """

    def __init__(self):
        self.nodes: list[Any] = []
        self.arrays: list[Any] = []
        self.values: dict[int, dict[str, str]] = {}
        self._taken: dict[str, int] = {}
        self._stored: dict[bytes, str] = {}

    def array(self, array: np.ndarray) -> str:
        """Stores an array, once however often it is asked for; returns its name."""
        array = np.asarray(array, order="C")  # ascontiguousarray would make a list of a number, which nothing fuses
        key = repr((array.dtype, array.shape)).encode() + array.tobytes()
        if key not in self._stored:
            self._stored[key] = f"array_{len(self.arrays)}"
            self.arrays.append(numpy_helper.from_array(array, self._stored[key]))
        return self._stored[key]

    def numbers(self, numbers: Sequence[int]) -> str:
        """Stores whole numbers, such as a shape."""
        return self.array(np.array(numbers, np.int64))

    def number(self, number: float) -> str:
        """Stores a float."""
        return self.array(np.array(number, np.float32))

    def add(self, kind: str, inputs: Sequence[str], name: str = "", **attributes: Any) -> str:
        """Adds a node; returns the name of its output."""
        name = name or kind
        self._taken[name] = self._taken.get(name, 0) + 1
        name = f"{name}_{self._taken[name]}" if self._taken[name] > 1 or name == kind else name
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def read(self, number: int, layout: str) -> str:
        """A value's name in a layout, into which it is brought if it is not there yet."""
        known = self.values[number]
        if layout not in known and POOLED in known:
            known[layout] = self.add("Squeeze", [known[POOLED], self.numbers([2, 3])])
        elif layout not in known:
            order = (0, 2, 3, 1) if layout == LAST else (0, 3, 1, 2)
            known[layout] = self.add("Transpose", [known[FIRST if layout == LAST else LAST]], perm=order)
        return known[layout]

    def layout_of(self, node: Node) -> str:
        """The layout in which a node that does not care finds most of its inputs."""
        found = [set(self.values[number]) for number in node.inputs]
        return FIRST if len(node.shape) == 3 and any(layouts == {FIRST} for layouts in found) else LAST


def _axis(axis: int, layout: str) -> int:
    return {0: 0, 1: 2, 2: 3, 3: 1}[axis] if layout == FIRST else axis


def _arranged(sizes: Sequence[Any], layout: str) -> list[Any]:
    """What is said of each axis after the batch's, in the order of a layout."""
    return [sizes[2], sizes[0], sizes[1]] if layout == FIRST else list(sizes)


def _weight(array: np.ndarray, layout: str) -> np.ndarray:
    """A weight that broadcasts against an example, in the order of a layout."""
    if layout == LAST or array.size == 1:
        return array
    whole = array.reshape((1,) * (3 - array.ndim) + array.shape)
    return np.transpose(whole, (2, 0, 1))


@functools.singledispatch
def write(
    operation: ops.Operation, node: Node, weights: Mapping[str, np.ndarray], writer: OnnxWriter
) -> dict[str, str]:
    """Adds what an operation is in ONNX.

    Args:
      operation: the node's.
      node: of the graph.
      weights: its weights.
      writer: what it is added to.

    Returns:
      By layout, the name of its value.

    Raises:
      UserError: if ONNX has nothing for it.
    """
    raise UserError(f"{type(operation).__name__.lower()} cannot be written as ONNX")


@write.register
def _(operation: ops.Conv, node: Node, weights: Mapping[str, Any], writer: OnnxWriter) -> dict[str, str]:
    (top, bottom), (left, right) = operation.padding
    kernel, bias = writer_weights(weights, writer, (3, 2, 0, 1))
    name = writer.add(
        "Conv",
        [writer.read(node.inputs[0], FIRST), kernel, bias],
        node.name,
        kernel_shape=list(node.constants["kernel"].shape[:2]),
        strides=list(operation.strides),
        pads=[top, left, bottom, right],
        dilations=list(operation.dilation),
        group=operation.groups,
    )
    return {FIRST: name}


@write.register
def _(operation: ops.Dense, node: Node, weights: Mapping[str, Any], writer: OnnxWriter) -> dict[str, str]:
    x, (kernel, bias) = writer.read(node.inputs[0], LAST), writer_weights(weights, writer, (0, 1))
    if len(node.shape) == 1:
        return {LAST: writer.add("Gemm", [x, kernel, bias], node.name)}
    return {LAST: writer.add("Add", [writer.add("MatMul", [x, kernel], f"{node.name}/product"), bias], node.name)}


def writer_weights(weights: Mapping[str, Any], writer: OnnxWriter, order: tuple[int, ...]) -> tuple[str, str]:
    """Stores a kernel, its axes in another order, and a bias: floats, or what says itself how it is stored."""
    kernel, bias = weights["kernel"], weights["bias"]
    if hasattr(kernel, "write"):
        return kernel.write(writer, order), bias.write(writer, (0,))
    return writer.array(np.transpose(kernel, order)), writer.array(bias)


@write.register
def _(operation: ops.Affine, node: Node, weights: Mapping[str, Any], writer: OnnxWriter) -> dict[str, str]:
    layout = writer.layout_of(node)
    name = writer.read(node.inputs[0], layout)
    if np.any(weights["scale"] != 1):
        name = writer.add("Mul", [name, writer.array(_weight(weights["scale"], layout))])
    if np.any(weights["offset"] != 0):
        name = writer.add("Add", [name, writer.array(_weight(weights["offset"], layout))])
    return {layout: name}


@write.register
def _(operation: ops.Stored, node: Node, weights: Mapping[str, Any], writer: OnnxWriter) -> dict[str, str]:
    return {LAST: writer.array(weights["value"])}


@write.register
def _(operation: ops.Clip, node: Node, weights: Mapping[str, Any], writer: OnnxWriter) -> dict[str, str]:
    layout = writer.layout_of(node)
    x = writer.read(node.inputs[0], layout)
    if (operation.low, operation.high) == (0, math.inf):
        return {layout: writer.add("Relu", [x])}
    low, high = ("" if math.isinf(bound) else writer.number(bound) for bound in (operation.low, operation.high))
    return {layout: writer.add("Clip", [x, low, high])}


@write.register
def _(operation: ops.Elementwise, node: Node, weights: Mapping[str, Any], writer: OnnxWriter) -> dict[str, str]:
    layout = writer.layout_of(node)
    inputs = [writer.read(number, layout) for number in node.inputs]
    name = operation.name
    if name == "select_n":
        condition, other, chosen = inputs
        found = writer.add("Where", [condition, chosen, other])
    elif name == "rsqrt":
        found = writer.add("Reciprocal", [writer.add("Sqrt", inputs)])
    elif name == "erfc":
        found = writer.add("Sub", [writer.number(1), writer.add("Erf", inputs)])
    elif name == "expm1":
        found = writer.add("Sub", [writer.add("Exp", inputs), writer.number(1)])
    elif name == "log1p":
        found = writer.add("Log", [writer.add("Add", [*inputs, writer.number(1)])])
    elif name == "ne":
        found = writer.add("Not", [writer.add("Equal", inputs)])
    elif name == "gelu":
        scaled = writer.add("Div", [*inputs, writer.number(math.sqrt(2))])
        twice = writer.add("Mul", [*inputs, writer.add("Add", [writer.add("Erf", [scaled]), writer.number(1)])])
        found = writer.add("Mul", [twice, writer.number(0.5)])
    else:
        found = writer.add(_ELEMENTWISE[name], inputs, node.name)
    return {layout: found}


@write.register
def _(operation: ops.Power, node: Node, weights: Mapping[str, Any], writer: OnnxWriter) -> dict[str, str]:
    layout = writer.layout_of(node)
    return {layout: writer.add("Pow", [writer.read(node.inputs[0], layout), writer.number(operation.exponent)])}


@write.register
def _(operation: ops.Pool, node: Node, weights: Mapping[str, Any], writer: OnnxWriter) -> dict[str, str]:
    (top, bottom), (left, right) = operation.padding
    attributes: dict[str, Any] = {"kernel_shape": list(operation.window), "strides": list(operation.strides)}
    attributes["pads"] = [top, left, bottom, right]
    x = writer.read(node.inputs[0], FIRST)
    if operation.kind == "max":
        return {FIRST: writer.add("MaxPool", [x], node.name, **attributes)}
    found = writer.add("AveragePool", [x], node.name, count_include_pad=1, **attributes)
    if operation.kind == "sum":
        found = writer.add("Mul", [found, writer.number(math.prod(operation.window))])
    return {FIRST: found}


@write.register
def _(operation: ops.Reduce, node: Node, weights: Mapping[str, Any], writer: OnnxWriter) -> dict[str, str]:
    (source,) = node.inputs
    if (operation.kind, operation.axes) == ("mean", (1, 2)) and set(writer.values[source]) == {FIRST}:
        return {POOLED: writer.add("GlobalAveragePool", [writer.read(source, FIRST)], node.name)}
    over_places = operation.axes == (1, 2) and set(writer.values[source]) == {FIRST}
    x, axes = writer.read(source, FIRST if over_places else LAST), [2, 3] if over_places else list(operation.axes)
    if operation.kind == "sum":
        return {LAST: writer.add("ReduceSum", [x, writer.numbers(axes)], node.name, keepdims=0)}
    kind = {"mean": "ReduceMean", "max": "ReduceMax"}[operation.kind]
    return {LAST: writer.add(kind, [x], node.name, axes=axes, keepdims=0)}


@write.register
def _(operation: ops.MatMul, node: Node, weights: Mapping[str, Any], writer: OnnxWriter) -> dict[str, str]:
    ranks = [len(node.shape) + 1] * 2
    (contracted, batched), names = (operation.contracted, operation.batched), []
    if any(len(axes) != 1 for axes in contracted) or len(node.shape) + 1 != len(batched[0]) + 2:
        raise UserError("a product of two arrays is written as ONNX over one axis of each, with one more besides")
    for side, number in enumerate(node.inputs):
        free = next(axis for axis in range(ranks[side]) if axis not in (*batched[side], *contracted[side]))
        last = (free, contracted[0][0]) if side == 0 else (contracted[1][0], free)
        order, name = (*batched[side], *last), writer.read(number, LAST)
        names.append(name if order == tuple(range(len(order))) else writer.add("Transpose", [name], perm=list(order)))
    return {LAST: writer.add("MatMul", names, node.name)}


@write.register
def _(operation: ops.Softmax, node: Node, weights: Mapping[str, Any], writer: OnnxWriter) -> dict[str, str]:
    return {LAST: writer.add("Softmax", [writer.read(node.inputs[0], LAST)], node.name, axis=operation.axis)}


@write.register
def _(operation: ops.LayerNorm, node: Node, weights: Mapping[str, Any], writer: OnnxWriter) -> dict[str, str]:
    size = node.shape[-1]
    given = [writer.array(np.broadcast_to(weights[name], (size,))) for name in ("scale", "offset")]
    x = writer.read(node.inputs[0], LAST)
    return {LAST: writer.add("LayerNormalization", [x, *given], node.name, axis=-1, epsilon=operation.epsilon)}


@write.register
def _(operation: ops.Pad, node: Node, weights: Mapping[str, Any], writer: OnnxWriter) -> dict[str, str]:
    layout = writer.layout_of(node)
    widths = [0, *_arranged(operation.before[1:], layout), 0, *_arranged(operation.after[1:], layout)]
    x = writer.read(node.inputs[0], layout)
    return {layout: writer.add("Pad", [x, writer.numbers(widths), writer.number(operation.number)], node.name)}


@write.register
def _(operation: ops.Slice, node: Node, weights: Mapping[str, Any], writer: OnnxWriter) -> dict[str, str]:
    layout = writer.layout_of(node)
    axes = [_axis(axis + 1, layout) for axis in range(len(operation.start))]
    parts = [writer.numbers(part) for part in (operation.start, operation.stop, axes, operation.step)]
    return {layout: writer.add("Slice", [writer.read(node.inputs[0], layout), *parts], node.name)}


@write.register
def _(operation: ops.Concat, node: Node, weights: Mapping[str, Any], writer: OnnxWriter) -> dict[str, str]:
    layout = writer.layout_of(node)
    names = [writer.read(number, layout) for number in node.inputs]
    stored = {array.name for array in writer.arrays}
    if any(name in stored for name in names):  # the same for every example: as often as there are examples
        first = next(name for name in names if name not in stored)
        size = writer.add("Gather", [writer.add("Shape", [first]), writer.numbers([0])], axis=0)
        ones = writer.numbers([1] * len(node.shape))
        shape = writer.add("Concat", [size, ones], axis=0)
        names = [writer.add("Expand", [name, shape]) if name in stored else name for name in names]
    return {layout: writer.add("Concat", names, node.name, axis=_axis(operation.axis, layout))}


@write.register
def _(operation: ops.Reshape, node: Node, weights: Mapping[str, Any], writer: OnnxWriter) -> dict[str, str]:
    x = writer.read(node.inputs[0], LAST)
    # A number for each channel, to be spread over a map: where it is used, channels usually come first.
    layout = FIRST if len(operation.shape) == 3 and operation.shape[:2] == (1, 1) else LAST
    shape = writer.numbers([-1, *_arranged(operation.shape, layout)])
    return {layout: writer.add("Reshape", [x, shape], node.name)}


@write.register
def _(operation: ops.Transpose, node: Node, weights: Mapping[str, Any], writer: OnnxWriter) -> dict[str, str]:
    return {LAST: writer.add("Transpose", [writer.read(node.inputs[0], LAST)], node.name, perm=list(operation.order))}


@write.register
def _(operation: ops.Broadcast, node: Node, weights: Mapping[str, Any], writer: OnnxWriter) -> dict[str, str]:
    layout = writer.layout_of(node)
    shape = writer.numbers([1, *_arranged(operation.shape, layout)])
    return {layout: writer.add("Expand", [writer.read(node.inputs[0], layout), shape], node.name)}
