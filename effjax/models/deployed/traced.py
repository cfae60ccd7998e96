"""What a network's arrays are while it is traced: constants, or values that depend on the images."""

import dataclasses

from effjax.models.deployed.constants import Constant

# A batch of a size that no axis of a vision model has; every axis of this size is one of examples.
BATCH = 8191


@dataclasses.dataclass(frozen=True)
class Known:
    """An array that does not depend on the images: a constant that broadcasts to ``shape``."""

    constant: Constant
    shape: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Value:
    """An array that does: a value of the graph.

    Attributes:
      number: of the value, which has the batch's axis first.
      shape: of the array in the program.
      batch: the batch's axis there.
    """

    number: int
    shape: tuple[int, ...]
    batch: int = 0

    def axis(self, axis: int) -> int:
        """Where an axis of the program's array lies in the value."""
        return 0 if axis == self.batch else axis + (axis < self.batch)

    @property
    def stored(self) -> tuple[int, ...]:
        """The shape of the value."""
        return (self.shape[self.batch], *self.shape[: self.batch], *self.shape[self.batch + 1 :])


Traced = Known | Value
