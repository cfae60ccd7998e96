"""What augmentation asks of a batch of images."""

import chex
import jax
import jax.numpy as jnp


def float_batch(images: jax.Array) -> jax.Array:
    """Returns ``images`` on the device.

    Raises:
      AssertionError: if they are not ``[B, H, W, C]``, or integers.
    """
    chex.assert_rank(images, 4)
    chex.assert_type(images, float)
    return jnp.asarray(images)
