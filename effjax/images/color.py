"""Changes of one image's tones and colours, as Pillow makes them on bytes: its 256 levels, in [0, 1].

Where a function reads whole levels (a threshold, a histogram) a pixel counts as its nearest level; all else is
continuous, so that images that a warp or a blend took off the levels lose nothing, and gradients flow.
"""

import jax
import jax.numpy as jnp

_LEVELS = 256
_LUMA = (0.299, 0.587, 0.114)  # of red, green and blue (ITU-R BT.601)


def autocontrast(image: jax.Array) -> jax.Array:
    """Stretches each channel of ``[H, W, C]`` to the whole range; a constant channel stays as it is."""
    low, high = image.min((0, 1)), image.max((0, 1))
    constant = high <= low
    return jnp.where(constant, image, (image - low) / jnp.where(constant, 1, high - low))


def equalize(image: jax.Array) -> jax.Array:
    """Makes the histogram of each channel of ``[H, W, C]`` as flat as Pillow does. Gradients are zero."""
    levels = _levels(image)
    bins = levels + _LEVELS * jnp.arange(image.shape[-1])
    counts = jnp.zeros(_LEVELS * image.shape[-1], jnp.int32).at[bins].add(1).reshape(-1, _LEVELS)
    before = jnp.cumsum(counts, -1) - counts
    last = jnp.take_along_axis(counts, levels.max((0, 1))[:, None], -1)
    step = (counts.sum(-1, keepdims=True) - last) // (_LEVELS - 1)
    table = jnp.minimum((step // 2 + before) // jnp.maximum(step, 1), _LEVELS - 1) / (_LEVELS - 1)
    return jnp.where(step[:, 0] == 0, image, table.reshape(-1)[bins].astype(image.dtype))


def invert(image: jax.Array) -> jax.Array:
    """The negative of ``[H, W, C]``."""
    return 1 - image


def posterize(image: jax.Array, bits: jax.Array) -> jax.Array:
    """Keeps the ``bits`` (0 to 8) highest bits of each level of ``[H, W, C]``. Gradients are zero."""
    dropped = 8 - jnp.asarray(bits, jnp.int32)
    return ((_levels(image) >> dropped) << dropped).astype(image.dtype) / (_LEVELS - 1)


def solarize(image: jax.Array, threshold: jax.Array) -> jax.Array:
    """Inverts the pixels of ``[H, W, C]`` from level ``threshold`` (0 to 256) on."""
    return jnp.where(_levels(image) < threshold, image, 1 - image)


def solarize_add(image: jax.Array, levels: jax.Array) -> jax.Array:
    """Adds ``levels`` to the pixels of ``[H, W, C]`` that are below level 128."""
    return jnp.where(_levels(image) < _LEVELS // 2, jnp.minimum(image + levels / (_LEVELS - 1), 1), image)


def saturation(image: jax.Array, factor: jax.Array) -> jax.Array:
    """Blends ``[H, W, C]`` with its grey version, of which it keeps 1 − ``factor``; grey images have no colour."""
    return image if image.shape[-1] == 1 else _blend(luma(image), image, factor)


def contrast(image: jax.Array, factor: jax.Array) -> jax.Array:
    """Blends ``[H, W, C]`` with its mean luma, a whole level, through which no gradient flows."""
    total = _levels(luma(image)).sum()  # whole numbers: the sum is the same in any order
    mean = jnp.floor(total / (image.shape[0] * image.shape[1]) + 0.5) / (_LEVELS - 1)
    return _blend(mean.astype(image.dtype), image, factor)


def brightness(image: jax.Array, factor: jax.Array) -> jax.Array:
    """Blends ``[H, W, C]`` with black."""
    return _blend(0, image, factor)


def sharpness(image: jax.Array, factor: jax.Array) -> jax.Array:
    """Blends ``[H, W, C]`` with its 3×3 mean, the centre counted five times; pixels at the edge stay."""
    rows = image[:-2] + image[1:-1] + image[2:]
    box = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]
    smooth = image.at[1:-1, 1:-1].set((box + 4 * image[1:-1, 1:-1]) / 13)
    return _blend(smooth, image, factor)


def _blend(other: jax.Array | float, image: jax.Array, factor: jax.Array) -> jax.Array:
    return jnp.clip(other + factor * (image - other), 0, 1)


def _levels(image: jax.Array) -> jax.Array:
    return jnp.clip(jnp.round(image * (_LEVELS - 1)), 0, _LEVELS - 1).astype(jnp.int32)


def luma(image: jax.Array) -> jax.Array:
    """How bright each pixel of ``[H, W, C]`` is, ``[H, W, 1]``."""
    if image.shape[-1] == 1:
        return image
    red, green, blue = (share * image[..., c : c + 1] for c, share in enumerate(_LUMA))
    return red + green + blue
