"""How sparse a network is to be at each step of its run."""

import dataclasses
import itertools
import re
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp

from effjax.pruning import cubic_sparsity

RAMP = "cubic"  # in a plan: from the sparsity before to another one, over a piece
RAMP_PATTERN = rf"{RAMP} (0?\.\d+|0)"


@dataclasses.dataclass(frozen=True)
class Level:
    """What a piece of a plan comes to.

    Attributes:
      sparsity: the share of weights that are removed, from 0 to below 1.
      ramp: whether it is reached by and by, at the end of the piece; otherwise it holds from its beginning.
    """

    sparsity: float
    ramp: bool = False

    @classmethod
    def read(cls, value: Any) -> "Level | None":
        """What a plan says: a number, or a ramp such as ``"cubic 0.9"``; None if it is neither.

        >>> Level.read("cubic 0.9")
        Level(sparsity=0.9, ramp=True)
        """
        if isinstance(value, str) and (ramp := re.fullmatch(RAMP_PATTERN, value)):
            return cls(float(ramp[1]), ramp=True)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1:
            return cls(float(value))
        return None


@dataclasses.dataclass(frozen=True)
class Sparsity:
    """A sparsity as a function of the global step; it may be traced.

    Attributes:
      pieces: ``(first step, level)``, in order, the first at step 0.
      total: the steps of the run.

    Raises:
      ValueError: if it falls.

    Example:
      >>> sparsity = Sparsity(((0, Level(0.0)), (2, Level(0.8, ramp=True)), (6, Level(0.8))), 10)
      >>> [round(float(sparsity(step)), 2) for step in (2, 3, 4, 5, 6, 9)]  # 0.8 (1 − (1 − t)³)
      [0.0, 0.46, 0.7, 0.79, 0.8, 0.8]
    """

    pieces: tuple[tuple[int, Level], ...]
    total: int

    def __post_init__(self):
        for (_, before), (step, after) in itertools.pairwise(self.pieces):
            if after.sparsity < before.sparsity:
                raise ValueError(
                    f"sparsity falls from {before.sparsity:g} to {after.sparsity:g} at step {step}: weights that were "
                    "removed do not come back; let it rise, or stay"
                )

    def __call__(self, step: jax.Array | int) -> jax.Array:
        value, before = jnp.zeros((), jnp.float32), 0.0
        for start, stop, level in self._spans():
            here = jnp.float32(level.sparsity)
            if level.ramp:  # rounding must not lead beyond what it comes to
                here = jnp.minimum(
                    cubic_sparsity(step, begin=start, end=stop, final=level.sparsity, initial=before), here
                )
            value, before = jnp.where(jnp.asarray(step) >= start, here, value), level.sparsity
        return value

    @property
    def corners(self) -> tuple[int, ...]:
        """The steps at which a piece begins or ends."""
        return tuple(sorted({edge for start, stop, _ in self._spans() for edge in (start, stop)}))

    @property
    def settled(self) -> int:
        """The first step at which it is what it is in the end."""
        changes, before = 0, 0.0
        for start, stop, level in self._spans():
            if level.sparsity != before:
                changes = stop if level.ramp else start
            before = level.sparsity
        return changes

    @property
    def start(self) -> float:
        """What it is at step 0."""
        first = self.pieces[0][1]
        return 0.0 if first.ramp else first.sparsity

    def _spans(self) -> Iterator[tuple[int, int, Level]]:
        starts = [start for start, _ in self.pieces]
        for (start, level), stop in zip(self.pieces, [*starts[1:], self.total], strict=True):
            yield start, stop, level
