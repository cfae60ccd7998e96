"""From stored pixels to what a network sees: scale, normalise, augment, all on the device."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from effjax import images as ops
from effjax.steps import rng

Augment = Callable[[jax.Array, jax.Array], jax.Array]


@dataclasses.dataclass(frozen=True)
class View:
    """How uint8 images become a network's input.

    Attributes:
      mean: subtracted from pixels in ``[0, 1]``, one a channel.
      std: divided by, one a channel.
      shift: the largest random shift while training, in pixels; 0 is off.
      flip: whether to mirror at random while training.
      replays: 0 draws anew at every step. With R, an example has R augmented versions, and every step takes one of
        them: so what a teacher says of each can be stored, and replayed exactly.
    """

    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    shift: int = 0
    flip: bool = False
    replays: int = 0

    @property
    def is_random(self) -> bool:
        """Whether training sees an image differently from step to step."""
        return bool(self.shift or self.flip)

    def draw(self, seed: jax.Array, step: jax.Array, ids: jax.Array) -> tuple[jax.Array, jax.Array | None]:
        """The augmentation of a batch: keys ``[B]`` and, where versions are replayed, the versions ``[B]``."""
        if not self.replays:
            return rng.example_keys(rng.purpose_key(seed, step, "augment"), ids), None
        keys = rng.example_keys(rng.purpose_key(seed, step, "version"), ids)
        version = jax.vmap(lambda key: jax.random.randint(key, (), 0, self.replays))(keys)
        return self.replay_keys(seed, version, ids), version

    def replay_keys(self, seed: jax.Array, version: jax.Array, ids: jax.Array) -> jax.Array:
        """The keys ``[B]`` that make versions ``[B]`` of examples ``[B]``, whatever the step."""
        keys = rng.example_keys(rng.purpose_key(seed, 0, "replay"), ids)
        return jax.vmap(jax.random.fold_in)(keys, version)

    def __call__(self, images: jax.Array, keys: jax.Array | None = None) -> jax.Array:
        """Maps uint8 ``[B, H, W, C]`` to float32 ``[B, H, W, C]``, augmented only if ``keys`` ``[B]`` are given."""
        if keys is not None and self.flip:
            images = ops.random_flip(jax.vmap(jax.random.fold_in, (0, None))(keys, 0), images)
        if keys is not None and self.shift:
            images = ops.random_crop(jax.vmap(jax.random.fold_in, (0, None))(keys, 1), images, self.shift)
        scaled = images.astype(jnp.float32) / 255.0
        return (scaled - jnp.asarray(self.mean)) / jnp.asarray(self.std)
