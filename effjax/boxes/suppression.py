"""Of boxes that show the same object, the best is kept."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from effjax.boxes.checks import check_shape, coordinates
from effjax.boxes.iou import iou
from effjax.errors import UserError
from effjax.numerics import at_least_float32
from effjax.typing import Array


def non_max_suppression(
    boxes: Array, scores: Array, k: int, *, iou_threshold: float | jax.Array = 0.5, classes: Array | None = None
) -> tuple[jax.Array, jax.Array]:
    """Keeps the box of the highest score, drops those that overlap it, and goes on with what is left.

    Of equal scores the first is kept. No gradient flows.

    Args:
      boxes: ``[N, 4]``.
      scores: ``[N]``; a box of −∞, as padding has it, or NaN is not kept.
      k: how many to keep at most; it may be more than N.
      iou_threshold: boxes whose IoU with one that is kept is above it are dropped.
      classes: ``[N]``: boxes drop those of their own class only. None: of all.

    Returns:
      Positions int32 ``[k]``, the highest score first, and whether there are so many, ``[k]`` booleans; where there are
      not, the position is 0.

    Raises:
      UserError: if the shapes do not fit, or k is not 1 or more.

    Example:
      >>> boxes = jnp.array([[0.0, 0.0, 1.0, 0.9], [0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 0.5, 0.5]])
      >>> non_max_suppression(boxes, jnp.array([0.6, 0.8, 0.7]), 3)
      (Array([1, 2, 0], dtype=int32), Array([ True,  True, False], dtype=bool))

    References:
      Dalal & Triggs, `Histograms of Oriented Gradients for Human Detection
      <https://ieeexplore.ieee.org/document/1467360>`_, 2005; class by class: Girshick et al., `Rich Feature Hierarchies
      <https://arxiv.org/abs/1311.2524>`_, 2014.
    """

    def dropped(scores: jax.Array, overlap: jax.Array) -> jax.Array:
        return jnp.where(overlap > iou_threshold, -jnp.inf, scores)

    picked = _greedy(boxes, scores, k, classes, dropped)
    return picked.position, picked.valid


def soft_non_max_suppression(
    boxes: Array, scores: Array, k: int, *, sigma: float | jax.Array = 0.5, classes: Array | None = None
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Takes the box of the highest score, lowers the scores of those that overlap it, and goes on with what is left.

    None is dropped: a score is multiplied by exp(−IoU² / σ) for each box that was taken before. Of equal scores the
    first is taken. No gradient flows.

    Args:
      boxes: ``[N, 4]``.
      scores: ``[N]``, probabilities; a box of −∞, as padding has it, or NaN is not taken.
      k: how many to take at most; it may be more than N.
      sigma: σ, above 0; the smaller, the lower the scores.
      classes: ``[N]``: boxes lower those of their own class only. None: all.

    Returns:
      Positions int32 ``[k]``, the highest score first, the lowered scores ``[k]``, and whether there are so many,
      ``[k]`` booleans; where there are not, the position is 0 and the score −∞.

    Raises:
      UserError: if the shapes do not fit, or k is not 1 or more.

    Example:
      >>> boxes = jnp.array([[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]])
      >>> soft_non_max_suppression(boxes, jnp.array([0.8, 0.7, 0.6]), 3)[:2]  # .7 · exp(−2)
      (Array([0, 2, 1], dtype=int32), Array([0.8   , 0.6   , 0.0947], dtype=float32))

    References:
      Bodla et al., `Soft-NMS: Improving Object Detection With One Line of Code <https://arxiv.org/abs/1704.04503>`_,
      2017, eq. for the Gaussian penalty in sec. 3.
    """

    def lowered(scores: jax.Array, overlap: jax.Array) -> jax.Array:
        return jnp.where(scores > -jnp.inf, scores * jnp.exp(-jnp.square(overlap) / sigma), -jnp.inf)

    return _greedy(boxes, scores, k, classes, lowered)


class _Picked(NamedTuple):
    """In order ``[k]``: positions, their scores when they were picked, and whether there was one left to pick."""

    position: jax.Array
    score: jax.Array
    valid: jax.Array


def _greedy(
    boxes: Array,
    scores: Array,
    k: int,
    classes: Array | None,
    lowered: Callable[[jax.Array, jax.Array], jax.Array],
) -> _Picked:
    """Picks the highest score k times; after each, ``lowered(scores, overlap with what was picked)`` are left."""
    boxes = jax.lax.stop_gradient(coordinates("boxes", boxes))
    scores = jax.lax.stop_gradient(at_least_float32(jnp.asarray(scores)))
    check_shape("scores", scores, boxes.shape[:-1], "one for each box")
    if classes is not None:
        check_shape("classes", classes := jnp.asarray(classes), scores.shape, "one for each box")
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise UserError(f"k={k!r} must be a whole number, 1 or more")
    if not len(boxes):
        return _Picked(jnp.zeros(k, jnp.int32), jnp.full(k, -jnp.inf, scores.dtype), jnp.zeros(k, bool))

    def pick(left: jax.Array, _: None) -> tuple[jax.Array, _Picked]:
        best = left.argmax().astype(jnp.int32)
        overlap = iou(boxes[best][None], boxes)[0]
        if classes is not None:
            overlap = jnp.where(classes == classes[best], overlap, 0.0)
        valid = left[best] > -jnp.inf
        picked = _Picked(jnp.where(valid, best, 0), left[best], valid)
        return lowered(left, overlap).at[best].set(-jnp.inf), picked

    there = jnp.where(scores > -jnp.inf, scores, -jnp.inf)  # NaN is not
    return jax.lax.scan(pick, there, None, k)[1]
