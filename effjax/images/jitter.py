"""Random changes of colour and sharpness on the device: colour jitter, and one of DeiT III's three."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from effjax.images import color
from effjax.images.blur import gaussian_blur
from effjax.images.checks import float_batch
from effjax.images.examples import each_example
from effjax.images.keys import per_example_keys, whole_below

_JITTERED = (color.brightness, color.contrast, color.saturation)
_SOLARIZED_FROM = 128  # of 255
_RADII = 0.1, 2.0


def color_jitter(key: jax.Array, images: jax.Array, strength: float) -> jax.Array:
    """Changes brightness, contrast and saturation of each image, in random order, by factors of its own.

    The factors are uniform between 1 − ``strength`` and 1 + ``strength``; the three are Pillow's, as torchvision's
    ``ColorJitter(strength, strength, strength)`` applies them.

    Args:
      key: one PRNG key, or one an example, ``[B]``.
      images: ``[B, H, W, C]`` in [0, 1], C = 3 or 1, which has no saturation.
      strength: 0 to 1.

    Returns:
      ``[B, H, W, C]`` in [0, 1], of the dtype of ``images``.

    Raises:
      AssertionError: if shapes do not fit, or ``images`` are integers.

    Example:
      >>> grey = jnp.full((2, 4, 4, 3), 0.5)
      >>> bool((abs(color_jitter(jax.random.key(0), grey, 0.4) - 0.5) <= 0.2).all())
      True
    """

    def jitter(key: jax.Array, image: jax.Array) -> jax.Array:
        draws = jax.random.uniform(key, (2, len(_JITTERED)))
        factors = 1 + strength * (2 * draws[0] - 1)

        def turn(image: jax.Array, which: jax.Array) -> tuple[jax.Array, None]:
            return jax.lax.switch(which, _JITTERED, image, factors[which]), None

        return jax.lax.scan(turn, image, jnp.argsort(draws[1]))[0]

    return _each(jitter, key, images)


def three_augment(key: jax.Array, images: jax.Array) -> jax.Array:
    """Changes each image in one of three ways, which are as likely: grey, solarised, or blurred.

    Solarised are levels from 128 on; the blur is Gaussian, its deviation uniform between 0.1 and 2 pixels. After a crop
    and a flip, and before colour jitter of 0.3, this is DeiT III's 3-Augment.

    Args:
      key: one PRNG key, or one an example, ``[B]``.
      images: ``[B, H, W, C]`` in [0, 1], C = 3 or 1, which is grey.

    Returns:
      ``[B, H, W, C]`` in [0, 1], of the dtype of ``images``.

    Raises:
      AssertionError: if shapes do not fit, or ``images`` are integers.

    Example:
      >>> white = jnp.ones((8, 4, 4, 3))
      >>> sorted(set(three_augment(jax.random.key(0), white)[:, 0, 0, 0].round(3).tolist()))  # solarised it is black
      [0.0, 1.0]

    References:
      Touvron et al., `DeiT III: Revenge of the ViT <https://arxiv.org/abs/2204.07118>`_, 2022, sec. 3.2.
    """

    def augment(key: jax.Array, image: jax.Array) -> jax.Array:
        choice, share = jax.random.uniform(key, (2,))
        radius = _RADII[0] + (_RADII[1] - _RADII[0]) * share
        ways = [
            lambda image: jnp.broadcast_to(color.luma(image), image.shape),
            lambda image: color.solarize(image, jnp.asarray(_SOLARIZED_FROM)),
            lambda image: gaussian_blur(image, radius),
        ]
        return jax.lax.switch(whole_below(choice, len(ways)), ways, image)

    return _each(augment, key, images)


def _each(change: Callable[[jax.Array, jax.Array], jax.Array], key: jax.Array, images: jax.Array) -> jax.Array:
    images = float_batch(images)
    keys = per_example_keys(key, len(images))
    return each_example(change, keys, images.astype(jnp.float32)).astype(images.dtype)
