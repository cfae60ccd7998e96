"""What a network says of parts of an image, at several scales, and where the parts and the whole disagree."""

import chex
import jax
import jax.numpy as jnp

from effjax.errors import UserError
from effjax.losses.pooling import averaged
from effjax.numerics import at_least_float32

_SIDES = (1, 2, 4)  # the authors' M: into how many rows and columns of parts an image is cut, at each scale


def region_logits(class_maps: jax.Array, *, finest: int = 4) -> jax.Array:
    """The logits of an image as a whole, of its quarters and its sixteenths, for scale decoupled distillation (SDD).

    A linear classifier of averages says of a part of an image the average of what it says of the places there. Maps
    are averaged to 4×4 first, as the authors' code does it: parts of a map of 7×7 overlap.

    Args:
      class_maps: what the classifier says of each place, ``[B, H, W, K]``: the tap ``class_maps``.
      finest: into how many rows and columns the finest scale cuts an image, 2 or 4.

    Returns:
      ``[B, R, K]``, the whole first: R is 5 with ``finest=2``, and 21 with 4.

    Raises:
      AssertionError: if there are no maps.
      UserError: if there is no such scale.

    Example:
      >>> maps = jnp.arange(4.0).reshape(1, 2, 2, 1)
      >>> region_logits(maps, finest=2)[0, :, 0]  # the whole, its upper left, upper right, lower left, lower right
      Array([1.5, 0. , 1. , 2. , 3. ], dtype=float32)

    References:
      Wei et al., `Scale Decoupled Distillation <https://arxiv.org/abs/2403.13512>`_, 2024; `its code
      <https://github.com/shicaiwei123/SDD-CVPR2024>`_, ``mdistiller/models/cifar/utils.py``, ``SPP``.
    """
    if finest not in _SIDES[1:]:
        raise UserError(f"finest={finest!r}; allowed: 2, 4")
    chex.assert_rank(class_maps, 4)
    most = averaged(at_least_float32(jnp.asarray(class_maps)), _SIDES[-1], _SIDES[-1])
    batch, classes = len(most), most.shape[-1]
    scales = (averaged(most, side, side).reshape(batch, side * side, classes) for side in _SIDES if side <= finest)
    return jnp.concatenate(list(scales), 1)


def region_weights(teacher_regions: jax.Array, labels: jax.Array, *, complementary: float = 2.0) -> jax.Array:
    """What each part of an image counts for: more where the teacher is right of it alone, or of the whole alone.

    Such parts hold what the whole does not say (complementary knowledge); the others count 1 (consistent knowledge).

    Args:
      teacher_regions: the teacher's logits, ``[B, R, K]``, of the whole image first.
      labels: classes ``[B]``.
      complementary: what parts count for of which the teacher is right and not of the whole, or the reverse.

    Returns:
      ``[B, R]``.

    Raises:
      AssertionError: if the shapes do not fit.

    Example:
      >>> regions = jnp.array([[[0.0, 1.0], [1.0, 0.0], [0.0, 2.0]]])  # right of the whole and of the second part
      >>> region_weights(regions, jnp.array([1]))
      Array([[1., 2., 1.]], dtype=float32)

    References:
      As of :func:`region_logits`; ``mdistiller/distillers/KD.py``, ``sdd_kd_loss``.
    """
    chex.assert_rank(teacher_regions, 3)
    chex.assert_shape(labels, teacher_regions.shape[:1])
    right = jnp.argmax(jax.lax.stop_gradient(teacher_regions), -1) == jnp.asarray(labels)[:, None]
    return jnp.where(right == right[:, :1], jnp.float32(1.0), jnp.float32(complementary))
