"""Which channels of a network must be removed together, read off the graph that is deployed."""

import dataclasses
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from effjax.errors import UserError
from effjax.models.deployed import operations as ops
from effjax.models.deployed.constants import Constant
from effjax.models.deployed.graph import Graph, Node
from effjax.pruning import ChannelGroup, Member

# In the place of a channel's number: what belongs to none. Below it, zeros that were put beside channels.
_NONE = -1


@dataclasses.dataclass(frozen=True)
class OuterArray:
    """An array outside of a network that reads one of its activations, as the regressor of a hint does.

    Attributes:
      tap: the path of the activation.
      path: of the array.
      axis: along which the activation's channels lie, counted from the last; of a flattened map, pixel after pixel.
      size: of that axis.
    """

    tap: str
    path: str
    axis: int
    size: int


def channel_groups(graph: Graph, readers: Sequence[OuterArray] = ()) -> tuple[ChannelGroup, ...]:
    """Finds what must be removed together, so that the network stays one and answers as with these channels zero.

    The channels of a sum are removed from both that are added; of a depthwise convolution, from what it reads; of
    concatenated maps, each from its own; of a flattened map, a channel's pixels at once. Biases and normalisations
    follow. Channels that zeros were put beside (the residual networks' option A) are told apart by the side.

    Channels stay whole where images are read, where the network returns something (but for the taps that ``readers``
    read), and where an operation is not channel by channel, such as attention or layer normalisation.

    Args:
      graph: as :func:`effjax.models.deploy` makes it.
      readers: what reads the network's taps: it follows their channels, and changes no group but by its own axis.

    Returns:
      The groups: channels that lie in the very same arrays. Their paths are those of the module's variables, without
      the collection's name; axes are counted from the last. Channels of no group stay.

    Raises:
      UserError: if the axis of a reader is not as long as its activation's channels, or a multiple of it.

    References:
      Fang et al, 2023, DepGraph: Towards Any Structural Pruning, https://arxiv.org/abs/2301.12900
    """
    found = _Channels()
    values = {0: found.fresh(graph.image_shape[-1], frozen=True)}
    for node in graph.nodes:
        read = [values[number] for number in node.inputs]
        values[node.output] = _follow(found, graph, node, read)
    for number in jax.tree.leaves(graph.outputs.preds if readers else graph.outputs):
        found.freeze(values[number])
    for reader in readers:
        labels = values[graph.outputs.taps[reader.tap]]
        if reader.size % len(labels):
            raise UserError(f"{reader.path} has {reader.size} places for the {len(labels)} channels of {reader.tap}")
        found.read_outside(reader, np.tile(labels, reader.size // len(labels)))
    return found.groups()


class _Channels:
    """The channels that have been met, by number; which are one, and where they lie."""

    def __init__(self):
        self._parents: list[int] = []
        self._frozen: list[int] = []
        self._voids = _NONE
        self._beside: dict[int, set[int]] = defaultdict(set)
        self._axes: dict[tuple[str, int], np.ndarray] = {}
        self._outside: dict[tuple[str, int], np.ndarray] = {}

    def fresh(self, size: int, *, frozen: bool = False) -> np.ndarray:
        """New channels."""
        start = len(self._parents)
        self._parents.extend(range(start, start + size))
        if frozen:
            self._frozen.extend(range(start, start + size))
        return np.arange(start, start + size)

    def zeros(self, size: int) -> np.ndarray:
        """Zeros put beside channels: each time and side a number of its own."""
        self._voids -= 1
        return np.full(size, self._voids)

    def freeze(self, *labels: np.ndarray) -> None:
        """These stay."""
        self._frozen.extend(int(label) for some in labels for label in np.unique(some) if label >= 0)

    def spread(self, labels: np.ndarray, size: int) -> np.ndarray:
        """The same, where one number is for all channels: it is none of them, and stays."""
        if len(labels) == size:
            return labels
        self.freeze(labels)
        return np.full(size, _NONE)

    def join(self, labels: Sequence[np.ndarray]) -> np.ndarray:
        """Makes arrays of channels one, element by element."""
        first, *others = labels
        for other in others:
            for a, b in {*zip(first.tolist(), other.tolist(), strict=True)}:
                if a >= 0 and b >= 0:
                    self._parents[self._root(a)] = self._root(b)
                elif max(a, b) >= 0 and min(a, b) < _NONE:
                    self._beside[max(a, b)].add(min(a, b))
            first = np.where(first >= 0, first, other)
        return first

    def lie(self, path: str, axis: int, labels: np.ndarray) -> None:
        """Notes that channels lie along an axis of a variable; the same ones, wherever it is used."""
        key = path.partition("/")[2], axis
        self._axes[key] = self.join([self._axes[key], labels]) if key in self._axes else labels

    def read_outside(self, reader: OuterArray, labels: np.ndarray) -> None:
        """Notes that channels lie along an axis of an array outside of the network."""
        self._outside[reader.path, reader.axis] = labels

    def groups(self) -> tuple[ChannelGroup, ...]:
        """Channels that lie in the same arrays of the network, beside the same zeros."""
        roots = np.array([self._root(label) for label in range(len(self._parents))])
        stays = {int(roots[label]) for label in self._frozen}
        beside: dict[int, set[int]] = defaultdict(set)
        for label, voids in self._beside.items():
            beside[int(roots[label])] |= voids

        def places_of(axes: Mapping[tuple[str, int], np.ndarray]) -> dict[int, dict[tuple[str, int], list[int]]]:
            places: dict[int, dict[tuple[str, int], list[int]]] = defaultdict(lambda: defaultdict(list))
            for key, labels in axes.items():
                for position in np.flatnonzero(labels >= 0).tolist():
                    if (root := int(roots[labels[position]])) not in stays:
                        places[root][key].append(position)
            return places

        places, outside = places_of(self._axes), places_of(self._outside)
        alike: dict[Any, list[int]] = defaultdict(list)
        for root, own in places.items():
            counts = tuple((key, len(positions)) for key, positions in own.items())
            alike[counts, tuple(sorted(beside[root]))].append(root)
        return tuple(
            ChannelGroup(
                len(channels),
                tuple(
                    Member(*key, tuple(tuple(of[root][key]) for root in channels))
                    for of in (places, outside)
                    for key in {key: None for root in channels for key in of[root]}
                ),
            )
            for channels in alike.values()
        )

    def _root(self, label: int) -> int:
        while self._parents[label] != label:
            self._parents[label] = label = self._parents[self._parents[label]]
        return label


def _follow(found: _Channels, graph: Graph, node: Node, read: list[np.ndarray]) -> np.ndarray:
    """The channels of what a node makes, of those that it reads; what it does not keep apart stays whole."""
    operation, size = node.operation, node.shape[-1] if node.shape else 1
    followed = None
    match operation:
        case ops.Conv() | ops.Dense():
            return _layer(found, node, *read)
        case ops.Affine():
            return _affine(found, node, *read)
        case ops.Stored() if _same_for_all(node.constants["value"]):
            return np.full(size, _NONE)
        case ops.Clip() | ops.Power() | ops.Pool():
            followed = read[0]
        case ops.Elementwise():
            followed = found.join([found.spread(labels, size) for labels in read])
        case ops.Reduce(axes=axes) if len(graph.shapes[node.inputs[0]]) not in axes:
            followed = read[0]
        case ops.Softmax(axis=axis) if axis != len(node.shape):
            followed = read[0]
        case ops.Pad(before=before, after=after, number=0.0) if min(before[-1], after[-1]) >= 0:
            followed = np.concatenate([found.zeros(before[-1]), read[0], found.zeros(after[-1])])
        case ops.Slice(start=start, stop=stop, step=step) if (start[-1], stop[-1], step[-1]) == (0, len(read[0]), 1):
            followed = read[0]
        case ops.Concat(axis=axis):
            followed = np.concatenate(read) if axis == len(node.shape) else found.join(read)
        case ops.Reshape() if size % len(read[0]) == 0:  # rows of channels, one after the other
            followed = np.tile(read[0], size // len(read[0]))
        case ops.Transpose(order=order) if order[-1] == len(order) - 1:
            followed = read[0]
        case ops.Broadcast():
            followed = found.spread(read[0], size)
    if followed is not None:
        return followed
    found.freeze(*read)
    return found.fresh(size, frozen=True)


def _layer(found: _Channels, node: Node, read: np.ndarray) -> np.ndarray:
    """A layer makes channels of its own, but for a depthwise one."""
    kernel, size, groups = node.constants["kernel"], node.shape[-1], getattr(node.operation, "groups", 1)
    depthwise = 1 < groups == len(read) == size
    made = read if depthwise else found.fresh(size)
    whole = not _keeps_apart(node) or (groups > 1 and not depthwise)
    for source in _variables(kernel):
        if source.shape == kernel.shape:
            found.lie(source.path, -1, made)
            if groups == 1:
                found.lie(source.path, -2, read)
        else:
            whole |= not _lies_along(found, source, made)
    for source in _variables(node.constants["bias"]):
        whole |= not _lies_along(found, source, made)
    # Numbers that the network's code multiplies by, or adds, one for each channel: it would have them for all.
    given = [part.array for one in node.constants.values() for part in _parts(one) if part.array is not None]
    whole |= any(np.any(array != array.flat[0]) for array in given)
    if whole or not any(source.shape == kernel.shape for source in _variables(kernel)):
        found.freeze(read, made)
    return made


def _affine(found: _Channels, node: Node, read: np.ndarray) -> np.ndarray:
    fits = [_lies_along(found, source, read) for one in node.constants.values() for source in _variables(one)]
    given = [one for one in node.constants.values() if one.array is not None and one.array.ndim]
    if not all(fits) or not _keeps_apart(node) or not all(map(_same_for_all, given)):
        found.freeze(read)
    return read


def _lies_along(found: _Channels, source: Constant, labels: np.ndarray) -> bool:
    """Notes where channels lie in a variable that has a number for each, or one for all; else returns False."""
    if source.shape and source.shape[-1] == len(labels):
        found.lie(source.path, -1, labels)
        return True
    return math.prod(source.shape) == 1


def _same_for_all(constant: Constant) -> bool:
    """Whether an array is given, and has one number for all channels."""
    return constant.array is not None and bool(np.all(constant.array == constant.array[..., :1]))


def _variables(constant: Constant) -> Iterator[Constant]:
    """The variables that a constant is computed of."""
    return (one for one in _parts(constant) if one.path)


def _keeps_apart(node: Node) -> bool:
    """Whether no constant is computed by adding channels up, as a kernel that is normalised over them would be."""
    parts = (part for constant in node.constants.values() for part in _parts(constant))
    return all(math.prod(of.shape) <= math.prod(part.shape) for part in parts for of in part.of if of.sources)


def _parts(constant: Constant) -> Iterable[Constant]:
    """A constant and all that it is computed of, each once."""
    seen: dict[Constant, None] = {}
    left = [constant]
    while left:
        one = left.pop()
        if one not in seen:
            seen[one] = None
            left.extend(reversed(one.of))
    return seen
