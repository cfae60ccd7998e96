"""Objects of an image as TFDS stores those of COCO and VOC: ``objects/bbox`` and ``objects/label``."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds


def feature(class_names: Sequence[str]) -> tfds.features.Sequence:
    """The feature ``objects`` of a dataset."""
    return tfds.features.Sequence(
        {"bbox": tfds.features.BBoxFeature(), "label": tfds.features.ClassLabel(names=list(class_names))}
    )


def stored(boxes: np.ndarray, labels: np.ndarray, shape: tuple[int, ...]) -> list[dict[str, Any]]:
    """The objects of one image.

    Args:
      boxes: ``[n, 4]`` pixels y0, x0, y1, x1, the second two excluded.
      labels: ``[n]``.
      shape: of the image, ``(H, W)`` or more.

    Returns:
      What a record of :func:`feature` is written from.
    """
    parts = np.asarray(boxes, np.float64).reshape(-1, 4) / (*shape[:2], *shape[:2])
    return [
        {"bbox": tfds.features.BBox(*map(float, box)), "label": int(label)}
        for box, label in zip(parts, labels, strict=True)
    ]
