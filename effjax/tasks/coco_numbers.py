"""What papers give of detectors, of a whole set of predictions, by COCO's own code."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from effjax import metrics


def coco_numbers(
    found: Mapping[str, np.ndarray],
    targets: Mapping[str, np.ndarray],
    size: tuple[int, int],
    class_names: tuple[str, ...],
) -> dict[str, Any]:
    """COCO's numbers by name, those of each class by its name; None where there are no boxes, for JSON has no NaN.

    Args:
      found: detections of N images, as :func:`effjax.tasks.detection.detections` returns them.
      targets: the features of the objects, ``[N, M, …]``.
      size: height and width of the images, in pixels, by which boxes are small, medium or large.
      class_names: in the order of the labels.

    Raises:
      UserError: if neither faster-coco-eval nor pycocotools is installed.
    """
    numbers = metrics.coco_numbers(
        found["boxes"],
        found["scores"],
        found["classes"],
        found["present"],
        targets["objects/bbox"],
        targets["objects/label"],
        targets["objects/valid"],
        np.tile(size, (len(found["scores"]), 1)),
        crowd=targets.get("objects/is_crowd"),
    )
    by_class = {class_names[label]: value for label, value in numbers.pop("by_class").items()}
    return {**{name: None if math.isnan(value) else value for name, value in numbers.items()}, "by_class": by_class}
