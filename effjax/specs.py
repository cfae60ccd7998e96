"""What an array looks like in one example: its type, its shape, and what fills up the room that is left in it."""

import dataclasses
from typing import cast

import numpy as np
import numpy.typing as npt


@dataclasses.dataclass(frozen=True)
class Spec:
    """One feature of an example. A batch of B examples has it as ``[B, *shape]``.

    Attributes:
      dtype: the type that a device gets.
      shape: of one example; None stands for a length that differs from one example to the next.
      padding: what fills up the first axis of an example that has fewer entries than ``shape[0]``; None where every
        example fills it.
    """

    dtype: np.dtype
    shape: tuple[int | None, ...]
    padding: float | None

    def __init__(self, dtype: npt.DTypeLike, shape: tuple[int | None, ...] = (), padding: float | None = None):
        for name, value in (("dtype", np.dtype(dtype)), ("shape", shape), ("padding", padding)):
            object.__setattr__(self, name, value)

    @property
    def is_ragged(self) -> bool:
        """Whether examples differ in shape, so that they are no batch."""
        return None in self.shape

    def padded(self, values: np.ndarray) -> np.ndarray:
        """Fills up the first axis.

        Args:
          values: ``[n, …]`` with n of at most ``shape[0]``.

        Returns:
          ``[*shape]``.

        Raises:
          ValueError: if there are more.
        """
        shape = cast("tuple[int, ...]", self.shape)  # what is ragged is not padded
        if len(values) > shape[0]:
            raise ValueError(f"{len(values)} are there, {shape[0]} fit")
        found = np.full(shape, self.padding, self.dtype)
        found[: len(values)] = values
        return found
