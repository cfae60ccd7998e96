"""RandAugment on the device: a few random operations an image, their strength a traced number."""

from functools import partial

import jax
import jax.numpy as jnp

from effjax.errors import check_known
from effjax.images.checks import float_batch
from effjax.images.examples import each_example
from effjax.images.keys import per_example_keys, whole_below
from effjax.images.operations import MAX_LEVEL, TONES, WARPS
from effjax.images.warp import affine, warp

_PROBABILITY = 0.5  # that a drawn operation is carried out
_SPREAD = 0.5  # the standard deviation of an operation's level


def random_augment(
    key: jax.Array,
    images: jax.Array,
    magnitude: jax.typing.ArrayLike,
    *,
    num_ops: int = 2,
    interpolation: str = "bilinear",
) -> jax.Array:
    """Changes each image by operations drawn at random: RandAugment, in the form ``rand-m<magnitude>-mstd0.5-inc1``.

    ``num_ops`` times, one of the fifteen :data:`~effjax.images.operations.OPERATIONS` is drawn and carried out with
    probability ½, at a level of its own from N(magnitude, ½), clipped to 0…10, in a random direction where it has two.
    What happens to an example depends on its key, its pixels and its magnitude alone.

    The ranges at level 10: rotate ±30°, shear ±0.3, translate ±0.45 of the side, posterize to 4 bits at level 0 and
    none at 10, solarize from level 256 down to 0, solarize-add 110 of 255, colour, contrast, brightness and sharpness
    by 1 ± 0.9. Three do not know a level: autocontrast, equalize, invert. Each operation is Pillow's; what a warp
    brings in is ImageNet's mean colour.

    Args:
      key: one PRNG key, or one an example, ``[B]``.
      images: ``[B, H, W, C]`` in [0, 1], not yet normalised; C = 3 or 1, on which colour operations do nothing.
      magnitude: from 0 to 10, one number or one an example ``[B]``. May be traced: one program serves all magnitudes.
      num_ops: how many operations are drawn for each image.
      interpolation: of the warps, "bilinear" or "bicubic".

    Returns:
      ``[B, H, W, C]`` in [0, 1], of the dtype of ``images``.

    Raises:
      AssertionError: if shapes do not fit, or ``images`` are integers.
      UserError: if there is no such interpolation.

    References:
      Cubuk et al., `RandAugment: Practical automated data augmentation <https://arxiv.org/abs/1909.13719>`_, 2020.
      The increasing form of the operations and the spread of the magnitude are those of
      `timm <https://github.com/huggingface/pytorch-image-models>`_ (``timm/data/auto_augment.py``).
    """
    check_known(interpolation, ("bilinear", "bicubic"), f"random_augment: interpolation={interpolation!r}")
    images = float_batch(images)
    keys = per_example_keys(key, len(images))
    magnitudes = jnp.broadcast_to(jnp.asarray(magnitude, jnp.float32), keys.shape)
    one = partial(_augment_one, num_ops=num_ops, interpolation=interpolation)
    changed = each_example(one, keys, images.astype(jnp.float32), magnitudes)
    return changed.astype(images.dtype)


def augment_matrices(
    keys: jax.Array, magnitude: jax.typing.ArrayLike, size: tuple[int, int], *, num_ops: int = 2
) -> jax.Array:
    """What :func:`random_augment` does to places.

    Args:
      keys: ``[B]``.
      magnitude: as there.
      size: (height, width) of the images, in pixels.
      num_ops: as there.

    Returns:
      Maps ``[B, num_ops, 2, 3]``, one after the other, as ``warp`` has them; tones leave all places as they are.
    """
    magnitudes = jnp.broadcast_to(jnp.asarray(magnitude, jnp.float32), keys.shape)

    def matrix(key: jax.Array, magnitude: jax.Array) -> jax.Array:
        choice, level = _drawn(key, magnitude)
        is_warp = (choice >= 0) & (choice < len(WARPS))
        return jnp.where(is_warp, _matrix(choice, level, *size), affine(1, 0, 0, 0, 1, 0))

    turns = jax.vmap(lambda key: jax.random.split(key, num_ops))(keys)
    return jax.vmap(jax.vmap(matrix, (0, None)))(turns, magnitudes)


def _augment_one(
    key: jax.Array, image: jax.Array, magnitude: jax.Array, *, num_ops: int, interpolation: str = "bilinear"
) -> jax.Array:
    def turn(image: jax.Array, key: jax.Array) -> tuple[jax.Array, None]:
        choice, level = _drawn(key, magnitude)
        return _operate(choice, image, level, interpolation), None

    # Rolled, for one copy of the operations to compile.
    return jax.lax.scan(turn, image, jax.random.split(key, num_ops))[0]


def _drawn(key: jax.Array, magnitude: jax.Array) -> tuple[jax.Array, jax.Array]:
    """One of the warps, then of the tones, or -1 for nothing; and its level."""
    for_level, for_rest = jax.random.split(key)
    level = jnp.clip(magnitude + _SPREAD * jax.random.normal(for_level), 0, MAX_LEVEL)
    choice, use, direction = jax.random.uniform(for_rest, (3,))
    choice = jnp.where(use < _PROBABILITY, whole_below(choice, len(WARPS) + len(TONES)), -1)
    return choice, jnp.where(direction < 0.5, level, -level)


def _operate(choice: jax.Array, image: jax.Array, level: jax.Array, interpolation: str) -> jax.Array:
    """Carries out one of the warps, one of the tones, or, for -1, nothing."""
    # All warps are one branch, because each costs a gather, and under vmap every branch runs.
    matrix = _matrix(choice, level, *image.shape[:2])
    branches = [lambda image: image, lambda image: warp(image, matrix, interpolation=interpolation)]
    branches += [lambda image, tone=tone: tone(image, level) for tone in TONES.values()]
    branch = jnp.where(choice < len(WARPS), (choice >= 0).astype(jnp.int32), choice - len(WARPS) + 2)
    return jax.lax.switch(branch, branches, image)


def _matrix(choice: jax.Array, level: jax.Array, height: int, width: int) -> jax.Array:
    return jnp.stack([matrix(level, height, width) for matrix in WARPS.values()])[choice]
