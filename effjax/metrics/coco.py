"""The numbers that papers give of detectors, by COCO's own code."""

import contextlib
import importlib
import importlib.util
import io
from typing import Any

import numpy as np

from effjax.errors import UserError
from effjax.typing import Array


def coco_numbers(
    boxes: Array,
    scores: Array,
    classes: Array,
    present: Array,
    true_boxes: Array,
    true_classes: Array,
    true_valid: Array,
    sizes: Array,
    *,
    crowd: Array | None = None,
) -> dict[str, Any]:
    """Average precision of a whole set, as faster-coco-eval computes it, or pycocotools where that is not installed.

    It runs on the host. :class:`effjax.metrics.AveragePrecision` gives ``map``, ``ap50`` and ``ap75`` on the device.
    Objects are small below 32² pixels and large from 96² on, of the area of their box. (COCO's own files have that of
    their outline, which is smaller.)

    Args:
      boxes: what was found, ``[N, D, 4]``.
      scores: how surely, ``[N, D]``; of a class, 100 in an image count.
      classes: what it should be, ``[N, D]`` integers.
      present: ``[N, D]`` booleans, false on padding.
      true_boxes: what is there, ``[N, M, 4]``.
      true_classes: ``[N, M]`` integers.
      true_valid: ``[N, M]`` booleans, false on padding.
      sizes: height and width of the images in pixels, ``[N, 2]``.
      crowd: ``[N, M]`` booleans: boxes around many objects; what is found in them is neither right nor wrong.

    Returns:
      ``map`` (over the IoUs .5, .55, … .95), ``ap50``, ``ap75``, ``small``, ``medium`` and ``large``; NaN where there
      are no boxes. ``by_class``: the same as ``map`` of each class that has boxes.

    Raises:
      UserError: if neither package is installed, or the shapes do not fit.

    References:
      Lin et al., `Microsoft COCO: Common Objects in Context <https://arxiv.org/abs/1405.0312>`_, 2014;
      https://cocodataset.org/#detection-eval
    """
    dataset_of, evaluation_of = _package()
    crowd = np.zeros(np.shape(true_valid), bool) if crowd is None else crowd
    _check_shapes(np.shape(present), sizes, boxes=boxes, scores=scores, classes=classes)
    _check_shapes(np.shape(true_valid), sizes, true_boxes=true_boxes, true_classes=true_classes, crowd=crowd)
    found = _annotations(present, sizes, boxes, category_id=classes, score=scores)
    there = _annotations(true_valid, sizes, true_boxes, category_id=true_classes, iscrowd=crowd)
    categories = sorted({one["category_id"] for one in there})
    with contextlib.redirect_stdout(io.StringIO()):
        truth, detections = dataset_of(), dataset_of()
        for dataset, annotations in (truth, there), (detections, found):
            dataset.dataset = {
                "images": [{"id": image} for image in range(len(np.asarray(sizes)))],
                "annotations": annotations,
                "categories": [{"id": category} for category in categories],
            }
            dataset.createIndex()
        evaluated = evaluation_of(truth, detections, "bbox")
        evaluated.evaluate()
        evaluated.accumulate()
    precision = evaluated.eval["precision"][..., -1]  # [T, recalls, K, areas]
    by_class = {category: _mean(precision[:, :, k, 0]) for k, category in enumerate(categories)}
    return {
        "map": _mean(precision[..., 0]),
        "ap50": _mean(precision[0, ..., 0]),
        "ap75": _mean(precision[5, ..., 0]),
        **{name: _mean(precision[..., 1 + size]) for size, name in enumerate(("small", "medium", "large"))},
        "by_class": {category: value for category, value in by_class.items() if not np.isnan(value)},
    }


def _package() -> tuple[Any, Any]:
    """The classes of datasets and of their evaluation."""
    if importlib.util.find_spec("faster_coco_eval"):
        package = importlib.import_module("faster_coco_eval")
        return package.COCO, package.COCOeval_faster
    if importlib.util.find_spec("pycocotools"):
        cocoeval = importlib.import_module("pycocotools.cocoeval")
        return importlib.import_module("pycocotools.coco").COCO, cocoeval.COCOeval
    raise UserError("pycocotools not installed: pip install 'effjax[coco]', or pycocotools, or faster-coco-eval")


def _check_shapes(shape: tuple[int, ...], sizes: Array, **fields: Array) -> None:
    for name, array in {"sizes": sizes, **fields}.items():
        allowed = (*shape[:1], 2) if name == "sizes" else (*shape, 4) if name.endswith("boxes") else shape
        if np.shape(array) != allowed:
            raise UserError(f"{name}: shape {np.shape(array)}; allowed: {allowed}")


def _annotations(valid: Array, sizes: Array, boxes: Array, **fields: Array) -> list[dict[str, Any]]:
    """What is valid of padded fields, as COCO's files have it."""
    image, place = np.nonzero(np.asarray(valid))
    y0, x0, y1, x1 = (np.asarray(boxes)[image, place] * np.tile(np.asarray(sizes, np.float64), 2)[image]).T
    columns = {
        "id": 1 + np.arange(len(image)),  # 0 is none to COCOeval
        "image_id": image,
        "bbox": np.stack([x0, y0, x1 - x0, y1 - y0], -1),
        "area": (x1 - x0) * (y1 - y0),
        "iscrowd": np.zeros(len(image)),
        **{name: np.asarray(array)[image, place] for name, array in fields.items()},
    }
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _mean(precision: np.ndarray) -> float:
    """Of what there is: COCO writes -1 where there are no boxes."""
    there = precision[precision > -1]
    return float(there.mean()) if there.size else float("nan")
