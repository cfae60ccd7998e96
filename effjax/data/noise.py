"""A source some of whose labels are wrong, for experiments on what noise does to a method."""

import copy

import numpy as np

from effjax.data import draws
from effjax.data.base import Example, Source, View
from effjax.errors import UserError


def noisy_labels(source: Source, share: float) -> Source:
    """Gives a share of the examples another class, drawn evenly from all the others; arguments as :class:`Noisy`."""
    if isinstance(source, View):  # a view reads a whole split by its global ids
        return View(Noisy(source.source, share), source.ids)
    return Noisy(source, share)


class Noisy:
    """A whole split with symmetric label noise: the same examples are wrong, in the same way, in every run.

    Args:
      source: any source.
      share: of the examples, in [0, 1).

    Raises:
      UserError: if the share is out of range.
    """

    def __init__(self, source: Source, share: float):
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share < 1:
            raise UserError(f"data.label_noise={share!r} must be a share, from 0 to below 1")
        self.source, self.info = source, source.info
        self._labels = source.labels().astype(np.int32)
        wrong = draws.permutation((0, len(source)), len(source))[: round(share * len(source))]
        others = 1 + np.floor(draws.uniforms((1, len(source)), len(wrong)) * (self.info.num_classes - 1))
        self._labels[wrong] = (self._labels[wrong] + others.astype(np.int32)) % self.info.num_classes

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, row: int) -> Example:
        return {**self.source[row], "label": self._labels[row]}

    def labels(self) -> np.ndarray:
        return self._labels

    def at_size(self, image_size: int) -> "Noisy":
        other = copy.copy(self)
        other.source = self.source.at_size(image_size)
        other.info = other.source.info
        return other
