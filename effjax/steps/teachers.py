"""Frozen teachers: a network that runs beside the student, or its stored answers."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar, cast

import flax.linen as nn
import jax
import jax.numpy as jnp

from effjax.errors import UserError
from effjax.models import Outputs
from effjax.steps.network import float32
from effjax.steps.objective import Batch
from effjax.steps.term import Teacher
from effjax.steps.views import View
from effjax.typing import PyTree


@dataclasses.dataclass(frozen=True)
class NetworkTeacher:
    """Runs on the very same view as the student: same crop, same flip; only their scale may differ.

    Attributes:
      module: the network; ``frozen`` is its variables.
      view: what the student sees, as the images come.
      scale: ``(mean, std)`` of what the teacher was trained on; None where it is the student's own.
      image_size: what the images are resized to for the teacher; None leaves them.
      repeat_channels: 3 shows grey images to a teacher that has learnt from colour.
      classes: by class of the student, the teacher's classes that make it up; their probabilities are added, and what
        is left out of all is forgotten. None takes the teacher's classes as they are.
      inputs: the features of a batch that it reads, in the order of its call.

    References:
      Beyer et al., `Knowledge distillation: A good teacher is patient and consistent
      <https://arxiv.org/abs/2106.05237>`_, 2022.
    """

    module: nn.Module
    view: View = dataclasses.field(default_factory=View)
    scale: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    image_size: int | None = None
    repeat_channels: int = 1
    classes: tuple[tuple[int, ...], ...] | None = None
    inputs: tuple[str, ...] = dataclasses.field(default=("image",), repr=False)  # stored answers are named by the repr

    def with_taps(self, taps: tuple[str, ...]) -> Teacher:
        return dataclasses.replace(self, module=self.module.clone(taps=taps))

    def __call__(self, frozen: PyTree, batch: Batch) -> Outputs:
        inputs = [self._as_trained(batch[name]) if name == "image" else batch[name] for name in self.inputs]
        outputs = cast(Outputs, self.module.apply(frozen, *inputs, train=False))
        if self.classes is None:
            return outputs
        logits = [jax.nn.logsumexp(outputs.logits[:, jnp.asarray(group)], axis=-1) for group in self.classes]
        return Outputs(jnp.stack(logits, axis=-1), outputs.taps)

    def predict(self, variables: PyTree, batch: Batch) -> Outputs:
        """What it says by itself of a batch as it is stored, without augmentation; floats are float32."""
        outputs = self(variables, self.view.see(batch))
        return outputs._replace(preds=jax.tree.map(float32, outputs.preds))

    def _as_trained(self, images: jax.Array) -> jax.Array:
        images = jnp.repeat(images, self.repeat_channels, axis=-1)
        if self.scale is not None:
            mean, std = (jnp.asarray(values) for values in self.scale)
            pixels = images * jnp.asarray(self.view.std) + jnp.asarray(self.view.mean)
            images = (pixels - mean) / std
        if self.image_size is not None:
            batch, _, _, channels = images.shape
            images = jax.image.resize(images, (batch, self.image_size, self.image_size, channels), "linear")
        return images


@dataclasses.dataclass(frozen=True)
class CachedTeacher:
    """Looks the teacher's logits up by global id, and by version where the view has several.

    ``frozen`` is what :func:`pack_answers` makes.

    Attributes:
      num_classes: K.
    """

    num_classes: int
    is_stored: ClassVar[bool] = True  # so it answers for the view that it was asked in, and for no other

    def with_taps(self, taps: tuple[str, ...]) -> Teacher:
        raise UserError(f"the teacher is cached: only its logits are stored, not its activations {', '.join(taps)}")

    def __call__(self, frozen: PyTree, batch: Batch) -> Outputs:
        return self._unpacked({name: array[_version(batch), batch["id"]] for name, array in frozen.items()})

    def _unpacked(self, stored: Mapping[str, jax.Array]) -> Outputs:
        """The logits of a batch, from what is stored of each example's version."""
        found = {name: array.astype(jnp.float32) for name, array in stored.items()}
        if "logits" in found:
            return Outputs(found["logits"], {})
        classes = stored["classes"].astype(jnp.int32)
        left = self.num_classes - classes.shape[-1]
        logits = jnp.broadcast_to((found["rest"] - jnp.log(left))[:, None], (len(classes), self.num_classes))
        return Outputs(logits.at[jnp.arange(len(classes))[:, None], classes].set(found["values"]), {})


@dataclasses.dataclass(frozen=True)
class StreamedTeacher(CachedTeacher):
    """Finds in the batch what is stored of its examples, where the whole table is too large for the device.

    ``frozen`` is empty. The answers, and their bits, are those of :class:`CachedTeacher`.

    Attributes:
      prefix: what the names of the batch's features begin with: ``prefix + name`` is ``[B, versions, …]``, for each
        array that :func:`pack_answers` makes.
    """

    prefix: str = ""

    def __call__(self, frozen: PyTree, batch: Batch) -> Outputs:
        rows, version = jnp.arange(len(batch["id"])), _version(batch)
        own = {name.removeprefix(self.prefix): array for name, array in batch.items() if name.startswith(self.prefix)}
        return self._unpacked({name: array[rows, version] for name, array in own.items()})


def _version(batch: Batch) -> jax.Array:
    return batch.get("version", jnp.zeros_like(batch["id"]))


def pack_answers(logits: jax.Array, form: str) -> dict[str, jax.Array]:
    """Packs logits for storage; softmax of what :class:`CachedTeacher` unpacks is that of the logits.

    Args:
      logits: ``[..., K]``.
      form: ``"float32"``; ``"float16"``, at a relative error of at most 2⁻¹¹ of a logit's distance to the largest; or
        ``"top5"`` (any number below K), which keeps the largest logits as float16 and the others' total
        probability, spread evenly.

    Returns:
      ``{"logits": [..., K]}``, or ``{"values": [..., k], "classes": [..., k], "rest": [...]}``.

    Raises:
      UserError: if the form is not known, or keeps as many classes as there are.

    References:
      Shen & Xing, `A Fast Knowledge Distillation Framework for Visual Recognition
      <https://arxiv.org/abs/2112.01528>`_, 2022 (the largest logits, the rest evenly).
    """
    num_classes = logits.shape[-1]
    centred = logits - logits.max(-1, keepdims=True)  # float16 is densest at zero, where the probable classes are
    if form in ("float32", "float16"):
        return {"logits": centred.astype(form)}
    kept = int(form.removeprefix("top")) if form.removeprefix("top").isdigit() else 0
    if not form.startswith("top") or not 0 < kept < num_classes:
        raise UserError(f"cached={form!r}; allowed: float16, float32, or top1 to top{num_classes - 1}")
    values, classes = jax.lax.top_k(centred, kept)
    others = jnp.put_along_axis(centred, classes, -jnp.inf, axis=-1, inplace=False)
    return {
        "values": values.astype(jnp.float16),
        "classes": classes.astype(jnp.uint16 if num_classes < 2**16 else jnp.int32),
        # Below float16's range a probability is zero to any student.
        "rest": jnp.maximum(jax.nn.logsumexp(others, axis=-1), -6e4).astype(jnp.float16),
    }
