"""Random erasing on the device."""

import jax
import jax.numpy as jnp

from effjax.images.boxes import inside, random_box
from effjax.images.checks import float_batch
from effjax.images.examples import each_example
from effjax.images.keys import per_example_keys


def random_erasing(
    key: jax.Array,
    images: jax.Array,
    *,
    probability: float = 0.25,
    area: tuple[float, float] = (0.02, 1 / 3),
    ratio: float = 0.3,
) -> jax.Array:
    """Puts noise in place of a random box of each image.

    Each pixel and channel of the box is drawn anew from a normal distribution with the mean and the deviation of the
    image's own channel. So images may be normalised before or after, and the result is the same; on normalised images
    it is, on the average, timm's mode ``pixel``. The noise leaves the range of the pixels and is not clipped.

    Args:
      key: one PRNG key, or one an example, ``[B]``.
      images: ``[B, H, W, C]``, float, normalised or not.
      probability: that an image loses a box.
      area: the least and the largest area of a box, as a share of the image's.
      ratio: the least width of a box over its height; the largest is its inverse.

    Returns:
      ``[B, H, W, C]``, of the dtype of ``images``.

    Raises:
      AssertionError: if shapes do not fit, or ``images`` are integers.

    References:
      Zhong et al., `Random Erasing Data Augmentation <https://arxiv.org/abs/1708.04896>`_, 2020.
    """
    images = float_batch(images)
    height, width = images.shape[1:3]

    def erase(key: jax.Array, image: jax.Array) -> jax.Array:
        for_use, for_box, for_noise = jax.random.split(key, 3)
        box, fits = random_box(for_box, height, width, area, (ratio, 1 / ratio))
        use = jax.random.bernoulli(for_use, probability) & fits

        def fill(image: jax.Array) -> jax.Array:
            mean = image.mean((0, 1))
            deviation = jnp.sqrt(jnp.square(image - mean).mean((0, 1)))
            noise = mean + jax.lax.stop_gradient(deviation) * jax.random.normal(for_noise, image.shape)
            return jnp.where(inside(box, height, width), noise, image)

        return jax.lax.cond(use, fill, lambda image: image, image)

    keys = per_example_keys(key, len(images))
    return each_example(erase, keys, images.astype(jnp.float32)).astype(images.dtype)
