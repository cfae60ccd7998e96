"""Boxes of objects: how they overlap, which of them are kept, and which point of an image predicts which.

Boxes are ``[..., 4]``: y0, x0, y1, x1 in [0, 1] of the image's height and width. All shapes are fixed: what is padding
is said by booleans, and what is not kept too.
"""

from effjax.boxes.iou import aligned_generalized_iou, aligned_iou, area, generalized_iou, iou
from effjax.boxes.matching import Match, match
from effjax.boxes.points import decode, encode, grid_points
from effjax.boxes.suppression import non_max_suppression, soft_non_max_suppression
from effjax.boxes.task_aligned import match_task_aligned

__all__ = [
    "Match",
    "aligned_generalized_iou",
    "aligned_iou",
    "area",
    "decode",
    "encode",
    "generalized_iou",
    "grid_points",
    "iou",
    "match",
    "match_task_aligned",
    "non_max_suppression",
    "soft_non_max_suppression",
]
