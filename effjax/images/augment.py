"""Random changes to images, on the device, each example by its own key.

A key an example, not one a batch: what happens to an example then depends on (seed, step, id) alone and not on its
place in the batch or on the number of devices.
"""

import chex
import jax
import jax.numpy as jnp

from effjax.images.keys import per_example_keys
from effjax.images.warp import affine


def random_crop(key: jax.Array, images: jax.Array, padding: int) -> jax.Array:
    """Pads each image with zeros on all sides and cuts it back to its size at a random place: a random shift.

    Args:
      key: one PRNG key, or one an example, ``[B]``.
      images: ``[B, H, W, C]``.
      padding: the largest shift, in pixels.

    Returns:
      ``[B, H, W, C]``.

    Raises:
      AssertionError: if the shapes do not fit.

    Example:
      >>> shifted = random_crop(jax.random.key(0), jnp.ones((1, 2, 2, 1)), padding=4)
      >>> shifted.shape, set(shifted.ravel().tolist()) <= {0.0, 1.0}
      ((1, 2, 2, 1), True)

    References:
      He et al., `Deep Residual Learning <https://arxiv.org/abs/1512.03385>`_, 2016, sec. 4.2 (padding 4 on CIFAR).
    """
    chex.assert_rank(images, 4)
    keys = per_example_keys(key, len(images))
    padded = jnp.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    offsets = _offsets(keys, padding)

    def cut(image: jax.Array, offset: jax.Array) -> jax.Array:
        return jax.lax.dynamic_slice(image, (offset[0], offset[1], 0), images.shape[1:])

    return jax.vmap(cut)(padded, offsets)


def random_flip(key: jax.Array, images: jax.Array) -> jax.Array:
    """Mirrors each image left to right with probability ½.

    Args:
      key: one PRNG key, or one an example, ``[B]``.
      images: ``[B, H, W, C]``.

    Returns:
      ``[B, H, W, C]``.

    Raises:
      AssertionError: if the shapes do not fit.

    Example:
      >>> row = jnp.array([[[[1.0], [2.0]]]])
      >>> flipped = random_flip(jax.random.key(0), jnp.tile(row, (64, 1, 1, 1)))[:, 0, :, 0]
      >>> sorted(set(map(tuple, flipped.tolist())))
      [(1.0, 2.0), (2.0, 1.0)]
    """
    chex.assert_rank(images, 4)
    flip = _flipped(per_example_keys(key, len(images)))
    return jnp.where(flip[:, None, None, None], images[:, :, ::-1], images)


def crop_matrices(keys: jax.Array, padding: int) -> jax.Array:
    """What :func:`random_crop` does to places.

    Args:
      keys: ``[B]``.
      padding: as there.

    Returns:
      Maps ``[B, 2, 3]``, as ``warp`` has them.
    """

    def matrix(offset: jax.Array) -> jax.Array:
        row, column = offset - padding
        return affine(1, 0, column, 0, 1, row)

    return jax.vmap(matrix)(_offsets(keys, padding))


def flip_matrices(keys: jax.Array, width: int) -> jax.Array:
    """What :func:`random_flip` does to places.

    Args:
      keys: ``[B]``.
      width: of the images, in pixels.

    Returns:
      Maps ``[B, 2, 3]``, as ``warp`` has them.
    """
    mirror, stay = affine(-1, 0, width, 0, 1, 0), affine(1, 0, 0, 0, 1, 0)
    return jnp.where(_flipped(keys)[:, None, None], mirror, stay)


def _offsets(keys: jax.Array, padding: int) -> jax.Array:
    return jax.vmap(lambda key: jax.random.randint(key, (2,), 0, 2 * padding + 1))(keys)


def _flipped(keys: jax.Array) -> jax.Array:
    return jax.vmap(jax.random.bernoulli)(keys)
