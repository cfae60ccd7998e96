"""Which channels of a group matter, and how many of them are kept."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from effjax.errors import UserError, check_known
from effjax.numerics import at_least_float32, check_finite
from effjax.pruning.channels import ChannelGroup, check_axis
from effjax.pruning.counts import rounded_count
from effjax.pruning.paths import by_path
from effjax.typing import Array, PyTree

#: By name: from a weight and its gradient (the weight again, if none was given) to what it adds to its channel.
_KINDS: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
    "l1": lambda w, _: jnp.abs(w),
    "l2": lambda w, _: jnp.square(w),
    "taylor": lambda w, g: jnp.square(w * g),
    "scale": lambda w, _: jnp.abs(w),
}
KINDS: tuple[str, ...] = tuple(_KINDS)


def channel_importance(
    params: PyTree, group: ChannelGroup, *, kind: str = "l2", gradients: PyTree | None = None
) -> jax.Array:
    """What each channel of a group is worth: a sum over all its weights, in all members, over the group's mean.

    Args:
      params: a tree of arrays. Members that it does not hold (a normalisation's statistics) do not count.
      group: of channels.
      kind: what is summed: ``"l2"``, w²; ``"l1"``, |w|; ``"taylor"``, (w · ∂L/∂w)²; ``"scale"``, |γ| of the
        normalisations, the members that are called ``scale``, alone.
      gradients: of the loss by the parameters, for ``"taylor"``.

    Returns:
      ``[size]`` float32 at least, of mean 1; 0 everywhere if every channel's sum is 0.

    Raises:
      UserError: if there is no such kind, gradients are missing, or the group has no member that counts.

    Example:
      >>> from effjax.pruning.channels import Member
      >>> group = ChannelGroup(2, (Member("kernel", 1, ((0,), (1,))), Member("scale", 0, ((0,), (1,)))))
      >>> channel_importance({"kernel": jnp.array([[1.0, 2.0]]), "scale": jnp.array([1.0, 3.0])}, group)  # 2 and 13
      Array([0.2667, 1.7333], dtype=float32)

    References:
      Fang et al., `DepGraph: Towards Any Structural Pruning <https://arxiv.org/abs/2301.12900>`_, 2023 (the sum over a
      group); Li et al., `Pruning Filters for Efficient ConvNets <https://arxiv.org/abs/1608.08710>`_, 2017 (``l1``);
      Molchanov et al., `Importance Estimation for Neural Network Pruning <https://arxiv.org/abs/1906.10771>`_, 2019
      (``taylor``); Liu et al., `Learning Efficient Convolutional Networks through Network Slimming
      <https://arxiv.org/abs/1708.06519>`_, 2017 (``scale``).
    """
    check_known(kind, _KINDS, f"channel_importance: kind={kind!r}")
    if kind == "taylor" and gradients is None:
        raise UserError("channel_importance: kind='taylor' needs gradients=")
    weights, slopes = by_path(params), by_path(params if gradients is None else gradients)
    members = [m for m in group.members if m.path in weights and (kind != "scale" or m.path.split("/")[-1] == "scale")]
    if not members:
        what = "scale of a normalisation" if kind == "scale" else "member in this tree"
        raise UserError(
            f"channel_importance: kind={kind!r}: the group has no {what}: {[m.path for m in group.members]}"
        )
    total = jnp.zeros(group.size)
    for member in members:
        weight, slope = (at_least_float32(jnp.asarray(tree[member.path])) for tree in (weights, slopes))
        axis = check_axis(member, weight.shape)
        along = _KINDS[kind](weight, slope).sum([a for a in range(weight.ndim) if a != axis])
        positions = np.array([p for own in member.positions for p in own], np.int32)
        owners = np.array([channel for channel, own in enumerate(member.positions) for _ in own], np.int32)
        total = total.at[owners].add(along[positions])
    mean = total.mean()
    return jnp.where(mean > 0, total / jnp.where(mean > 0, mean, 1.0), 0.0)


def kept_channels(importance: Array, keep_fraction: float, *, multiple_of: int = 8) -> np.ndarray:
    """The most important channels, in a number that hardware likes.

    Of the multiples of ``multiple_of``, and all channels, it is the number nearest to ``keep_fraction`` of them; of two
    that are equally near, the larger. A group of fewer channels than one multiple keeps all. Of equally important
    channels the first is kept.

    Args:
      importance: ``[size]``, finite. Shapes follow from what is kept, so it cannot be traced.
      keep_fraction: the share that is kept, above 0 and at most 1.
      multiple_of: see above, at least 1.

    Returns:
      int32 positions, rising.

    Raises:
      UserError: if an argument is out of range.
      Unusable: if an importance is not finite.

    Example:
      >>> kept_channels(np.array([0.1, 2.0, 0.4, 1.5]), 0.5, multiple_of=2).tolist()
      [1, 3]
    """
    return most_important(importance, rounded_count(np.size(importance), keep_fraction, multiple_of=multiple_of))


def most_important(importance: Array, count: int) -> np.ndarray:
    """The channels that matter most; of equally important ones the first.

    Args:
      importance: ``[size]``, finite; not traced.
      count: how many.

    Returns:
      int32 positions, rising.

    Raises:
      Unusable: if an importance is not finite.

    Example:
      >>> most_important(np.array([0.1, 2.0, 0.4, 1.5]), 3).tolist()
      [1, 2, 3]
    """
    check_finite("importance", importance)
    return np.sort(np.argsort(-np.asarray(importance), kind="stable")[:count]).astype(np.int32)
