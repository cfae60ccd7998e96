"""Boxes one by one, in float64: what the functions of arrays are held against."""

import numpy as np


def area(box):
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)


def overlap(a, b):
    """IoU and generalised IoU of two boxes."""
    both = area([max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])])
    around = area([min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])])
    union = area(a) + area(b) - both
    iou = both / union if union else 0.0
    return iou, iou - ((around - union) / around if around else 0.0)


def suppressed(boxes, scores, threshold, classes):
    """The positions that are kept, the best first."""
    kept = []
    for i in np.argsort(-scores, kind="stable"):
        if all(classes[i] != classes[j] or overlap(boxes[i], boxes[j])[0] <= threshold for j in kept):
            kept.append(int(i))
    return kept


def random_boxes(rng, *shape):
    corners = rng.uniform(0, 1, (*shape, 2, 2))
    return np.concatenate([corners.min(-2), corners.max(-2)], -1).astype(np.float32)
