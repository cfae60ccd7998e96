"""Boxes go to the points that already predict them well."""

import jax
import jax.numpy as jnp

from effjax.boxes.checks import check_shape, coordinates
from effjax.boxes.iou import iou
from effjax.boxes.matching import Match
from effjax.boxes.points import encode
from effjax.errors import UserError
from effjax.numerics import at_least_float32
from effjax.typing import Array


def match_task_aligned(
    points: Array,
    boxes: Array,
    classes: Array,
    valid: Array,
    probs: Array,
    predicted: Array,
    *,
    candidates: int = 13,
    alpha: float | jax.Array = 1.0,
    beta: float | jax.Array = 6.0,
) -> tuple[Match, jax.Array]:
    """TOOD's assignment: a box belongs to the points in it whose class and place agree best with it.

    How well they agree is t = (probability of its class)^α · (IoU with what is predicted)^β. Each box takes the points
    of the highest t; one that several boxes take goes to that which it overlaps most. Of equals it is the first. No
    gradient flows.

    Args:
      points: ``[P, 2]``, y and x.
      boxes: ``[M, 4]``, M at least 1.
      classes: ``[M]`` integers in ``[0, K)``; of padding anything.
      valid: ``[M]`` booleans, false on padding.
      probs: what the points predict, ``[P, K]``.
      predicted: the boxes that they predict, ``[P, 4]``.
      candidates: how many points a box takes at most.
      alpha: the exponent of the probability.
      beta: the exponent of the IoU.

    Returns:
      The match, of P points; and the quality ``[P]`` that a positive point's class should have, 0 of other points: t,
      scaled for each box so that the highest is the highest IoU of its points.

    Raises:
      UserError: if the shapes do not fit, or ``candidates`` is not 1 or more.

    Example:
      >>> box, points = jnp.array([[0.0, 0.0, 1.0, 1.0]]), jnp.array([[0.5, 0.25], [0.5, 0.75]])
      >>> half_and_whole = jnp.array([[0.0, 0.0, 1.0, 0.5], [0.0, 0.0, 1.0, 1.0]])
      >>> classes, valid, probs = jnp.array([0]), jnp.array([True]), jnp.array([[0.8], [0.5]])
      >>> matched, quality = match_task_aligned(points, box, classes, valid, probs, half_and_whole)
      >>> matched.positive, quality  # t = .8 / 2⁶ and .5
      (Array([ True,  True], dtype=bool), Array([0.025, 1.   ], dtype=float32))

    References:
      Feng et al., `TOOD: Task-aligned One-stage Object Detection <https://arxiv.org/abs/2108.07755>`_, 2021, sec. 3.2.
      Its code takes the candidates first and then drops those outside of the box; here only points inside are
      candidates, so that no box is left without points when predictions are still poor.
    """
    points, boxes, valid = coordinates("points", points, 2), coordinates("boxes", boxes), jnp.asarray(valid, bool)
    predicted, probs, classes = coordinates("predicted", predicted), jnp.asarray(probs), jnp.asarray(classes)
    check_shape("classes", classes, boxes.shape[:1], "one for each box")
    check_shape("valid", valid, boxes.shape[:1], "one for each box")
    check_shape("predicted", predicted, (len(points), 4), "one for each point")
    check_shape("probs", probs, (len(points), *probs.shape[-1:]), "those of each point")
    if isinstance(candidates, bool) or not isinstance(candidates, int) or candidates < 1:
        raise UserError(f"candidates={candidates!r} must be a whole number, 1 or more")
    predicted, probs = jax.lax.stop_gradient((predicted, at_least_float32(probs)))

    overlap = iou(boxes, predicted)  # from here on [M, P]
    inside = (encode(points, boxes[:, None]) > 0).all(-1) & valid[:, None]
    of_class = probs[:, jnp.clip(classes, 0, probs.shape[1] - 1)].T
    agreement = jnp.where(inside, of_class**alpha * overlap**beta, 0.0)
    best, taken = jax.lax.top_k(agreement, min(candidates, len(points)))
    row = jnp.arange(len(boxes))[:, None]
    candidate = jnp.zeros(agreement.shape, bool).at[row, taken].set(best > 0)

    index = jnp.where(candidate, overlap, -1.0).argmax(0).astype(jnp.int32)
    own = candidate & (jnp.arange(len(boxes))[:, None] == index)
    highest = jnp.where(own, agreement, 0.0).max(1, keepdims=True)
    quality = agreement / jnp.where(highest > 0, highest, 1.0) * jnp.where(own, overlap, 0.0).max(1, keepdims=True)
    return Match(index, own.any(0)), jnp.where(own, quality, 0.0).max(0)
