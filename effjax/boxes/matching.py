"""Which point of an image predicts which of its boxes."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from effjax.boxes.checks import check_shape, coordinates
from effjax.boxes.iou import area
from effjax.boxes.points import encode
from effjax.typing import Array


class Match(NamedTuple):
    """What each point should predict.

    Attributes:
      index: int32 ``[P]``, of a box; 0 where there is none.
      positive: ``[P]`` booleans: whether there is one; other points are background.
    """

    index: jax.Array  # pyright: ignore[reportIncompatibleMethodOverride] (tuples have a method of this name)
    positive: jax.Array


def match(points: Array, boxes: Array, valid: Array, *, reach: Array, sizes: Array | None = None) -> Match:
    """FCOS' assignment with centre sampling: a box belongs to the points in it that are near its centre.

    Of several boxes a point takes the smallest; of equal ones the first.

    Args:
      points: ``[P, 2]``, y and x.
      boxes: ``[M, 4]``, M at least 1.
      valid: ``[M]`` booleans, false on padding.
      reach: ``[P, 2]``, or ``[2]`` for all: how far from its centre, in y and in x, a box is predicted: usually 1.5
        cells of the point's feature map.
      sizes: ``[P, 2]``: the least and the largest that may be the distance to the farthest side of a box, in [0, 1]
        like the boxes: which boxes are predicted from which level of a pyramid. None takes all.

    Returns:
      The match, of P points.

    Raises:
      UserError: if the shapes do not fit.

    Example:
      >>> whole, corner = [0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 0.5, 0.5]
      >>> points = jnp.array([[0.25, 0.25], [0.5, 0.5], [0.9, 0.9]])
      >>> match(points, jnp.array([whole, corner]), jnp.array([True, True]), reach=jnp.array([0.3, 0.3]))
      Match(index=Array([1, 0, 0], dtype=int32), positive=Array([ True,  True, False], dtype=bool))

    References:
      Tian et al., `FCOS: A Simple and Strong Anchor-free Object Detector <https://arxiv.org/abs/2006.09214>`_, 2020,
      sec. 3.1 and 3.2 (centre sampling).
    """
    points, boxes, valid = coordinates("points", points, 2), coordinates("boxes", boxes), jnp.asarray(valid, bool)
    check_shape("valid", valid, boxes.shape[:1], "one for each box")
    if (reach := coordinates("reach", reach, 2)).ndim > 1:
        check_shape("reach", reach, points.shape, "one for each point")
    distances = encode(points[:, None], boxes)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    near = (jnp.abs(points[:, None] - centres) < reach.reshape(-1, 1, 2)).all(-1)
    fits = (distances > 0).all(-1) & near & valid
    if sizes is not None:
        sizes = jnp.asarray(sizes)
        check_shape("sizes", sizes, points.shape, "the least and the largest for each point")
        farthest = distances.max(-1)
        fits &= (farthest >= sizes[:, :1]) & (farthest <= sizes[:, 1:])
    smallest = jnp.where(fits, area(boxes), jnp.inf)
    return Match(smallest.argmin(-1).astype(jnp.int32), fits.any(-1))
