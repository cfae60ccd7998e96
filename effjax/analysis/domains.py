"""Images such as no network was trained on, which still show something: do two networks answer alike on them?

All take and return images ``[B, H, W, C]`` in ``[0, 1]``.
"""

import functools
import math

import chex
import jax
import jax.numpy as jnp

_SOBEL = ((1.0, 2.0, 1.0), (-1.0, 0.0, 1.0))  # smooth along an edge, differentiate across


def invert(images: jax.Array) -> jax.Array:
    """Black for white: the negative.

    Args:
      images: ``[B, H, W, C]`` in ``[0, 1]``.

    Returns:
      ``[B, H, W, C]``.

    Example:
      >>> invert(jnp.array([[[[0.0], [0.75]]]])).ravel()
      Array([1.  , 0.25], dtype=float32)
    """
    return 1.0 - images


def edges(images: jax.Array) -> jax.Array:
    """The strength of the gradient (Sobel) of each channel, scaled so that each image's strongest edge is 1.

    Args:
      images: ``[B, H, W, C]``.

    Returns:
      ``[B, H, W, C]`` in ``[0, 1]``; 0 everywhere in an image without edges.

    Raises:
      AssertionError: if the shapes do not fit.
    """
    chex.assert_rank(images, 4)
    smooth, across = _SOBEL
    vertical = _filter(_filter(images, across, 1), smooth, 2)
    horizontal = _filter(_filter(images, smooth, 1), across, 2)
    strength = jnp.sqrt(jnp.square(vertical) + jnp.square(horizontal))
    strongest = strength.max((1, 2, 3), keepdims=True)
    return strength / jnp.where(strongest > 0, strongest, 1.0)


def add_noise(keys: jax.Array, images: jax.Array, *, deviation: float = 0.3) -> jax.Array:
    """Adds Gaussian noise to each pixel, and cuts off at 0 and 1.

    Args:
      keys: one PRNG key an example, ``[B]``.
      images: ``[B, H, W, C]``.
      deviation: the standard deviation of the noise.

    Returns:
      ``[B, H, W, C]``.

    Raises:
      AssertionError: if the shapes do not fit.
    """
    chex.assert_rank([keys, images], [1, 4])
    chex.assert_equal_shape_prefix([keys, images], 1)
    noise = jax.vmap(lambda key: jax.random.normal(key, images.shape[1:]))(keys)
    return jnp.clip(images + deviation * noise, 0.0, 1.0)


def blur(images: jax.Array, *, share: float = 0.06) -> jax.Array:
    """Blurs by a Gaussian whose standard deviation is a share of the shorter side.

    Args:
      images: ``[B, H, W, C]``.
      share: of the shorter side.

    Returns:
      ``[B, H, W, C]``.

    Raises:
      AssertionError: if the shapes do not fit.

    Example:
      >>> blur(jnp.full((1, 8, 8, 1), 0.5)).max()  # a constant stays
      Array(0.5, dtype=float32)
    """
    chex.assert_rank(images, 4)
    sigma = share * min(images.shape[1:3])
    reach = max(1, round(3 * sigma))
    weights = [math.exp(-0.5 * (i / sigma) ** 2) for i in range(-reach, reach + 1)]
    kernel = tuple(weight / sum(weights) for weight in weights)
    return _filter(_filter(images, kernel, 1), kernel, 2)


def shuffle_patches(keys: jax.Array, images: jax.Array, *, patches: int = 4) -> jax.Array:
    """Cuts each image into ``patches`` × ``patches`` tiles and puts them together in random order: textures, no shapes.

    Rows and columns that are left over at the far sides stay where they are.

    Args:
      keys: one PRNG key an example, ``[B]``.
      images: ``[B, H, W, C]``, at least ``patches`` pixels high and wide.
      patches: tiles a side.

    Returns:
      ``[B, H, W, C]``, with the same pixels.

    Raises:
      AssertionError: if the shapes do not fit.

    References:
      Naseer et al., `Intriguing Properties of Vision Transformers <https://arxiv.org/abs/2105.10497>`_, 2021, sec. 3.1.
    """
    chex.assert_rank([keys, images], [1, 4])
    chex.assert_equal_shape_prefix([keys, images], 1)
    height, width, channels = images.shape[1] // patches, images.shape[2] // patches, images.shape[3]

    def shuffle(key: jax.Array, image: jax.Array) -> jax.Array:
        whole = image[: patches * height, : patches * width]
        tiles = whole.reshape(patches, height, patches, width, channels).swapaxes(1, 2)
        tiles = jax.random.permutation(key, tiles.reshape(patches**2, height, width, channels))
        tiles = tiles.reshape(patches, patches, height, width, channels).swapaxes(1, 2)
        return image.at[: patches * height, : patches * width].set(tiles.reshape(whole.shape))

    return jax.vmap(shuffle)(keys, images)


def _filter(images: jax.Array, kernel: tuple[float, ...], axis: int) -> jax.Array:
    """Correlates along an axis; beyond the border the outermost pixels go on."""
    reach = len(kernel) // 2
    padding = [(reach, reach) if i == axis else (0, 0) for i in range(images.ndim)]
    padded = jnp.pad(images, padding, mode="edge")
    size = images.shape[axis]
    shifted = (jax.lax.slice_in_dim(padded, i, i + size, axis=axis) for i in range(len(kernel)))
    return functools.reduce(jnp.add, (weight * part for weight, part in zip(kernel, shifted, strict=True)))
