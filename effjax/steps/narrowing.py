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
from effjax.models.narrow import groups_of, shapes_of
from effjax.pruning import ChannelGroup, channel_counts, channel_importance, most_important, remove_channels
from effjax.pruning.paths import by_path, tree_of
from effjax.steps.narrowed_terms import check_terms, readers_of, with_identities
from effjax.steps.state import TrainState
from effjax.steps.term import Term
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
    state: TrainState,
    shapes: TrainState,
    module: nn.Module,
    channels: Channels,
    image_shape: tuple[int, int, int],
    terms: Mapping[str, Term] | None = None,
) -> TrainState:
    """Removes the channels that matter least from everything that has them: parameters, statistics, averages, moments.

    What a term learns of an activation of the student follows its channels, as the regressor of a hint does. Where an
    activation had its teacher's shape and so no regressor, one begins that leaves what stays in its place.

    Args:
      state: as it is: arrays on the devices or on the host; what is removed is so where it lay.
      shapes: its shapes in the stage that begins: ``init_state`` under ``jax.eval_shape``. Only what terms learn beside
        the student is looked at, and what the optimiser keeps of it.
      module: the network as it is, whole or narrow already.
      channels: how many are kept, and which.
      image_shape: ``(H, W, C)`` of what the network reads.
      terms: the run's, by name; those without parameters do not matter.

    Returns:
      The state of the narrower network; what has no channels to lose are the same objects.

    Raises:
      UserError: if a layer would have more channels than before, channels cannot be compared so, the network is one of
        few bits, or what a term learns beside it cannot follow.
    """
    if not isinstance(module, nn.Module):
        raise UserError("a network of few bits keeps its channels: remove them before, or where it becomes one")
    groups = groups_of(module, image_shape)
    kept = _kept(state.params["student"], groups, _counts(module, channels, image_shape), channels.by)
    state, frozen = with_identities(state.replace(frozen={}), shapes.replace(frozen={})), state.frozen
    if readers := readers_of(state.params, shapes.params, terms or {}):
        groups = _following(groups, groups_of(module, image_shape, readers))
    shaped = {path: leaf for tree in shapes_of(module, image_shape).values() for path, leaf in by_path(tree).items()}
    shaped |= by_path({name: tree for name, tree in state.params.items() if name != "student"})
    held = {member.path for group in groups for member in group.members}
    leaves, trees = by_path(state), defaultdict(dict)
    for path, leaf in leaves.items():
        own = _variable(path, shaped)
        if own in held and np.shape(leaf) == np.shape(shaped[own]):
            trees[path.removesuffix(own)][own] = leaf
    for prefix, tree in trees.items():
        leaves.update({prefix + own: leaf for own, leaf in remove_channels(tree, groups, kept).items()})
    narrow = tree_of(leaves, state).replace(frozen=frozen)
    check_terms(narrow.params, shapes.params)
    return narrow


def _following(groups: Sequence[ChannelGroup], with_readers: Sequence[ChannelGroup]) -> tuple[ChannelGroup, ...]:
    """The same groups in the same order, with what reads them from outside."""
    by_member = {group.members[0]: group for group in with_readers}
    return tuple(by_member[group.members[0]] for group in groups)


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


def _variable(path: str, known: Mapping[str, Any]) -> str | None:
    """Of which variable of the network a leaf of the state is, or is the moment, the average, the mask."""
    parts = path.split("/")
    suffixes = ("/".join(parts[start:]) for start in range(1, len(parts)))
    return next((suffix for suffix in suffixes if suffix in known), None)
