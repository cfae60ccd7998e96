"""From stored pixels to what a network sees: scale, normalise, augment, all on the device."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from effjax import images as ops

Augment = Callable[[jax.Array, jax.Array], jax.Array]


@dataclasses.dataclass(frozen=True)
class View:
    """How uint8 images become a network's input.

    Attributes:
      mean: subtracted from pixels in ``[0, 1]``, one a channel.
      std: divided by, one a channel.
      shift: the largest random shift while training, in pixels; 0 is off.
      flip: whether to mirror at random while training.
    """

    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    shift: int = 0
    flip: bool = False

    @property
    def is_random(self) -> bool:
        """Whether training sees an image differently from step to step."""
        return bool(self.shift or self.flip)

    def __call__(self, images: jax.Array, keys: jax.Array | None = None) -> jax.Array:
        """Maps uint8 ``[B, H, W, C]`` to float32 ``[B, H, W, C]``, augmented only if ``keys`` ``[B]`` are given."""
        if keys is not None and self.flip:
            images = ops.random_flip(jax.vmap(jax.random.fold_in, (0, None))(keys, 0), images)
        if keys is not None and self.shift:
            images = ops.random_crop(jax.vmap(jax.random.fold_in, (0, None))(keys, 1), images, self.shift)
        scaled = images.astype(jnp.float32) / 255.0
        return (scaled - jnp.asarray(self.mean)) / jnp.asarray(self.std)
