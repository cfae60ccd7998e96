"""What of a network is deployed, as a graph of a few operations."""

from collections.abc import Mapping

import flax.linen as nn
import jax

from effjax.models.deployed.graph import Folded, Graph, Node, renamed
from effjax.models.deployed.simplify import simplify
from effjax.models.deployed.trace import trace
from effjax.typing import PyTree

__all__ = ["Folded", "Graph", "Node", "deploy"]


def deploy(module: nn.Module, variables: Mapping[str, PyTree], image_shape: tuple[int, int, int]) -> Graph:
    """Traces a network into the graph that is deployed: for evaluation, without dropout, its batch of any size.

    Batch normalisation is folded into the layer before it, where there is one. Nothing is computed.

    Args:
      module: as :func:`effjax.models.create` makes it; its taps are outputs, too.
      variables: its variables, as arrays or as shapes. The graph is the same for all of these shapes.
      image_shape: ``(H, W, C)``.

    Returns:
      The graph; ``graph.apply(graph.fold(variables), images)`` is what the module returns.

    Raises:
      UserError: if the network does what cannot be deployed, naming it.
    """
    nodes, outputs = trace(lambda variables, images: module.apply(variables, images), variables, image_shape)
    kept = simplify(nodes, frozenset(jax.tree.leaves(outputs)), image_shape)
    return Graph(renamed(kept), image_shape, outputs)
