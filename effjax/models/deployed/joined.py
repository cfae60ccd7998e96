"""Convolutions that add a shortcut and clip in one pass, of kernels that are laid out once: for prediction on CPUs."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import ClassVar, cast

from jax import Array

from effjax.errors import UserError
from effjax.models import onednn
from effjax.models.convolutions import is_by_onednn
from effjax.models.deployed.graph import Folded, Graph, Node
from effjax.models.deployed.operations import Clip, Conv, Elementwise, Operation, Pair, Weights


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
        if is_by_onednn(x, weights["kernel"], self.conv.dilation):
            return self._at_once(x, added, weights)
        return self.clip([sum(added, self.conv([x], weights))], {})

    @property
    def followed(self) -> tuple[tuple[float, float], Pair, tuple[Pair, Pair], int]:
        """The clip, and the window: what oneDNN is told of both."""
        return (self.clip.low, self.clip.high), self.conv.strides, self.conv.padding, self.conv.groups

    def _at_once(self, x: Array, added: Sequence[Array], weights: Weights, laid: onednn.Laid | None = None) -> Array:
        shortcut = added[0] if added else None
        return onednn.followed_convolution(x, weights["kernel"], weights["bias"], shortcut, *self.followed, laid)


@dataclasses.dataclass(frozen=True)
class LaidConv(JoinedConv):
    """The same, of a kernel ``[n]`` that lies as oneDNN computes with it; nothing else can."""

    laid: onednn.Laid = dataclasses.field(kw_only=True)

    def __call__(self, inputs: Sequence[Array], weights: Weights) -> Array:
        """Computes it."""
        if weights["kernel"].ndim != 1:
            raise UserError(
                "this graph is of models.laid_out: it wants the weights that came with it, not those of fold"
            )
        x, *added = inputs
        return self._at_once(x, added, weights, self.laid)


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


def laid_out(graph: Graph, folded: Mapping[str, Mapping[str, Array]], batch: int) -> tuple[Graph, Folded]:
    """A graph that predicts the same on a CPU by oneDNN, joined, with kernels that lie as oneDNN computes with them.

    Else it copies each kernel there in each call, which for few and small images is a large part of the time.

    Args:
      graph: of :func:`effjax.models.deploy`.
      folded: its weights, of ``graph.fold``.
      batch: how many images it will mostly be shown at once; others cost a copy again.

    Returns:
      The graph, for :meth:`Graph.apply` alone, and the weights that it is given: for this machine, and not to be kept.

    Raises:
      UserError: if oneDNN cannot compute on this machine, saying what to install.
    """
    onednn.check_usable()
    graph, found = joined(graph), {name: dict(own) for name, own in folded.items()}
    nodes = []
    for node in graph.nodes:
        operation = node.operation
        if isinstance(operation, JoinedConv) and node.is_learnt and {*operation.conv.dilation} == {1}:
            images = (batch, *graph.shapes[node.inputs[0]])
            kernel = found[node.name]["kernel"]
            found[node.name]["kernel"], laid = onednn.laid_kernel(
                kernel, images, len(node.inputs) > 1, *operation.followed
            )
            node = dataclasses.replace(node, operation=LaidConv(operation.conv, operation.clip, laid=laid))
        nodes.append(node)
    return dataclasses.replace(graph, nodes=tuple(nodes)), found


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
