"""Mixup and CutMix: two examples become two that share their pixels and their labels.

The partner of example i is i XOR 1, its neighbour. Batches are shuffled, so that a neighbour is a random partner; and
since both lie on one device however the batch is cut, into even parts, the result is the same on any number of devices.
Both get the same share of each other, drawn from the key of the pair's first. The last of an odd batch stays alone.
"""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

from effjax.errors import UserError
from effjax.images.boxes import Box, inside
from effjax.images.checks import float_batch
from effjax.images.keys import per_example_keys, whole_below

_MixPair = Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]


def mixup(key: jax.Array, images: jax.Array, labels: jax.Array, *, alpha: float = 0.8) -> tuple[jax.Array, jax.Array]:
    """Blends each image and its label with its neighbour's: λ of its own and 1 − λ of the other's, λ ~ Beta(α, α).

    The partner of example i is i XOR 1, with the same λ, from the key of the pair's first; the last of an odd batch
    stays as it is. Given a key an example, a batch that
    is cut into even parts is mixed the same on any number of devices.

    Args:
      key: one PRNG key, or one an example, ``[B]``.
      images: ``[B, H, W, C]``, float, normalised or not.
      labels: distributions over the classes, ``[B, K]``.
      alpha: the smaller, the closer λ is to 0 or 1.

    Returns:
      Images ``[B, H, W, C]`` and labels ``[B, K]``, of the dtypes given.

    Raises:
      AssertionError: if shapes do not fit, or ``images`` are integers.
      UserError: if labels are integers.

    Example:
      >>> images, labels = jnp.array([0.0, 1.0]).reshape(2, 1, 1, 1), jnp.eye(2)
      >>> mixed, weights = mixup(jax.random.key(0), images, labels)
      >>> bool(jnp.allclose(mixed.ravel(), weights[:, 1]))  # a pixel is as much of the other as its label
      True

    References:
      Zhang et al., `mixup: Beyond Empirical Risk Minimization <https://arxiv.org/abs/1710.09412>`_, 2018.
    """

    def mix(key: jax.Array, pair: jax.Array) -> tuple[jax.Array, jax.Array]:
        own = jax.random.beta(key, alpha, alpha)
        return _blend(pair, own), own

    return _mix_pairs(mix, key, images, labels)


def cutmix(key: jax.Array, images: jax.Array, labels: jax.Array, *, alpha: float = 1.0) -> tuple[jax.Array, jax.Array]:
    """Swaps a random box between neighbours; labels are blended by the area that each keeps.

    The box has the image's shape, a share 1 − λ of its area, λ ~ Beta(α, α), and its centre anywhere; what reaches
    beyond the image is cut off, and labels follow the area that is left. The partner of example i is i XOR 1, with the
    same box, from the key of the pair's first; the last of an odd batch stays as it is. Given a key an
    example, a batch that is cut into even parts is mixed the same on any number of devices.

    Args:
      key: one PRNG key, or one an example, ``[B]``.
      images: ``[B, H, W, C]``, float, normalised or not.
      labels: distributions over the classes, ``[B, K]``.
      alpha: the smaller, the closer λ is to 0 or 1.

    Returns:
      Images ``[B, H, W, C]`` and labels ``[B, K]``, of the dtypes given.

    Raises:
      AssertionError: if shapes do not fit, or ``images`` are integers.
      UserError: if labels are integers.

    Example:
      >>> images, labels = jnp.array([0.0, 1.0])[:, None, None, None] * jnp.ones((2, 8, 8, 1)), jnp.eye(2)
      >>> mixed, weights = cutmix(jax.random.key(0), images, labels)
      >>> bool(jnp.allclose(mixed.mean((1, 2, 3)), weights[:, 1]))  # labels follow the area
      True

    References:
      Yun et al., `CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features
      <https://arxiv.org/abs/1905.04899>`_, 2019.
    """
    height, width = images.shape[1:3]

    def mix(key: jax.Array, pair: jax.Array) -> tuple[jax.Array, jax.Array]:
        for_share, for_place = jax.random.split(key)
        row, column = jax.random.uniform(for_place, (2,))
        side = jnp.sqrt(1 - jax.random.beta(for_share, alpha, alpha))
        top, box_height = _stretch(row, side, height)
        left, box_width = _stretch(column, side, width)
        mixed = jnp.where(inside(Box(top, left, box_height, box_width), height, width), pair[::-1], pair)
        return mixed, 1 - box_height * box_width / (height * width)

    return _mix_pairs(mix, key, images, labels)


def _mix_pairs(mix: _MixPair, key: jax.Array, images: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Applies ``mix`` (key, ``[2, H, W, C]``) -> (mixed, share of its own that each keeps) to each pair."""
    images = float_batch(images)
    labels = jnp.asarray(labels)
    if not jnp.issubdtype(labels.dtype, jnp.floating):
        raise UserError(f"labels of dtype {labels.dtype} cannot be mixed: give distributions [B, K], as jax.nn.one_hot")
    chex.assert_shape(labels, (len(images), None))
    keys = per_example_keys(key, len(images))
    even = len(images) // 2 * 2
    mixed, own = jax.vmap(mix)(keys[:even:2], _paired(images[:even].astype(jnp.float32)))
    blended = jax.vmap(_blend)(_paired(labels[:even].astype(jnp.float32)), own)
    return _rejoined(mixed, images), _rejoined(blended, labels)


def _blend(pair: jax.Array, own: jax.Array) -> jax.Array:
    return own * pair + (1 - own) * pair[::-1]


def _stretch(draw: jax.Array, share: jax.Array, side: int) -> tuple[jax.Array, jax.Array]:
    """About ``share`` of ``side``, around the pixel at ``draw`` of it: its start, and its length after the cut."""
    half = jnp.round(share * side / 2).astype(jnp.int32)
    center = whole_below(draw, side)
    start = jnp.maximum(center - half, 0)
    return start, jnp.minimum(center + half, side) - start


def _paired(x: jax.Array) -> jax.Array:
    return x.reshape(len(x) // 2, 2, *x.shape[1:])


def _rejoined(pairs: jax.Array, whole: jax.Array) -> jax.Array:
    mixed = pairs.reshape(-1, *whole.shape[1:]).astype(whole.dtype)
    return jnp.concatenate([mixed, whole[len(mixed) :]])
