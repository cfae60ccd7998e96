"""Random images with boxes and detections, padded, and what pycocotools says of them."""

import contextlib
import io

import numpy as np

FIELDS = ("boxes", "scores", "classes", "present", "true_boxes", "true_classes", "true_valid", "crowd")
IMAGES, DETECTIONS, OBJECTS, CLASSES = 40, 130, 6, 4


def random_set(seed, kind="plain"):
    """Detections near the boxes, of the wrong class now and then, and elsewhere; no two of the same score.

    Kinds: ``plain``; ``crowd``, where some boxes are; ``empty``, where images without boxes or without detections are,
    and a class without boxes; ``overfull``, with more than 100 detections of a class in an image.
    """
    rng = np.random.default_rng(seed)
    corner, extent = rng.uniform(0, 0.6, (IMAGES, OBJECTS, 2)), rng.uniform(0.05, 0.4, (IMAGES, OBJECTS, 2))
    true_boxes = np.concatenate([corner, corner + extent], -1)
    true_classes = rng.integers(0, CLASSES - (kind == "empty"), (IMAGES, OBJECTS))
    true_valid = rng.random((IMAGES, OBJECTS)) < 0.6
    crowd = (rng.random((IMAGES, OBJECTS)) < 0.3) & (kind == "crowd")

    of = rng.integers(0, OBJECTS, (IMAGES, DETECTIONS))
    near = np.take_along_axis(true_boxes, of[..., None], 1)
    noise = rng.normal(0, 0.1, near.shape)
    corner, extent = rng.uniform(0, 0.6, (IMAGES, DETECTIONS, 2)), rng.uniform(0.05, 0.4, (IMAGES, DETECTIONS, 2))
    is_near = rng.random((IMAGES, DETECTIONS)) < 0.6
    boxes = np.where(is_near[..., None], near + noise * np.tile(near[..., 2:] - near[..., :2], 2), 0)
    boxes = np.where(is_near[..., None], boxes, np.concatenate([corner, corner + extent], -1))
    likely = is_near & (rng.random((IMAGES, DETECTIONS)) < 0.8)
    classes = np.where(likely, np.take_along_axis(true_classes, of, 1), rng.integers(0, CLASSES, of.shape))
    looks = np.where(is_near, 1 - 8 * np.abs(noise).mean(-1), -1.5) + rng.normal(0, 0.8, of.shape)
    scores = ((looks.ravel().argsort().argsort().reshape(looks.shape) + 0.5) / looks.size) ** 2  # most are low
    present = rng.random((IMAGES, DETECTIONS)) < 0.15
    if kind == "empty":
        true_valid[::3], present[1::3] = False, False
    if kind == "overfull":
        present[::5], classes[::5] = True, np.where(rng.random((IMAGES // 5, DETECTIONS)) < 0.9, 1, classes[::5])
    values = boxes, scores, classes, present, true_boxes, true_classes, true_valid, crowd
    return dict(zip(FIELDS, (x.astype(np.float32) if x.dtype == float else x for x in values), strict=True))


def pycocotools_stats(given, height=480, width=640):
    """The twelve numbers of COCOeval."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def box(normalised):
        y0, x0, y1, x1 = normalised.astype(np.float64) * [height, width, height, width]
        return [x0, y0, x1 - x0, y1 - y0]

    truth, found = [], []
    for image in range(len(given["boxes"])):
        for j in np.flatnonzero(given["true_valid"][image]):
            where = box(given["true_boxes"][image, j])
            category, crowd = int(given["true_classes"][image, j]), int(given["crowd"][image, j])
            truth.append({"id": len(truth) + 1, "image_id": image, "category_id": category, "bbox": where})
            truth[-1].update(area=where[2] * where[3], iscrowd=crowd)
        for j in np.flatnonzero(given["present"][image]):
            where, score = box(given["boxes"][image, j]), float(given["scores"][image, j])
            category = int(given["classes"][image, j])
            found.append({"image_id": image, "category_id": category, "bbox": where, "score": score})
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        categories, images = [{"id": c} for c in range(CLASSES)], [{"id": i} for i in range(len(given["boxes"]))]
        coco.dataset = {"images": images, "annotations": truth, "categories": categories, "info": {}}
        coco.createIndex()
        evaluated = COCOeval(coco, coco.loadRes(found), "bbox")
        evaluated.evaluate()
        evaluated.accumulate()
        evaluated.summarize()
    return evaluated.stats
