"""From stored pixels to what a network sees: scale, augment, normalise, reduce, all on the device."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from effjax import images as ops
from effjax.errors import UserError, nearest
from effjax.steps import rng

Augment = Callable[[jax.Array, jax.Array], jax.Array]

REDUCTIONS: dict[str, Callable[[jax.Array, tuple[int, int]], jax.Array]] = {
    "frequency": lambda images, size: ops.low_frequency_crop(images, size, method="auto"),
    "resize": ops.resize,
}


@dataclasses.dataclass(frozen=True)
class View:
    """How uint8 images become a network's input.

    Attributes:
      mean: subtracted from pixels in ``[0, 1]``, one a channel.
      std: divided by, one a channel.
      shift: the largest random shift while training, in pixels; 0 is off.
      flip: whether to mirror at random while training.
      crop: the smallest share of the image that a random crop keeps, resized to the image's size while training; 0 is
        off.
      operations: how many of RandAugment's operations an image undergoes while training; 0 is off.
      magnitude: of these operations, 0 to 10: a number, or a schedule of the global step.
      erasing: the probability that a box of the image is replaced by noise while training.
      mixup: the concentration of the Beta distribution that images are mixed by while training; 0 is off.
      cutmix: the same for boxes pasted from one image to another; with both, half of the steps do one or the other.
      size: the shorter side that the student's images are reduced to, in pixels; None leaves them. Teachers see them
        as they are: it is what they were trained on, and what their stored answers are about.
      reduction: how: ``"frequency"`` keeps the low frequencies (EfficientTrain), ``"resize"`` uses Lanczos' kernel
        (EfficientTrain++).
      replays: 0 draws anew at every step. With R, an example has R augmented versions, and every step takes one of
        them: so what a teacher says of each can be stored, and replayed exactly.
    """

    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    shift: int = 0
    flip: bool = False
    crop: float = 0.0
    operations: int = 0
    magnitude: float | optax.Schedule = 9.0
    erasing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    size: int | None = None
    reduction: str = "frequency"
    replays: int = 0

    def __post_init__(self):
        if self.reduction not in REDUCTIONS:
            raise UserError(f"reduction={self.reduction!r}; {nearest(self.reduction, REDUCTIONS)}")
        if self.replays and (self.mixes or (self.operations and callable(self.magnitude))):
            raise UserError("view.replays: an image has no versions that come again with mixup, cutmix or a schedule")

    @property
    def is_random(self) -> bool:
        """Whether training sees an image differently from step to step."""
        return bool(self.shift or self.flip or self.crop or self.operations or self.erasing or self.mixes)

    @property
    def mixes(self) -> bool:
        """Whether training sees mixtures of two images."""
        return bool(self.mixup or self.cutmix)

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

    def __call__(self, images: jax.Array, keys: jax.Array | None = None, step: jax.Array | int = 0) -> jax.Array:
        """Maps uint8 ``[B, H, W, C]`` to float32 ``[B, H, W, C]``, augmented only if ``keys`` ``[B]`` are given."""
        if keys is not None and self.flip:
            images = ops.random_flip(_purpose(keys, 0), images)
        if keys is not None and self.shift:
            images = ops.random_crop(_purpose(keys, 1), images, self.shift)
        scaled = images.astype(jnp.float32) / 255.0
        if keys is not None and self.crop:
            size = images.shape[1:3]
            scaled = ops.random_resized_crop(_purpose(keys, 6), scaled, size, scale=(self.crop, 1.0))
        if keys is not None and self.operations:
            magnitude = self.magnitude(step) if callable(self.magnitude) else self.magnitude
            scaled = ops.random_augment(_purpose(keys, 2), scaled, magnitude, num_ops=self.operations)
        normalised = (scaled - jnp.asarray(self.mean)) / jnp.asarray(self.std)
        if keys is not None and self.erasing:
            normalised = ops.random_erasing(_purpose(keys, 3), normalised, probability=self.erasing)
        return normalised

    def mix(
        self, keys: jax.Array, step_key: jax.Array, images: jax.Array, labels: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Mixes images ``[B, H, W, C]`` and label distributions ``[B, K]`` by the keys ``[B]`` and the step's own."""
        forms = []
        if self.mixup:
            forms.append(lambda: ops.mixup(_purpose(keys, 4), images, labels, alpha=self.mixup))
        if self.cutmix:
            forms.append(lambda: ops.cutmix(_purpose(keys, 5), images, labels, alpha=self.cutmix))
        if len(forms) == 1:
            return forms[0]()
        return jax.lax.cond(jax.random.bernoulli(step_key), *forms)

    def reduce(self, images: jax.Array) -> jax.Array:
        """What the student sees of images ``[B, H, W, C]``: all of them, or a smaller form.

        Raises:
          UserError: if they are smaller than the size asked for.
        """
        if self.size is None or self.size == min(images.shape[1:3]):
            return images
        height, width = images.shape[1:3]
        shorter = min(height, width)
        if self.size > shorter:
            raise UserError(f"image_size={self.size} is larger than the images, {width}×{height}")
        size = (round(height * self.size / shorter), round(width * self.size / shorter))
        return REDUCTIONS[self.reduction](images, size)


def _purpose(keys: jax.Array, number: int) -> jax.Array:
    return jax.vmap(jax.random.fold_in, (0, None))(keys, number)
