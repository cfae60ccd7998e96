"""The objects of many images in few arrays: boxes, classes, and which of them are crowds."""

from typing import NamedTuple

import numpy as np

from effjax.data.centre_squares import boxes_in_square


class Objects(NamedTuple):
    """What images show.

    Attributes:
      boxes: of all, ``[A, 4]`` float32 y0, x0, y1, x1 in [0, 1] of their image.
      labels: ``[A]`` int32.
      crowd: whether a box is around many that are not told apart, ``[A]`` bool.
      starts: where those of each image begin, and the end, ``[N + 1]``.
    """

    boxes: np.ndarray
    labels: np.ndarray
    crowd: np.ndarray
    starts: np.ndarray

    @property
    def counts(self) -> np.ndarray:
        """How many each image has, ``[N]``."""
        return np.diff(self.starts)

    def of(self, row: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The boxes, labels and crowds of one image."""
        part = slice(self.starts[row], self.starts[row + 1])
        return self.boxes[part], self.labels[part], self.crowd[part]

    def taken(self, rows: np.ndarray) -> "Objects":
        """Those of some images, in the order given."""
        counts = self.counts[rows]
        starts = np.r_[0, np.cumsum(counts)]
        places = np.arange(starts[-1]) + np.repeat(self.starts[rows] - starts[:-1], counts)
        return Objects(self.boxes[places], self.labels[places], self.crowd[places], starts)

    def in_squares(self, sizes: np.ndarray) -> "Objects":
        """Those of the images' centre squares; those that are lost are left out.

        Args:
          sizes: (height, width) of the images, ``[N, 2]``.
        """
        height, width = np.repeat(sizes, self.counts, axis=0).T
        boxes, kept = boxes_in_square(self.boxes, height, width)
        starts = np.r_[0, np.cumsum(kept)][self.starts]
        return Objects(boxes[kept], self.labels[kept], self.crowd[kept], starts)
