"""Convolutions that add a shortcut and clip in one pass over memory: for prediction on CPUs."""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar, cast

from jax import Array

from effjax.models import onednn
from effjax.models.convolutions import is_by_onednn
from effjax.models.deployed.graph import Graph, Node
from effjax.models.deployed.operations import Clip, Conv, Elementwise, Operation, Weights


@dataclasses.dataclass(frozen=True)
class JoinedConv(Operation):
    """A convolution with its bias, the sum with a second input if there is one, and a clip.

    oneDNN computes it in one pass where it is chosen (:func:`effjax.models.computed_by`), without a gradient.
    """

    conv: Conv
    clip: Clip
    weights: ClassVar[tuple[str, ...]] = Conv.weights

    def __call__(self, inputs: Sequence[Array], weights: Weights) -> Array:
        """Computes it."""
        x, *added = inputs
        kernel, conv = weights["kernel"], self.conv
        if not is_by_onednn(x, kernel, conv.dilation):
            return self.clip([sum(added, conv([x], weights))], {})
        clip, window = (self.clip.low, self.clip.high), (conv.strides, conv.padding, conv.groups)
        shortcut = added[0] if added else None
        return onednn.followed_convolution(x, kernel, weights["bias"], shortcut, clip, *window)


def joined(graph: Graph) -> Graph:
    """A graph that predicts the same with fewer passes over memory: convolutions add and clip what they compute.

    Where oneDNN computes convolutions, each is then one operation with the shortcut and the ReLU after it. Such a graph
    has no gradient, and is not exported: the files of :meth:`Graph.to_onnx` are of the graph that was joined, and
    runtimes join their own operations.

    Args:
      graph: of :func:`effjax.models.deploy`.

    Returns:
      The graph; it is given what ``graph.fold`` returns, and nodes keep their names.

    Example:
      >>> import jax
      >>> from effjax import models
      >>> module = models.create("resnet8", 10)
      >>> variables = models.init(module, jax.random.key(0), (32, 32, 3))
      >>> graph = models.deploy(module, variables, (32, 32, 3))
      >>> len(graph.nodes), len(models.joined(graph).nodes)
      (23, 13)
    """
    gone: set[int] = set()  # values of nodes that have joined a convolution
    found: dict[int, Node] = {}  # by the value of the last of those that it joins, a convolution
    for node in graph.nodes:
        if isinstance(node.operation, Conv):
            last, conv = _followed(graph, node, gone)
            found[last] = conv
            gone.add(node.output)
    nodes = (found.get(node.output, node) for node in graph.nodes if node.output in found or node.output not in gone)
    return dataclasses.replace(graph, nodes=tuple(nodes))


def _followed(graph: Graph, node: Node, gone: set[int]) -> tuple[int, Node]:
    """A convolution with what follows it; the values of those go, and the last of them is said."""
    conv, clip, last, inputs = cast(Conv, node.operation), Clip(), node, node.inputs
    total = _only_reader(graph, last)
    if total and total.operation == Elementwise("add") and total.output not in gone:
        (other,) = (number for number in total.inputs if number != last.output)
        if graph.shapes[other] == node.shape:
            inputs, last = (*inputs, other), total
            gone.add(total.output)
    bounds = _only_reader(graph, last)
    if bounds and isinstance(bounds.operation, Clip):
        clip, last = bounds.operation, bounds
        gone.add(bounds.output)
    return last.output, dataclasses.replace(
        node, operation=JoinedConv(conv, clip), inputs=inputs, output=last.output, shape=last.shape
    )


def _only_reader(graph: Graph, node: Node) -> Node | None:
    """What alone reads a node's value, if it is not returned."""
    readers = graph.readers[node.output]
    return readers[0] if len(readers) == 1 and node.output not in graph.returned else None
