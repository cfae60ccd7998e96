"""What a view does to training images at random: operations that targets follow, and mixtures."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import ClassVar, Protocol

import jax

from effjax import images as ops
from effjax.images.targets import Boxes, Kind, Size, follow
from effjax.typing import Batch

Schedule = Callable[[jax.typing.ArrayLike], jax.typing.ArrayLike]

SCALES = ("any", "unit", "normalised")  # of pixels: as they are stored; in [0, 1]; as a network sees them


class Operation:
    """A random change of images, and of the targets that move with their pixels: a frozen dataclass.

    One that moves no pixels defines :meth:`pixels`, one that does :meth:`matrices` as well, from the same keys; one
    that looks at other fields of the batch, such as a crop around a box, defines :meth:`__call__` instead.

    Attributes:
      number: of its own: folded into an example's key, so that no two operations draw the same. It never changes.
      scale: of the pixels that it reads, one of ``SCALES``.
      alone: whether what becomes of an example is a matter of it alone, and not of its neighbours in the batch too.
    """

    number: ClassVar[int]
    scale: ClassVar[str] = "any"
    alone: ClassVar[bool] = True

    @property
    def is_scheduled(self) -> bool:
        """Whether what it does to a key depends on the step."""
        return False

    def pixels(self, keys: jax.Array, images: jax.Array, step: jax.Array | int) -> jax.Array:
        """Images ``[B, H, W, C]``, each changed by its key ``[B]``."""
        raise NotImplementedError

    def matrices(self, keys: jax.Array, size: Size, step: jax.Array | int) -> jax.Array | None:
        """The maps ``[B, n, 2, 3]`` that images of ``size`` undergo, see :mod:`effjax.images.targets`; None: none."""
        return None

    def __call__(self, keys: jax.Array, batch: Batch, moves: Mapping[str, Kind], step: jax.Array | int = 0) -> Batch:
        """Changes each example of a batch by its key.

        Args:
          keys: ``[B]``.
          batch: ``image`` ``[B, H, W, C]`` of the scale that the operation reads, and any other fields.
          moves: by field that follows the pixels, how.
          step: the global step.

        Returns:
          The batch, changed.
        """
        images = batch["image"]
        size, matrices = (images.shape[1], images.shape[2]), None
        changed = {"image": self.pixels(keys, images, step)}
        if moves:
            matrices = self.matrices(keys, size, step)
        if matrices is not None:
            names = {*moves, *(kind.valid for kind in moves.values())}
            fields = {name: batch[name] for name in names if name in batch}
            changed |= jax.vmap(lambda fields, matrices: follow(fields, moves, matrices, size))(fields, matrices)
        return {**batch, **changed}


@dataclasses.dataclass(frozen=True)
class Flip(Operation):
    """Mirrors left to right, half of the time."""

    number = 0

    def pixels(self, keys, images, step):
        return ops.random_flip(keys, images)

    def matrices(self, keys, size, step):
        return ops.flip_matrices(keys, size[1])[:, None]


@dataclasses.dataclass(frozen=True)
class Shift(Operation):
    """Shifts by up to ``most`` pixels in each direction; what comes in is black."""

    most: int
    number = 1

    def pixels(self, keys, images, step):
        return ops.random_crop(keys, images, self.most)

    def matrices(self, keys, size, step):
        return ops.crop_matrices(keys, self.most)[:, None]


@dataclasses.dataclass(frozen=True)
class Crop(Operation):
    """Cuts a part out, ``least`` of the area or more, and resizes it to the whole image's size."""

    least: float = 0.08
    number, scale = 6, "unit"

    def pixels(self, keys, images, step):
        return ops.random_resized_crop(keys, images, (images.shape[1], images.shape[2]), scale=(self.least, 1.0))

    def matrices(self, keys, size, step):
        return ops.resized_crop_matrices(keys, size, scale=(self.least, 1.0))[:, None]


@dataclasses.dataclass(frozen=True)
class RandAugment(Operation):
    """So many of RandAugment's ``operations``, of a ``magnitude`` from 0 to 10: a number, or a schedule of the step.

    Attributes:
      operations: how many.
      magnitude: how strong.
      interpolation: of its warps, ``"bilinear"`` or ``"bicubic"``.
    """

    operations: int = 2
    magnitude: float | Schedule = 9.0
    interpolation: str = dataclasses.field(default="bilinear", repr=False)  # stored answers are found by the repr
    number, scale = 2, "unit"

    @property
    def is_scheduled(self):
        return callable(self.magnitude)

    def pixels(self, keys, images, step):
        how = {"num_ops": self.operations, "interpolation": self.interpolation}
        return ops.random_augment(keys, images, self._at(step), **how)

    def matrices(self, keys, size, step):
        return ops.augment_matrices(keys, self._at(step), size, num_ops=self.operations)

    def _at(self, step: jax.Array | int) -> jax.typing.ArrayLike:
        return self.magnitude(step) if callable(self.magnitude) else self.magnitude


@dataclasses.dataclass(frozen=True)
class ThreeAugment(Operation):
    """Makes an image grey, solarises or blurs it: one of DeiT III's three."""

    number, scale = 8, "unit"

    def pixels(self, keys, images, step):
        return ops.three_augment(keys, images)


@dataclasses.dataclass(frozen=True)
class Jitter(Operation):
    """Changes brightness, contrast and saturation by factors from 1 − ``strength`` to 1 + ``strength``."""

    strength: float = 0.4
    number, scale = 9, "unit"

    def pixels(self, keys, images, step):
        return ops.color_jitter(keys, images, self.strength)


@dataclasses.dataclass(frozen=True)
class Erase(Operation):
    """Puts noise in place of a box, with a ``probability``; targets stay."""

    probability: float = 0.25
    number, scale = 3, "normalised"

    def pixels(self, keys, images, step):
        return ops.random_erasing(keys, images, probability=self.probability)


@dataclasses.dataclass(frozen=True)
class CopyPaste(Operation):
    """Pastes objects of a neighbour in the batch into an image, each with a ``probability``, where targets are boxes.

    What else is known of the objects comes with them: the fields that are called as the boxes are, up to the last
    ``/``, such as ``objects/label`` beside ``objects/bbox``.
    """

    probability: float = 0.5
    number, scale, alone = 7, "unit", False

    def __call__(self, keys, batch, moves, step=0):
        for name, kind in moves.items():
            if isinstance(kind, Boxes) and kind.valid in batch:
                group = name[: name.rfind("/") + 1]
                others = {
                    field: array
                    for field, array in batch.items()
                    if group and field.startswith(group) and field not in (name, kind.valid)
                }
                image, boxes, valid, rest = ops.copy_paste(
                    keys, batch["image"], batch[name], batch[kind.valid], others, probability=self.probability
                )
                return {**batch, "image": image, name: boxes, kind.valid: valid, **rest}
        return batch


class Mixture(Protocol):
    """Makes one example of two: a frozen dataclass with a ``number`` of its own, as an :class:`Operation` has it."""

    number: ClassVar[int]

    def __call__(self, keys: jax.Array, images: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Mixes images ``[B, H, W, C]`` and label distributions ``[B, K]`` by the keys ``[B]``."""
        ...


@dataclasses.dataclass(frozen=True)
class MixUp(Mixture):
    """Blends two images; ``alpha`` is the concentration of the Beta distribution of their shares."""

    alpha: float = 0.8
    number = 4

    def __call__(self, keys, images, labels):
        return ops.mixup(keys, images, labels, alpha=self.alpha)


@dataclasses.dataclass(frozen=True)
class CutMix(Mixture):
    """Pastes a box of one image into another; ``alpha`` is the concentration of the Beta distribution of its share."""

    alpha: float = 1.0
    number = 5

    def __call__(self, keys, images, labels):
        return ops.cutmix(keys, images, labels, alpha=self.alpha)
