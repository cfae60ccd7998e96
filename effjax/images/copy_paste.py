"""Objects of one image pasted into another, with their boxes."""

from collections.abc import Mapping
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from effjax.images.checks import float_batch
from effjax.images.keys import per_example_keys
from effjax.typing import Array

LEAST = 0.25  # of its area, that an object must still show to be one


class _Image(NamedTuple):
    """One example: pixels ``[H, W, C]``, boxes ``[N, 4]``, which of them there are ``[N]``."""

    pixels: jax.Array
    boxes: jax.Array
    valid: jax.Array


def copy_paste(
    key: jax.Array,
    images: Array,
    boxes: Array,
    valid: Array,
    others: Mapping[str, Array] | None = None,
    *,
    probability: float = 0.5,
) -> tuple[jax.Array, jax.Array, jax.Array, dict[str, jax.Array]]:
    """Pastes objects of each image's neighbour into it, where they are there, as rectangles.

    The neighbour of example i is i XOR 1, as for :func:`cutmix`; the last of an odd batch stays as it is. Each of the
    neighbour's objects is pasted with ``probability``. An object that shows less than a quarter of its area afterwards
    is lost: one of the image's own that was pasted over. One of the neighbour's that was not drawn, but of which most
    came along with those that were, is an object of the new image, too. An image that had more objects than there is
    room for afterwards stays as it was.

    Args:
      key: one PRNG key, or one an example, ``[B]``.
      images: ``[B, H, W, C]``, float.
      boxes: ``[B, N, 4]``: y0, x0, y1, x1 in [0, 1].
      valid: ``[B, N]``: which of them there are.
      others: what else is known of the objects, such as their classes, ``[B, N, ...]`` each.
      probability: of an object to be pasted.

    Returns:
      Images, boxes, valid and the others, of the shapes and types given. The image's own objects come first.

    Raises:
      AssertionError: if shapes do not fit, or ``images`` are integers.

    Example:
      >>> images = jnp.zeros((2, 8, 8, 1)).at[1, 2:4, 2:6].set(1.0)
      >>> boxes = jnp.array([[[0.0, 0, 0, 0]], [[0.25, 0.25, 0.5, 0.75]]])
      >>> pasted, boxes, valid, _ = copy_paste(
      ...     jax.random.key(0), images, boxes, jnp.array([[False], [True]]), probability=1.0)
      >>> pasted.sum((1, 2, 3)).tolist(), boxes[0].tolist(), valid.tolist()
      ([8.0, 8.0], [[0.25, 0.25, 0.5, 0.75]], [[True], [True]])

    References:
      Ghiasi et al, 2021, Simple Copy-Paste is a Strong Data Augmentation Method for Instance Segmentation,
      https://arxiv.org/abs/2012.07177 (of masks); Dwibedi et al, 2017, Cut, Paste and Learn,
      https://arxiv.org/abs/1708.01642
    """
    images, boxes, valid = float_batch(jnp.asarray(images)), jnp.asarray(boxes), jnp.asarray(valid)
    chex.assert_shape([boxes, valid], [(len(images), None, 4), (len(images), boxes.shape[1])])
    fields = {name: jnp.asarray(array) for name, array in (others or {}).items()}
    keys, even = per_example_keys(key, len(images)), len(images) // 2 * 2
    partner = jnp.where(jnp.arange(len(images)) < even, jnp.arange(len(images)) ^ 1, jnp.arange(len(images)))
    has_partner = partner != jnp.arange(len(images))

    def one(
        key: jax.Array,
        own: _Image,
        other: _Image,
        own_rest: dict[str, jax.Array],
        other_rest: dict[str, jax.Array],
        paired: jax.Array,
    ):
        drawn = other.valid.astype(bool) & jax.random.bernoulli(key, probability, other.valid.shape) & paired
        pasted, left, came = _pasted(own, other, drawn)
        shown = jnp.concatenate([left, came])
        room = own.valid.shape[0]
        fits = (shown.sum() <= room) & drawn.any()
        order = jnp.argsort(~shown, stable=True)[:room]

        def joined(own_field: jax.Array, other_field: jax.Array) -> jax.Array:
            both = jnp.concatenate([own_field, other_field])[order]
            there = shown[order].reshape(-1, *[1] * (both.ndim - 1))
            return jnp.where(fits, jnp.where(there, both, jnp.zeros_like(both)), own_field)

        rest = jax.tree.map(joined, own_rest, other_rest)
        new_valid = jnp.where(fits, shown[order], own.valid.astype(bool)).astype(own.valid.dtype)
        return jnp.where(fits, pasted, own.pixels), joined(own.boxes, other.boxes), new_valid, rest

    own = _Image(images, boxes, valid)
    there = jax.tree.map(lambda x: x[partner], (own, fields))
    return jax.vmap(one)(keys, own, there[0], fields, there[1], has_partner)


def _pasted(own: _Image, other: _Image, drawn: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The pixels with the drawn boxes of the other image, and which objects show: the image's own, the other's."""
    height, width = own.pixels.shape[:2]
    covered = (_inside(other.boxes, height, width) & drawn[:, None, None]).any(0)
    pixels = jnp.where(covered[..., None], other.pixels, own.pixels)
    left = own.valid.astype(bool) & (1 - _share(own.boxes, covered) >= LEAST)
    came = other.valid.astype(bool) & (_share(other.boxes, covered) > 1 - LEAST)
    return pixels, left, drawn | came


def _inside(boxes: jax.Array, height: int, width: int) -> jax.Array:
    """Which pixels have their centre in each of the boxes, ``[N, H, W]``."""
    y, x = (jnp.arange(height) + 0.5) / height, (jnp.arange(width) + 0.5) / width
    rows = (y >= boxes[:, :1]) & (y <= boxes[:, 2:3])
    columns = (x >= boxes[:, 1:2]) & (x <= boxes[:, 3:])
    return rows[:, :, None] & columns[:, None, :]


def _share(boxes: jax.Array, mask: jax.Array) -> jax.Array:
    """The share of each box's pixels that a mask ``[H, W]`` has, ``[N]``; 0 of a box without a pixel."""
    inside = _inside(boxes, *mask.shape)
    return (inside & mask).sum((1, 2)) / jnp.maximum(inside.sum((1, 2)), 1)
