"""Which arrays of a state lie on the devices in parts, and along which axis they are cut."""

import dataclasses
import math
import re
from collections.abc import Hashable, Iterator

import jax

from effjax.errors import UserError
from effjax.pruning.paths import by_path
from effjax.steps.masks import path_mask
from effjax.typing import PyTree

#: As an axis: the longest that the number of devices divides.
LONGEST = "longest"

_SMALL = 1 << 14  # an array of fewer numbers is not worth a message of its own: LONGEST leaves it whole


@dataclasses.dataclass(frozen=True)
class Layout:
    """Rules for the arrays of a state, by their paths, as ``params/student/conv1/kernel``.

    What is trained lies at ``params/…``, its moving average at ``ema/…``, what the optimiser keeps at ``opt_state/…``
    and what teachers read at ``frozen/<teacher>/…``. With the average and the optimiser's in parts, every device has
    all that it computes with, and updates its own part (ZeRO); with what is trained, too, parameters are put together
    where they are needed (FSDP).

    Attributes:
      rules: regular expressions for whole paths, each with an axis of the array, :data:`LONGEST`, or None for an array
        that is whole on every device. The first that matches counts; what none matches is whole. Where several networks
        train together, their axis comes first.

    References:
      Rajbhandari et al., 2020, ZeRO, https://arxiv.org/abs/1910.02054; Zhao et al., 2023, PyTorch FSDP,
      https://arxiv.org/abs/2304.11277
    """

    rules: tuple[tuple[str, int | str | None], ...] = ()

    def shardings(self, state: PyTree, mesh: jax.sharding.Mesh) -> PyTree:
        """How every array of a state lies on the devices.

        Args:
          state: arrays or shapes.
          mesh: the devices, along one axis.

        Returns:
          A tree like ``state``.

        Raises:
          UserError: if an array has no such axis as a rule says, or the devices do not divide it.
        """
        axes = dict(self._axes(state, mesh.size))
        found = [jax.NamedSharding(mesh, _spec(axes.get(path), mesh.axis_names[0])) for path in by_path(state)]
        return jax.tree.unflatten(jax.tree.structure(state), found)

    def check(self, state: PyTree, devices: int) -> None:
        """Refuses rules that do not fit a state.

        Args:
          state: arrays or shapes.
          devices: how many there are.

        Raises:
          UserError: as :meth:`shardings`, and if a pattern matches nothing.
        """
        for pattern, _ in self.rules:
            path_mask(state, pattern, key="sharding")
        list(self._axes(state, devices))

    def _axes(self, state: PyTree, devices: int) -> Iterator[tuple[str, int | None]]:
        """The axis of every array that a rule matches."""
        patterns = [(re.compile(pattern), axis) for pattern, axis in self.rules]
        for path, array in by_path(state).items() if patterns else ():
            matching = (axis for pattern, axis in patterns if pattern.fullmatch(path))
            yield path, _axis_of(path, array.shape, next(matching, None), devices)


def _spec(axis: int | None, name: Hashable) -> jax.P:
    return jax.P() if axis is None else jax.P(*[None] * axis, name)


def _axis_of(path: str, shape: tuple[int, ...], axis: int | str | None, devices: int) -> int | None:
    if axis == LONGEST:
        fitting = [number for number, length in enumerate(shape) if length % devices == 0]
        return max(fitting, key=lambda number: shape[number]) if fitting and math.prod(shape) >= _SMALL else None
    if axis is None:
        return None
    if not isinstance(axis, int) or not -len(shape) <= axis < len(shape) or shape[axis] % devices:
        raise UserError(
            f"sharding: {path} {list(shape)} cannot be cut along axis {axis} over {devices} devices; "
            f"allowed: an axis that they divide, {LONGEST!r}, None"
        )
    return axis % len(shape)


#: Every array whole on every device.
WHOLE = Layout()
