"""Random rectangles within an image."""

from typing import Generic, NamedTuple, TypeVar

import jax
import jax.numpy as jnp

from effjax.images.keys import whole_below

_TRIES = 10
N = TypeVar("N", jax.Array, int)


class Box(NamedTuple, Generic[N]):
    """A rectangle of whole pixels, each entry a number or an int32 scalar."""

    top: N
    left: N
    height: N
    width: N


def random_box(
    key: jax.Array, height: int, width: int, area: tuple[float, float], ratio: tuple[float, float]
) -> tuple[Box[jax.Array], jax.Array]:
    """Draws a rectangle of random area, shape and place.

    Args:
      key: one PRNG key.
      height: of the image, in pixels.
      width: of the image, in pixels.
      area: the least and the largest area, as a share of the image's; uniform in between.
      ratio: the least and the largest width over height; its logarithm is uniform in between.

    Returns:
      The first of ten rectangles that fits into the image, and whether there is one; if not, the box means nothing.
    """
    # One draw for all: it is the number of calls to the generator that makes a program slow to compile.
    draws = jax.random.uniform(key, (2 * _TRIES + 2,))
    areas = height * width * (area[0] + (area[1] - area[0]) * draws[:_TRIES])
    ratios = ratio[0] * (ratio[1] / ratio[0]) ** draws[_TRIES:-2]
    heights = jnp.round(jnp.sqrt(areas / ratios)).astype(jnp.int32)
    widths = jnp.round(jnp.sqrt(areas * ratios)).astype(jnp.int32)
    fits = (heights > 0) & (heights <= height) & (widths > 0) & (widths <= width)
    first = jnp.argmax(fits)
    box_height, box_width = heights[first], widths[first]
    top, left = whole_below(draws[-2], height - box_height + 1), whole_below(draws[-1], width - box_width + 1)
    return Box(top, left, box_height, box_width), fits.any()


def inside(box: Box[jax.Array], height: int, width: int) -> jax.Array:
    """Which pixels of an image lie in the box: bool ``[height, width, 1]``."""
    rows, columns = jnp.arange(height)[:, None], jnp.arange(width)
    in_rows = (rows >= box.top) & (rows < box.top + box.height)
    return (in_rows & (columns >= box.left) & (columns < box.left + box.width))[..., None]
