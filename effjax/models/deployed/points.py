"""Where a network computes with codes: the values that are rounded to a grid, and the layers whose weights are.

A layer reads codes and sums integers; what it makes is rounded again where the next layer, or a sum of two such values,
reads it. A ReLU in between costs nothing: it is where the grid ends. Maxima, cuts and paddings keep codes as they are.
What has no integer arithmetic (softmax, normalisation by token) computes with floats between two roundings.
"""

import dataclasses
import math
import re

from effjax.errors import UserError
from effjax.models.deployed import operations as ops
from effjax.models.deployed.graph import Graph, Node


@dataclasses.dataclass(frozen=True)
class Scheme:
    """How many bits codes have.

    Attributes:
      weights: of a kernel.
      activations: of what layers read.
      outer: of the first layer and the last, kernels and inputs, which lose most by few bits.
      live: whether what batch normalisation was folded into is normalised by its own statistics in training.
    """

    weights: int = 8
    activations: int = 8
    outer: int = 8
    live: bool = False

    @classmethod
    def parse(cls, text: str) -> "Scheme":
        """Reads ``w8a8``, ``w4a8``, ``w4a4``: any bits from 2 to 8 of weights and of activations; ``w4a4 live``.

        Raises:
          UserError: if it says something else.
        """
        match = re.fullmatch(r"w([2-8])a([2-8])( live)?", str(text))
        if match is None:
            raise UserError(
                f"bits={text!r}: allowed: w8a8, w4a8, w4a4 or others, 2 to 8 of weights and of activations; and 'w4a4 "
                "live', with batch normalisation that goes on"
            )
        return cls(int(match[1]), int(match[2]), live=bool(match[3]))

    def __str__(self) -> str:
        return f"w{self.weights}a{self.activations}{' live' if self.live else ''}"


@dataclasses.dataclass(frozen=True)
class Point:
    """A value that is rounded.

    Attributes:
      name: of the node that makes it, before it is clipped; ``images`` for the input.
      number: of the value.
      bits: of its codes.
      most: above which it has been clipped.
    """

    name: str
    number: int
    bits: int
    most: float = math.inf


@dataclasses.dataclass(frozen=True, eq=False)
class Placement:
    """Where the codes of a graph are.

    Attributes:
      points: by the number of a value, those that are rounded.
      origin: by the number of a value that is codes, that of the point whose grid it has.
      layers: by name, the bits of the weights of each layer that reads codes.
      fused: by the number of what a layer or a sum makes, the number of the clipped value that its codes become.
    """

    points: dict[int, Point]
    origin: dict[int, int]
    layers: dict[str, int]
    fused: dict[int, int]


def place(graph: Graph, scheme: Scheme) -> Placement:
    """Finds where a graph computes with codes.

    Args:
      graph: of the network.
      scheme: the bits.

    Returns:
      The placement.
    """
    summed = _of_integers(graph)
    fused = {}
    for node in graph.nodes:
        readers = graph.readers[node.output]
        alone = len(readers) == 1 and node.output not in graph.returned
        if _is_summing(node) and alone and isinstance(readers[0].operation, ops.Clip) and node.output in summed:
            fused[node.output] = readers[0].output
    wanted: set[int] = set()
    for node in reversed(graph.nodes):
        result = fused.get(node.output, node.output)
        codes = is_layer(node) or (keeps_codes(node) and node.output in wanted)
        codes |= _is_summing(node) and result in wanted and node.output in summed
        if codes:
            wanted.update(node.inputs)
    first, last = _outer(graph, wanted)
    for node in graph.nodes:
        # A convolution whose result something else reads: runtimes compute it with floats unless its result is codes.
        if isinstance(node.operation, ops.Conv) and is_layer(node) and node not in last:
            wanted.add(fused.get(node.output, node.output))
    points, origin = {}, {}
    makers = {clipped: graph.maker[made] for made, clipped in fused.items()}
    for number in (0, *(node.output for node in graph.nodes)):
        node = graph.maker.get(number)
        if number not in wanted or number in fused:
            continue
        if node is not None and keeps_codes(node) and node.inputs[0] in origin:
            origin[number] = origin[node.inputs[0]]
            continue
        origin[number] = number
        operation = node.operation if node else None
        most = operation.high if isinstance(operation, ops.Clip) and number in fused.values() else math.inf
        maker = makers.get(number, node)
        points[number] = Point(maker.name if maker else "images", number, scheme.activations, most)
    for layer in (*first, *last):
        number = origin[layer.inputs[0]]
        points[number] = dataclasses.replace(points[number], bits=max(scheme.outer, scheme.activations))
    outer = {node.name for node in (*first, *last)}
    layers = {
        node.name: max(scheme.outer, scheme.weights) if node.name in outer else scheme.weights
        for node in graph.nodes
        if is_layer(node)
    }
    return Placement(points, origin, layers, fused)


def is_layer(node: Node) -> bool:
    """Whether it multiplies by learnt weights."""
    return isinstance(node.operation, ops.Conv | ops.Dense) and node.is_learnt


def keeps_codes(node: Node) -> bool:
    """Whether it takes some of its input's elements, and zeros, and makes no others."""
    operation = node.operation
    if isinstance(operation, ops.Pool):
        return operation.kind == "max"
    if isinstance(operation, ops.Pad):
        return operation.number == 0
    return isinstance(operation, ops.Slice | ops.Reshape | ops.Transpose)


def is_sum(node: Node) -> bool:
    """Whether it adds two values of one shape."""
    return node.operation == ops.Elementwise("add")


def is_mean(node: Node) -> bool:
    """Whether it is the mean over the height and the width."""
    return node.operation == ops.Reduce("mean", (1, 2))


def is_pooled_mean(node: Node) -> bool:
    """Whether it is the mean over windows."""
    return isinstance(node.operation, ops.Pool) and node.operation.kind == "mean"


def sums_codes(node: Node) -> bool:
    """Whether it is a sum or a mean of codes, but for rounding, without weights."""
    return is_sum(node) or is_mean(node) or is_pooled_mean(node)


def _is_summing(node: Node) -> bool:
    return is_layer(node) or sums_codes(node)


def _of_integers(graph: Graph) -> set[int]:
    """The values that are, but for rounding, sums of integers: of images and of layers, and of nothing else."""
    found = {0}
    for node in graph.nodes:
        follows = keeps_codes(node) or sums_codes(node) or isinstance(node.operation, ops.Clip)
        if is_layer(node) or (follows and found.issuperset(node.inputs)):
            found.add(node.output)
    return found


def _outer(graph: Graph, wanted: set[int]) -> tuple[list[Node], list[Node]]:
    """The layers that read the images, and those that make what the network returns."""
    near, far = {0}, set(graph.returned)
    for node in graph.nodes:
        if keeps_codes(node) and near.issuperset(node.inputs):
            near.add(node.output)
    for node in reversed(graph.nodes):
        if node.output in far and not is_layer(node) and node.output not in wanted and len(node.inputs) == 1:
            far.update(node.inputs)
    layers = [node for node in graph.nodes if is_layer(node)]
    return [node for node in layers if node.inputs[0] in near], [node for node in layers if node.output in far]
