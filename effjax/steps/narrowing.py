"""Taking a run's state over to a network with fewer channels."""

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.core
import numpy as np

from effjax.errors import UserError
from effjax.models import Narrow
from effjax.models.narrow import groups_of
from effjax.pruning import ChannelGroup, channel_counts, channel_importance, most_important, remove_channels
from effjax.pruning.paths import by_path, tree_of
from effjax.steps.resolution import POSITION_TABLE
from effjax.steps.state import TrainState
from effjax.typing import PyTree

#: What channels may be chosen by in a run; see :func:`effjax.pruning.channel_importance`.
MEASURES = ("l1", "l2", "scale")


@dataclasses.dataclass(frozen=True)
class Channels:
    """How many of a network's channels are kept, and which.

    Attributes:
      keep: the share of the whole network's channels, above 0 and at most 1.
      by: what a channel is worth, one of ``MEASURES``.
      multiple_of: what the number of a layer's channels is a multiple of, unless it keeps all.
    """

    keep: float
    by: str = "l2"
    multiple_of: int = 8

    @classmethod
    def of(cls, value: Any) -> "Channels":
        """What a value in a plan says: a share, or several of the attributes in their order."""
        return cls(*value) if isinstance(value, tuple | list) else cls(value)

    def of_network(self, module: nn.Module) -> nn.Module:
        """The network with so many of its channels; a narrow one is taken from its whole."""
        wide = module.wide if isinstance(module, Narrow) else module
        return wide if self.keep == 1 else Narrow(wide, float(self.keep), self.multiple_of)


def is_channels(value: Any) -> bool:
    """Whether a value in a plan is a list of what :class:`Channels` has: a share, a measure, a multiple."""
    if not isinstance(value, tuple | list) or not 1 <= len(value) <= 3:
        return False
    rest = (*value[1:], *("l2", 8)[len(value) - 1 :])
    wholes = isinstance(rest[1], int) and not isinstance(rest[1], bool) and rest[1] > 0
    return isinstance(value[0], int | float) and 0 < value[0] <= 1 and rest[0] in MEASURES and wholes


def narrow_state(
    state: TrainState, shapes: TrainState, module: nn.Module, channels: Channels, image_shape: tuple[int, int, int]
) -> TrainState:
    """Removes the channels that matter least from everything that has them: parameters, statistics, averages, moments.

    Args:
      state: as it is: arrays on the devices or on the host; what is removed is so where it lay.
      shapes: its shapes with fewer channels: ``init_state`` under ``jax.eval_shape``. What its ``frozen`` holds does
        not matter: teachers stay as they are.
      module: the network as it is, whole or narrow already.
      channels: how many are kept, and which.
      image_shape: ``(H, W, C)`` of what the network reads.

    Returns:
      The state of the narrower network; leaves that do not differ are the same objects.

    Raises:
      UserError: if a layer would have more channels than before, channels cannot be compared so, or anything but the
        network itself would have another shape.
    """
    groups = groups_of(module, image_shape)
    kept = _kept(state.params["student"], groups, _counts(module, channels, image_shape), channels.by)
    rest = state.replace(frozen={})
    leaves, wanted = by_path(rest), by_path(shapes.replace(frozen={}))
    known = {member.path for group in groups for member in group.members}
    trees: dict[str, dict[str, Any]] = defaultdict(dict)
    for path, leaf in leaves.items():
        if path in wanted and np.shape(leaf) != wanted[path].shape and (own := _variable(path, known)):
            trees[path.removesuffix(own)][own] = leaf
    for prefix, tree in trees.items():
        leaves.update({prefix + own: leaf for own, leaf in remove_channels(tree, groups, kept).items()})
    for path in {**leaves, **wanted}:
        old, new = (np.shape(some[path]) if path in some else None for some in (leaves, wanted))
        if old != new and POSITION_TABLE not in path.split("/"):
            raise UserError(
                f"{path} has shape {old} and would have {new} with keep={channels.keep:g}: what a term learns beside "
                "the network cannot follow it; take a term without parameters, such as attention, or a tap whose "
                "channels stay"
            )
    return tree_of(leaves, rest).replace(frozen=state.frozen)


def _counts(module: nn.Module, channels: Channels, image_shape: tuple[int, int, int]) -> Sequence[int]:
    """How many channels of each group are kept, a function of the whole network."""
    wide = Channels(1.0).of_network(module)
    groups = groups_of(wide, image_shape)
    if channels.keep == 1:
        return [group.size for group in groups]
    return channel_counts(groups, float(channels.keep), multiple_of=channels.multiple_of)


def _kept(params: PyTree, groups: Sequence[ChannelGroup], counts: Sequence[int], by: str) -> list[np.ndarray]:
    """The most important channels of each group."""
    for group, count in zip(groups, counts, strict=True):
        if count > group.size:
            raise UserError(
                f"{group.members[0].path} has {group.size} channels left and would have {count}: channels that were "
                "removed do not come back; take shares that fall, and lie further apart"
            )
    importances = jax.jit(lambda params: [channel_importance(params, group, kind=by) for group in groups])(params)
    if any(isinstance(leaf, jax.core.Tracer) for leaf in importances):  # where shapes alone matter, any will do
        return [np.arange(count) for count in counts]
    return [most_important(one, count) for one, count in zip(importances, counts, strict=True)]


def _variable(path: str, known: Mapping[str, Any] | set[str]) -> str | None:
    """Of which variable of the network a leaf of the state is, or is the moment, the average, the mask."""
    parts = path.split("/")
    suffixes = ("/".join(parts[start:]) for start in range(1, len(parts)))
    return next((suffix for suffix in suffixes if suffix in known), None)
