"""Changes that a network may have learnt to ignore: colour, crop. Shifts are :func:`effjax.images.random_crop`.

Each example is changed by its own key, so that what happens to it does not depend on its place in the batch.
"""

import chex
import jax
import jax.numpy as jnp

from effjax.numerics import EXACT

# Luma of red, green and blue, and the two axes of colour around it (ITU-R BT.601).
_TO_YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))


def color_jitter(
    keys: jax.Array, images: jax.Array, *, brightness: float = 0.4, contrast: float = 0.4, hue: float = 0.1
) -> jax.Array:
    """Changes brightness, contrast and, of images in colour, hue.

    Args:
      keys: one PRNG key an example, ``[B]``.
      images: ``[B, H, W, C]`` in ``[0, 1]``; C = 3 is red, green, blue, any other C has no hue.
      brightness: pixels are multiplied by a factor from ``1 - brightness`` to ``1 + brightness``.
      contrast: differences to the mean luminance are multiplied by a factor from ``1 - contrast`` to ``1 + contrast``.
      hue: the largest turn of the colour circle, as a share of it.

    Returns:
      ``[B, H, W, C]`` in ``[0, 1]``.

    Raises:
      AssertionError: if the shapes do not fit.

    References:
      Chen et al., `A Simple Framework for Contrastive Learning <https://arxiv.org/abs/2002.05709>`_, 2020, app. A.
    """
    chex.assert_rank([keys, images], [1, 4])
    chex.assert_equal_shape_prefix([keys, images], 1)
    in_colour = images.shape[-1] == 3

    def jitter(key: jax.Array, image: jax.Array) -> jax.Array:
        for_brightness, for_contrast, for_hue = jax.random.split(key, 3)
        image = jnp.clip(image * (1 + _between(for_brightness, brightness)), 0, 1)
        mean = (image @ jnp.asarray(_TO_YIQ[0]) if in_colour else image).mean()
        image = jnp.clip(mean + (1 + _between(for_contrast, contrast)) * (image - mean), 0, 1)
        if not in_colour:
            return image
        return jnp.clip(_turn_hue(image, _between(for_hue, hue)), 0, 1)

    return jax.vmap(jitter)(keys, images)


def _between(key: jax.Array, bound: float) -> jax.Array:
    return jax.random.uniform(key, (), minval=-bound, maxval=bound)


def _turn_hue(image: jax.Array, share: jax.Array) -> jax.Array:
    """Turns the colours of ``[H, W, 3]`` around the axis of greys."""
    to_yiq = jnp.asarray(_TO_YIQ)
    cos, sin = jnp.cos(2 * jnp.pi * share), jnp.sin(2 * jnp.pi * share)
    turn = jnp.eye(3).at[1, 1].set(cos).at[1, 2].set(-sin).at[2, 1].set(sin).at[2, 2].set(cos)
    matrix = jnp.linalg.inv(to_yiq) @ turn @ to_yiq
    return jnp.einsum("hwc,dc->hwd", image, matrix, precision=EXACT)


def random_resized_crop(keys: jax.Array, images: jax.Array, *, min_area: float = 0.5) -> jax.Array:
    """Cuts a part of random area and place out of each image, of the image's own shape, and enlarges it to the size.

    Args:
      keys: one PRNG key an example, ``[B]``.
      images: ``[B, H, W, C]``.
      min_area: the smallest share of the area that is kept, in ``(0, 1]``.

    Returns:
      ``[B, H, W, C]``.

    Raises:
      AssertionError: if the shapes do not fit.

    References:
      Szegedy et al., `Going Deeper with Convolutions <https://arxiv.org/abs/1409.4842>`_, 2015, sec. 6.
    """
    chex.assert_rank([keys, images], [1, 4])
    chex.assert_equal_shape_prefix([keys, images], 1)
    size = jnp.asarray(images.shape[1:3], jnp.float32)

    def crop(key: jax.Array, image: jax.Array) -> jax.Array:
        for_area, for_place = jax.random.split(key)
        side = jnp.sqrt(jax.random.uniform(for_area, (), minval=min_area, maxval=1.0))
        start = jax.random.uniform(for_place, (2,)) * (1 - side) * size
        scale = jnp.full((2,), 1 / side)
        return jax.image.scale_and_translate(image, image.shape, (0, 1), scale, -start * scale, "linear")

    return jax.vmap(crop)(keys, images.astype(jnp.float32))
