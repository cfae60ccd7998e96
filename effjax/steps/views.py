"""From stored pixels to what a network sees: scale, augment, normalise, reduce, all on the device."""

import collections
import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import cast

import jax
import jax.numpy as jnp

from effjax import images as ops
from effjax.errors import UserError, check_known, nearest
from effjax.images.targets import KINDS, Kind
from effjax.steps import rng
from effjax.steps.operations import SCALES, Batch, Mixture, Operation, RandAugment, Schedule

_AGAIN = 1000  # more than there are numbers of operations

REDUCTIONS: dict[str, Callable[[jax.Array, tuple[int, int]], jax.Array]] = {
    "frequency": lambda images, size: ops.low_frequency_crop(images, size, method="auto"),
    "resize": ops.resize,
}


@dataclasses.dataclass(frozen=True)
class View:
    """How stored examples become what networks see and learn.

    Attributes:
      mean: subtracted from pixels in ``[0, 1]``, one a channel.
      std: divided by, one a channel.
      ops: what is done to training images, in this order: those that read pixels in ``[0, 1]`` before those that read
        them normalised.
      mix: one or two mixtures of training images; with two, half of the steps do one or the other.
      size: the shorter side that the student's images are reduced to, in pixels; None leaves them. Teachers see them
        as they are: it is what they were trained on, and what their stored answers are about.
      reduction: how: ``"frequency"`` keeps the low frequencies (EfficientTrain), ``"resize"`` uses Lanczos' kernel
        (EfficientTrain++).
      early: whether training images are reduced before what reads them normalised (erasing), and before they are mixed,
        as EfficientTrain++'s code does. Teachers then see no more of them than the student.
      replays: 0 draws anew at every step. With R, an example has R augmented versions, and every step takes one of
        them: so what a teacher says of each can be stored, and replayed exactly.
      moves: by target that follows the pixels, how: ``"boxes"``, ``"points"``, ``"masks"``, or one of
        :mod:`effjax.images.targets` with settings of its own.
    """

    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    ops: tuple[Operation, ...] = ()
    mix: tuple[Mixture, ...] = ()
    size: int | None = None
    reduction: str = "frequency"
    replays: int = 0
    moves: Mapping[str, Kind | str] = dataclasses.field(default_factory=dict, hash=False)
    early: bool = dataclasses.field(default=False, repr=False)  # stored answers are found by the repr

    def __post_init__(self):
        check_known(self.reduction, REDUCTIONS, f"reduction={self.reduction!r}")
        if self.replays and (self.mix or any(op.is_scheduled or not op.alone for op in self.ops)):
            raise UserError(
                "view.replays: an image has no versions that come again with mixup, cutmix, copy_paste or a schedule"
            )
        if self.mix and self.moves:
            raise UserError(f"view.mix: images are mixed with their labels alone, and not {', '.join(self.moves)}")
        if len(self.mix) > 2:
            raise UserError(f"view.mix has {len(self.mix)} entries; allowed: one or two")
        for name, kind in self.moves.items():
            if isinstance(kind, str) and kind not in KINDS:
                raise UserError(f"view.moves.{name}={kind!r}; {nearest(kind, KINDS)}")
        read = [op for op in self.ops if op.scale != "any"]
        for before, after in itertools.pairwise(read):
            if SCALES.index(before.scale) > SCALES.index(after.scale):
                raise UserError(f"view.ops: {after} reads pixels in [0, 1], so it must come before {before}")

    @property
    def is_random(self) -> bool:
        """Whether training sees an image differently from step to step."""
        return bool(self.ops or self.mix)

    @property
    def mixes(self) -> bool:
        """Whether training sees mixtures of two images."""
        return bool(self.mix)

    @property
    def has_magnitude(self) -> bool:
        """Whether there is an operation whose magnitude can be set."""
        return any(isinstance(op, RandAugment) for op in self.ops)

    def of_one(self) -> "View":
        """The view of an image by itself, whatever lies beside it in the batch."""
        return dataclasses.replace(self, ops=tuple(op for op in self.ops if op.alone), mix=())

    def at_magnitude(self, magnitude: float | Schedule) -> "View":
        """The view with another magnitude of RandAugment: a number, or a schedule of the global step."""
        ops = (dataclasses.replace(op, magnitude=magnitude) if isinstance(op, RandAugment) else op for op in self.ops)
        return dataclasses.replace(self, ops=tuple(ops))

    def draw(
        self, seed: jax.Array, step: jax.Array, ids: jax.Array, copies: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array | None]:
        """The augmentation of a batch: keys ``[B]`` and, where versions are replayed, the versions ``[B]``.

        The step is one, or each example's, ``[B]``.
        """
        if not self.replays:
            return rng.example_keys(rng.purpose_key(seed, step, "augment"), ids, copies), None
        keys = rng.example_keys(rng.purpose_key(seed, step, "version"), ids, copies)
        version = jax.vmap(lambda key: jax.random.randint(key, (), 0, self.replays))(keys)
        return self.replay_keys(seed, version, ids), version

    def replay_keys(self, seed: jax.Array, version: jax.Array, ids: jax.Array) -> jax.Array:
        """The keys ``[B]`` that make versions ``[B]`` of examples ``[B]``, whatever the step."""
        keys = rng.example_keys(rng.purpose_key(seed, 0, "replay"), ids)
        return jax.vmap(jax.random.fold_in)(keys, version)

    def see(self, batch: Batch, keys: jax.Array | None = None, step: jax.Array | int = 0) -> dict[str, jax.Array]:
        """Shows a batch as networks see it.

        Args:
          batch: ``image``, uint8 ``[B, H, W, C]``, and any other fields; a batch without images stays as it is.
          keys: one an example, ``[B]``; without them nothing is random.
          step: the global step, which schedules depend on.

        Returns:
          The batch, its images float32 ``[B, H, W, C]`` and normalised, and the targets where their pixels are now.
        """
        if "image" not in batch:
            return dict(batch)
        seen, scale, early = dict(batch), "any", self.early and keys is not None
        moves = {name: KINDS[kind] if isinstance(kind, str) else kind for name, kind in self.moves.items()}
        for op, number in self._numbered() if keys is not None else ():
            if op.scale != "any":
                seen["image"], scale = self._scaled(seen["image"], scale, op.scale, early), op.scale
            seen = dict(op(_purpose(cast(jax.Array, keys), number), seen, moves, step))
        return {**seen, "image": self._scaled(seen["image"], scale, "normalised", early)}

    def _numbered(self) -> Iterator[tuple[Operation, int]]:
        """The operations, each with what is folded into its keys: of a kind that comes again, something else."""
        seen = collections.Counter()
        for op in self.ops:
            yield op, op.number + _AGAIN * seen[op.number]
            seen[op.number] += 1

    def _scaled(self, images: jax.Array, scale: str, wanted: str, early: bool) -> jax.Array:
        if scale == "any":
            images = images.astype(jnp.float32) / 255.0
        if wanted == "normalised" and scale != "normalised":
            if early:
                images = jnp.clip(self.reduce(images), 0, 1)
            images = (images - jnp.asarray(self.mean)) / jnp.asarray(self.std)
        return images

    def mixed(
        self, keys: jax.Array, step_key: jax.Array, images: jax.Array, labels: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Mixes images ``[B, H, W, C]`` and label distributions ``[B, K]`` by the keys ``[B]`` and the step's own."""
        forms = [lambda mix=mix: mix(_purpose(keys, mix.number), images, labels) for mix in self.mix]
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
