"""Whole channels: what must be removed together, and its removal.

Paths are those in a tree of parameters, ``stage1/block2/conv1/kernel``, without the name of a collection: the same
groups are for a network's parameters, its statistics (``…/norm1/mean``) and each of an optimiser's trees of moments,
one call each. What a tree does not hold is passed over.
"""

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from effjax.errors import UserError, nearest
from effjax.pruning.paths import by_path, tree_of
from effjax.typing import Array, PyTree


@dataclasses.dataclass(frozen=True)
class Member:
    """An axis of an array along which the channels of a group lie.

    Attributes:
      path: of the array.
      axis: its number, counted from the first, or with a minus from the last.
      positions: for each channel of the group, the positions on the axis that are its own: several where a map was
        flattened (c, c + C, …), none where the channel does not reach this array.
    """

    path: str
    axis: int
    positions: tuple[tuple[int, ...], ...]

    def __post_init__(self):
        owned = Counter(position for own in self.positions for position in own)
        for position, times in owned.items():
            if times > 1 or position < 0:
                raise UserError(f"Member: {self.path}, axis {self.axis}: position {position} must be one channel's own")


@dataclasses.dataclass(frozen=True)
class ChannelGroup:
    """Channels that several arrays share: one cannot be removed from one of them alone.

    Attributes:
      size: the number of channels.
      members: where they lie.
    """

    size: int
    members: tuple[Member, ...]

    def __post_init__(self):
        for member in self.members:
            if len(member.positions) != self.size:
                raise UserError(
                    f"ChannelGroup: {member.path} has {len(member.positions)} channels, not size={self.size}"
                )


def remove_channels(tree: PyTree, groups: Sequence[ChannelGroup], kept: Sequence[Array]) -> PyTree:
    """Makes every array as narrow as the channels that are kept; the others are cut out.

    Args:
      tree: of arrays: parameters, statistics, or an optimiser's moments. See the module on its paths.
      groups: of channels.
      kept: for each group, the positions of its channels that are kept, as :func:`kept_channels` gives them.

    Returns:
      The tree, of the same structure. Positions that belong to no group stay.

    Raises:
      UserError: if the groups do not fit the tree, ``kept`` does not fit the groups, or nothing is left of an array.

    Example:
      >>> pair = ChannelGroup(2, (Member("a/kernel", 1, ((0,), (1,))), Member("b/kernel", 0, ((0, 2), (1, 3)))))
      >>> tree = {"a": {"kernel": jnp.array([[1.0, 2.0]])}, "b": {"kernel": jnp.array([[3.0], [4.0], [5.0], [6.0]])}}
      >>> remove_channels(tree, [pair], [np.array([1])])
      {'a': {'kernel': Array([[2.]], dtype=float32)}, 'b': {'kernel': Array([[4.],
             [6.]], dtype=float32)}}
    """
    return _changed(tree, groups, kept, _cut)


def mask_channels(tree: PyTree, groups: Sequence[ChannelGroup], kept: Sequence[Array]) -> PyTree:
    """Sets the channels that are not kept to 0: what the narrower network computes, in the shapes of the wide one.

    It is the same unless the network normalises over its channels: then zeros count.

    Args:
      tree: of arrays: parameters, statistics, or an optimiser's moments. See the module on its paths.
      groups: of channels.
      kept: for each group, the positions of its channels that are kept, as :func:`kept_channels` gives them.

    Returns:
      The tree, of the same structure and shapes.

    Raises:
      UserError: if the groups do not fit the tree, ``kept`` does not fit the groups, or nothing is left of an array.

    Example:
      >>> group = ChannelGroup(2, (Member("kernel", -1, ((0,), (1,))),))
      >>> mask_channels({"kernel": jnp.array([[1.0, 2.0]])}, [group], [np.array([1])])
      {'kernel': Array([[0., 2.]], dtype=float32)}
    """

    def zeroed(leaf: Any, axis: int, stays: np.ndarray) -> Any:
        along = np.expand_dims(stays, tuple(a for a in range(leaf.ndim) if a != axis))
        return jnp.where(along, leaf, jnp.zeros_like(leaf))

    return _changed(tree, groups, kept, zeroed)


def _cut(leaf: Any, axis: int, stays: np.ndarray) -> Any:
    """What stays of an array, where the array lies."""
    return (np if isinstance(leaf, np.ndarray) else jnp).take(leaf, np.flatnonzero(stays), axis)


def _changed(
    tree: PyTree,
    groups: Sequence[ChannelGroup],
    kept: Sequence[Array],
    change: Callable[[Any, int, np.ndarray], Any],
) -> PyTree:
    leaves = by_path(tree)
    stays = _stays({path: leaf.shape for path, leaf in leaves.items()}, groups, kept)
    for (path, axis), staying in stays.items():
        leaves[path] = change(leaves[path], axis, staying)
    return tree_of(leaves, tree)


def _stays(
    shapes: dict[str, tuple[int, ...]], groups: Sequence[ChannelGroup], kept: Sequence[Array]
) -> dict[tuple[str, int], np.ndarray]:
    """For each axis that has channels, which of its positions stay."""
    if len(groups) != len(kept):
        raise UserError(f"kept: {len(kept)} lists of channels for {len(groups)} groups")
    members = [member for group in groups for member in group.members]
    if members and not any(member.path in shapes for member in members):
        path = members[0].path
        raise UserError(f"groups: the tree holds none of their arrays, such as {path!r}; {nearest(path, shapes)}")
    removed: dict[tuple[str, int], list[int]] = defaultdict(list)
    for group, positions in zip(groups, kept, strict=True):
        gone = sorted(set(range(group.size)) - set(_checked(positions, group.size)))
        for member in group.members:
            if member.path in shapes:
                axis = check_axis(member, shapes[member.path])
                removed[member.path, axis].extend(
                    position for channel in gone for position in member.positions[channel]
                )
    stays: dict[tuple[str, int], np.ndarray] = {}
    for (path, axis), positions in removed.items():
        stays[path, axis] = np.ones(shapes[path][axis], bool)
        stays[path, axis][positions] = False
        if not stays[path, axis].any():
            raise UserError(f"kept: nothing would be left of {path} on axis {axis}")
    return stays


def _checked(positions: Array, size: int) -> list[int]:
    listed = np.asarray(positions).tolist()
    if not listed or sorted(set(listed)) != listed or not 0 <= listed[0] <= listed[-1] < size:
        raise UserError(f"kept: {listed} must be channels of a group of {size}, at least one, in rising order")
    return listed


def check_axis(member: Member, shape: tuple[int, ...]) -> int:
    """A member's axis, counted from the first.

    Raises:
      UserError: if the array has no such axis, or a position lies outside of it.
    """
    if not -len(shape) <= member.axis < len(shape):
        raise UserError(f"Member: {member.path} of shape {shape} has no axis {member.axis}")
    axis = member.axis % len(shape)
    last = max((position for own in member.positions for position in own), default=0)
    if last >= shape[axis]:
        raise UserError(f"Member: {member.path} of shape {shape} has no position {last} on axis {axis}")
    return axis
