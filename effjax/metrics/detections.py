"""Which detections are right, as COCO decides it."""

import jax
import jax.numpy as jnp
import numpy as np

from effjax.boxes import area, iou

#: The IoUs from which on a box counts as found.
THRESHOLDS = np.linspace(0.5, 0.95, 10)
_ROUNDING = 1e-6  # of an IoU in float32: one that is a threshold reaches it
_MOST = 100  # detections of a class that are looked at in an image


def judged(
    boxes: jax.Array,
    scores: jax.Array,
    classes: jax.Array,
    present: jax.Array,
    true_boxes: jax.Array,
    true_classes: jax.Array,
    true_valid: jax.Array,
    crowd: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Judges the detections of one image at every threshold.

    In the order of their scores, each takes the box of its class that it overlaps most of those that are left, if it
    overlaps it enough. One that takes none but lies in a crowd of its class is not judged; nor is what comes after the
    first 100 of a class.

    Args:
      boxes: ``[D, 4]``.
      scores: ``[D]``; of equal ones the first goes first.
      classes: ``[D]``.
      present: ``[D]`` booleans, false on padding.
      true_boxes: ``[M, 4]``.
      true_classes: ``[M]``.
      true_valid: ``[M]`` booleans, false on padding.
      crowd: ``[M]`` booleans: boxes around many objects, of which none need be found.

    Returns:
      Whether a detection is right, and whether it is wrong, ``[T, D]`` booleans each.

    References:
      Lin et al., `Microsoft COCO: Common Objects in Context <https://arxiv.org/abs/1405.0312>`_, 2014;
      ``COCOeval.evaluateImg`` of `its code <https://github.com/cocodataset/cocoapi>`_.
    """
    order = jnp.argsort(jnp.where(present, -scores, jnp.inf), stable=True)
    boxes, classes, present = boxes[order], classes[order], present[order]
    if len(order) > _MOST:
        same = (classes[:, None] == classes) & present[:, None] & present
        present &= jnp.tril(same).sum(-1) <= _MOST
    fits = present[:, None] & true_valid & (classes[:, None] == true_classes)
    within = _covered(boxes, true_boxes)
    in_crowd = jnp.where(fits & crowd, within, 0.0).max(-1, initial=0.0)
    overlap = jnp.where(fits & ~crowd, iou(boxes, true_boxes), 0.0)
    enough = jnp.asarray(THRESHOLDS - _ROUNDING, overlap.dtype)[:, None]

    def take(left: jax.Array, overlap: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Of the boxes that are ``left`` ``[T, M]``, a detection takes the best; of equal ones, like COCO, the last."""
        offered = jnp.where(left & (overlap >= enough), overlap, 0.0)
        best = offered.shape[-1] - 1 - offered[:, ::-1].argmax(-1)
        found = (offered > 0).any(-1)
        return left & ~(found[:, None] & (best[:, None] == jnp.arange(offered.shape[-1]))), found

    right = jax.lax.scan(take, jnp.ones((len(THRESHOLDS), len(true_boxes)), bool), overlap)[1].T
    wrong = present & ~right & ~(in_crowd >= enough)
    back = jnp.argsort(order)
    return right[:, back], wrong[:, back]


def _covered(boxes: jax.Array, around: jax.Array) -> jax.Array:
    """The share of each box ``[D, 4]`` that lies in each other ``[M, 4]``, ``[D, M]``."""
    boxes = boxes[:, None]
    inside = jnp.concatenate(
        [jnp.maximum(boxes[..., :2], around[:, :2]), jnp.minimum(boxes[..., 2:], around[:, 2:])], -1
    )
    return area(inside) / jnp.maximum(area(boxes), jnp.finfo(boxes.dtype).tiny)
