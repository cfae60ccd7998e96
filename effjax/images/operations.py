"""RandAugment's fifteen operations on one image, each with a strength from 0 to 10."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from effjax.images import color
from effjax.images.warp import rotation, shear_x, shear_y, translation_x, translation_y, warp

MAX_LEVEL = 10.0

Operation = Callable[[jax.Array, jax.Array], jax.Array]


def _share(level: jax.Array) -> jax.Array:
    return jnp.abs(level) / MAX_LEVEL


def _factor(level: jax.Array) -> jax.Array:
    """1 changes nothing; the sign says whether a strong level leads to 1.9 or to 0.1."""
    return jnp.maximum(0.1, 1 + 0.9 * level / MAX_LEVEL)


# How far a warp goes at the given level, as a matrix: (level, height, width) -> [2, 3].
WARPS = {
    "Rotate": lambda level, *size: rotation(30 * level / MAX_LEVEL, *size),
    "ShearX": lambda level, *size: shear_x(0.3 * level / MAX_LEVEL, *size),
    "ShearY": lambda level, *size: shear_y(0.3 * level / MAX_LEVEL, *size),
    "TranslateX": lambda level, *size: translation_x(0.45 * level / MAX_LEVEL, *size),
    "TranslateY": lambda level, *size: translation_y(0.45 * level / MAX_LEVEL, *size),
}

TONES: dict[str, Operation] = {
    "AutoContrast": lambda image, level: color.autocontrast(image),
    "Equalize": lambda image, level: color.equalize(image),
    "Invert": lambda image, level: color.invert(image),
    "Posterize": lambda image, level: color.posterize(image, 4 - jnp.floor(4 * _share(level))),
    "Solarize": lambda image, level: color.solarize(image, 256 - jnp.floor(256 * _share(level))),
    "SolarizeAdd": lambda image, level: color.solarize_add(image, jnp.floor(110 * _share(level))),
    "Color": lambda image, level: color.saturation(image, _factor(level)),
    "Contrast": lambda image, level: color.contrast(image, _factor(level)),
    "Brightness": lambda image, level: color.brightness(image, _factor(level)),
    "Sharpness": lambda image, level: color.sharpness(image, _factor(level)),
}


def _warped(name: str) -> Operation:
    return lambda image, level: warp(image, WARPS[name](level, *image.shape[:2]))


# All by name. An operation takes a float32 image [H, W, C] in [0, 1], C = 1 or 3, and a level from -10 to 10, whose
# sign is the direction where the operation has two (left or right, brighter or darker) and does nothing to the others.
OPERATIONS: dict[str, Operation] = {**{name: _warped(name) for name in WARPS}, **TONES}
