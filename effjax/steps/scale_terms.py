"""Scale decoupled distillation: the logits of parts of the image, each against the teacher's of the same part."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from effjax import losses
from effjax.errors import UserError
from effjax.steps.feature_terms import tap_of
from effjax.steps.term import Term, TermInputs

Scheduled = float | optax.Schedule

_MAPS = "class_maps"


def of_soft_targets(
    *,
    weight: Scheduled = 1.0,
    temperature: Scheduled = 4.0,
    finest: int = 4,
    complementary: float = 2.0,
    teacher: str = "teacher",
) -> Term:
    """SD-KD: soft targets of the whole image and of its parts.

    ``finest`` is into how many rows and columns of parts the finest scale cuts the image, 2 or 4. Parts of which the
    teacher is right, and not of the whole, or the reverse, count ``complementary`` times as much as the others.
    """

    def loss(inputs: TermInputs, student: jax.Array, taught: jax.Array, labels: jax.Array) -> jax.Array:
        return losses.soft_target_kl(student, taught, temperature=_at(temperature, inputs))

    return _over_regions(loss, weight, teacher, finest, complementary)


def of_decoupled(
    *,
    weight: Scheduled = 1.0,
    temperature: Scheduled = 4.0,
    alpha: float = 1.0,
    beta: float = 8.0,
    finest: int = 4,
    complementary: float = 2.0,
    teacher: str = "teacher",
) -> Term:
    """SD-DKD: DKD of the whole image and of its parts; see :func:`of_soft_targets`."""

    def loss(inputs: TermInputs, student: jax.Array, taught: jax.Array, labels: jax.Array) -> jax.Array:
        options = {"temperature": _at(temperature, inputs), "alpha": alpha, "beta": beta}
        return losses.decoupled_kl(student, taught, labels, **options)

    return _over_regions(loss, weight, teacher, finest, complementary)


def of_normalized(
    *,
    weight: Scheduled = 1.0,
    temperature: Scheduled = 1.0,
    gamma: float = 1.5,
    finest: int = 4,
    complementary: float = 2.0,
    teacher: str = "teacher",
) -> Term:
    """SD-NKD: NKD of the whole image and of its parts; see :func:`of_soft_targets`.

    Of NKD as its paper has it; the authors of SD-NKD leave the label among the other classes.
    """

    def loss(inputs: TermInputs, student: jax.Array, taught: jax.Array, labels: jax.Array) -> jax.Array:
        options = {"temperature": _at(temperature, inputs), "gamma": gamma}
        return losses.normalized_kd(student, taught, labels, **options)

    return _over_regions(loss, weight, teacher, finest, complementary)


def _over_regions(
    each: Callable[[TermInputs, jax.Array, jax.Array, jax.Array], jax.Array],
    weight: Scheduled,
    teacher: str,
    finest: int,
    complementary: float,
) -> Term:
    """The weighted mean of a loss over the parts of an image, ``[B, R]`` of them."""
    losses.region_logits(jnp.zeros((1, 1, 1, 1)), finest=finest)  # an unknown scale is said now

    def loss(inputs: TermInputs) -> jax.Array:
        labels = inputs.batch["label"]
        if labels.ndim != 1:
            raise UserError("parts are told by the label, and mixed images have several: no mixup, no cutmix")
        ours, theirs = tap_of(inputs.student, _MAPS), tap_of(inputs.teachers[teacher], _MAPS)
        if ours.shape[-1] != theirs.shape[-1]:
            raise UserError(f"the teacher's {_MAPS} are of {theirs.shape[-1]} classes, the student's {ours.shape[-1]}")
        student, taught = (losses.region_logits(maps, finest=finest) for maps in (ours, theirs))
        weights = losses.region_weights(taught, labels, complementary=complementary)
        everywhere = jnp.broadcast_to(labels[:, None], weights.shape)
        return (weights * each(inputs, student, taught, everywhere)).mean(-1)

    return Term(loss, weight, (teacher,), (_MAPS,), (_MAPS,))


def _at(scheduled: Scheduled, inputs: TermInputs) -> Any:
    return scheduled(inputs.step) if callable(scheduled) else scheduled
