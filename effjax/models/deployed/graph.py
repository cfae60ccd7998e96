"""A network as it is deployed: one graph of a few operations, which floats, integers and files all follow."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp
from jax import Array

from effjax.models.deployed.constants import Constant, evaluate
from effjax.models.deployed.operations import Operation
from effjax.typing import PyTree

#: By node, its weights: what a deployed network has in the place of variables.
Folded = dict[str, dict[str, Array]]


@dataclasses.dataclass(frozen=True, eq=False)
class Node:
    """One operation of a graph.

    Attributes:
      name: unlike all others of the graph: the path of the layer whose variables it holds, ``stage1/block1/conv1``, or
        its operation's name and a number.
      operation: what it computes.
      inputs: the numbers of the values that it reads.
      output: the number of the value that it makes.
      shape: of its value, without the batch.
      constants: what its weights are, by the operation's names for them.
    """

    name: str
    operation: Operation
    inputs: tuple[int, ...]
    output: int
    shape: tuple[int, ...]
    constants: Mapping[str, Constant] = dataclasses.field(default_factory=dict)

    @property
    def is_learnt(self) -> bool:
        """Whether its weights depend on the network's variables."""
        return any(one.sources for one in self.constants.values())


@dataclasses.dataclass(frozen=True, eq=False)
class Graph:
    """The operations of a network, in an order in which each follows what it reads; value 0 is the images.

    Attributes:
      nodes: the operations.
      image_shape: ``(H, W, C)``.
      outputs: what the network returns, a tree of the numbers of values.
    """

    nodes: tuple[Node, ...]
    image_shape: tuple[int, int, int]
    outputs: PyTree

    @functools.cached_property
    def by_name(self) -> dict[str, Node]:
        """The nodes, by name."""
        return {node.name: node for node in self.nodes}

    @functools.cached_property
    def maker(self) -> dict[int, Node]:
        """By the number of a value, the node that makes it."""
        return {node.output: node for node in self.nodes}

    @functools.cached_property
    def readers(self) -> dict[int, list[Node]]:
        """By the number of a value, the nodes that read it."""
        found: dict[int, list[Node]] = {0: [], **{node.output: [] for node in self.nodes}}
        for node in self.nodes:
            for value in node.inputs:
                found[value].append(node)
        return found

    @functools.cached_property
    def returned(self) -> frozenset[int]:
        """The numbers of the values that the network returns."""
        return frozenset(jax.tree.leaves(self.outputs))

    @functools.cached_property
    def shapes(self) -> dict[int, tuple[int, ...]]:
        """By the number of a value, its shape without the batch."""
        return {0: self.image_shape, **{node.output: node.shape for node in self.nodes}}

    def fold(self, variables: Mapping[str, PyTree]) -> Folded:
        """Computes the weights of every node that has learnt ones; pure: it may be traced and differentiated.

        Batch normalisation is folded into the layer before, by its running statistics.

        Args:
          variables: of the module that was deployed.

        Returns:
          By node and by weight, ``{"stem_conv": {"kernel": [h, w, I, O], "bias": [O]}}``.
        """
        learnt = [(node, name) for node in self.nodes if node.is_learnt for name in node.constants]
        arrays = evaluate([node.constants[name] for node, name in learnt], variables)
        found: Folded = {}
        for (node, name), array in zip(learnt, arrays, strict=True):
            found.setdefault(node.name, {})[name] = cast(Array, array)
        return found

    def apply(
        self, folded: Mapping[str, Mapping[str, Array]], images: Array, changed: Mapping[int, Callable] | None = None
    ) -> PyTree:
        """Computes what the network returns, as it does with ``train=False`` and without dropout.

        Args:
          folded: what :meth:`fold` returned, or the same tree learnt further.
          images: ``[B, H, W, C]``, float, normalised.
          changed: by the number of a value, what is made of it before anything reads it, as fake quantisation does.

        Returns:
          The outputs.
        """
        values = self.values(folded, images, changed)
        return jax.tree.map(lambda number: of_each(values[number], images), self.outputs)

    def values(
        self, folded: Mapping[str, Mapping[str, Array]], images: Array, changed: Mapping[int, Callable] | None = None
    ) -> dict[int, Array]:
        """All values by number; what nobody asks for is not computed where this is traced."""
        changed = changed or {}
        values = {0: changed[0](images) if 0 in changed else images}
        for node in self.nodes:
            weights = folded[node.name] if node.is_learnt else fixed_weights(node)
            value = node.operation([values[number] for number in node.inputs], weights)
            values[node.output] = changed[node.output](value) if node.output in changed else value
        return values


def of_each(value: Array, images: Array) -> Array:
    """An output ``[B, ...]``: one that is the same for all images ``[B, ...]`` comes with a batch of one."""
    return jnp.broadcast_to(value, (images.shape[0], *value.shape[1:]))


def fixed_weights(node: Node) -> dict[str, Any]:
    """The weights of a node that depend on no variable."""
    names = node.constants
    return dict(zip(names, evaluate(names.values(), {}), strict=True))


def renamed(nodes: Sequence[Node]) -> tuple[Node, ...]:
    """The nodes, each under the path of the layer whose variables it holds, or its operation's name and a number."""
    taken: dict[str, int] = {}

    def fresh(name: str, always: bool) -> str:
        taken[name] = taken.get(name, 0) + 1
        return f"{name}_{taken[name]}" if always or taken[name] > 1 else name

    return tuple(
        dataclasses.replace(node, name=fresh(*((layer, False) if (layer := _layer(node)) else (_kind(node), True))))
        for node in nodes
    )


def _kind(node: Node) -> str:
    return getattr(node.operation, "name", None) or type(node.operation).__name__.lower()


def _layer(node: Node) -> str:
    """The path of the layer that a node's first weight comes from; that of a kernel where there is one."""
    for constant in node.constants.values():
        paths = [path for path in constant.sources if path.startswith("params/")]
        kernels = [path for path in paths if path.endswith("/kernel")]
        for path in sorted(kernels or paths):
            return path.removeprefix("params/").rpartition("/")[0] or path.removeprefix("params/")
    return ""
