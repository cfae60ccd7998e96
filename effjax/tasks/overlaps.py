"""Overlaps on the host, of boxes of which every image has another number."""

import numpy as np

from effjax import boxes

_LEAST = 8


def overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of each box with each other, as :func:`effjax.boxes.iou` has it.

    That is compiled anew for every number of boxes: so they are filled up to powers of two.

    Args:
      a: ``[M, 4]``.
      b: ``[N, 4]``.

    Returns:
      ``[M, N]`` float32.

    Raises:
      UserError: if these are no boxes.
    """
    return np.asarray(boxes.iou(_filled(a), _filled(b)))[: len(a), : len(b)]


def _filled(corners: np.ndarray) -> np.ndarray:
    size = max(_LEAST, 1 << (len(corners) - 1).bit_length())
    return np.pad(corners, ((0, size - len(corners)), (0, 0)))
