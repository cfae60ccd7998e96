"""A pool whose labels are only those that have been asked for."""

import copy
from collections.abc import Mapping

import numpy as np

from effjax.data.base import Example, Source, View, global_ids

UNKNOWN = -1  # the label of what nobody has labelled


class Labelled:
    """A source with the labels of a ledger in place of its own: what is not in the ledger has none.

    Args:
      source: the pool; global ids stay.
      labels: by global id.

    Raises:
      ValueError: for an id that the source does not have, or a label that is no class.
    """

    def __init__(self, source: Source, labels: Mapping[int, int]):
        self.source, self.info = source, source.info
        position = {int(id_): row for row, id_ in enumerate(global_ids(source))}
        self._labels = np.full(len(source), UNKNOWN, np.int32)
        for id_, label in labels.items():
            if id_ not in position:
                raise ValueError(f"example {id_} is not in {source.info.name}/{source.info.split}")
            if not 0 <= label < source.info.num_classes:
                raise ValueError(f"example {id_}: label {label} is none of the {source.info.num_classes} classes")
            self._labels[position[id_]] = label
        self.rows = np.array([position[id_] for id_ in labels], np.int64)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, row: int) -> Example:
        return {**self.source[row], "label": self._labels[row]}

    def labels(self) -> np.ndarray:
        """``[N]`` int32, -1 where there is none."""
        return self._labels

    def known(self) -> View:
        """The labelled examples alone, in the order of the ledger."""
        whole = self.source.source if isinstance(self.source, View) else self.source
        ids = global_ids(self.source)[self.rows]
        by_id = copy.copy(self)
        by_id.source = whole
        by_id._labels = np.full(len(whole), UNKNOWN, np.int32)
        by_id._labels[ids] = self._labels[self.rows]
        return View(by_id, ids)

    def at_size(self, image_size: int) -> "Labelled":
        other = copy.copy(self)
        other.source = self.source.at_size(image_size)
        other.info = other.source.info
        return other
