"""Overlaps on the host: of boxes of which every image has another number, and of those of many images."""

from collections.abc import Iterator

import numpy as np

from effjax import boxes

_LEAST = 8
_IMAGES = 64  # at once


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


def overlaps_by_image(a: np.ndarray, b: np.ndarray) -> Iterator[np.ndarray]:
    """Of each image, intersection over union of each of its boxes with each other, some images at once.

    Args:
      a: ``[N, M, 4]``, whatever of them is there.
      b: ``[N, K, 4]``, likewise.

    Yields:
      ``[M, K]`` float32, N times.

    Raises:
      UserError: if these are no boxes.
    """
    for start in range(0, len(a), _IMAGES):
        yield from np.asarray(boxes.iou(a[start : start + _IMAGES], b[start : start + _IMAGES]))


def _filled(corners: np.ndarray) -> np.ndarray:
    size = max(_LEAST, 1 << (len(corners) - 1).bit_length())
    return np.pad(corners, ((0, size - len(corners)), (0, 0)))
