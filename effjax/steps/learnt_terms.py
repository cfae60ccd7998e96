"""Terms that learn besides the student: embeddings, predictions with a variance, a memory of the examples."""

import math
from typing import cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from effjax import losses
from effjax.errors import UserError
from effjax.losses.pooling import averaged
from effjax.numerics import unit
from effjax.steps import rng
from effjax.steps.feature_terms import check_layers, tap_of
from effjax.steps.regressors import PYTORCHS
from effjax.steps.term import Term, TermInputs
from effjax.typing import PyTree

Scheduled = float | optax.Schedule


def congruence(
    *,
    weight: Scheduled = 1.0,
    student_tap: str = "penultimate",
    teacher_tap: str = "penultimate",
    dim: int = 128,
    teacher: str = "teacher",
) -> Term:
    """CC: how neighbours of the batch differ from the teacher's, in embeddings of both that are learnt."""

    def loss(inputs: TermInputs):
        ours, theirs = _embedded(inputs, teacher, student_tap, teacher_tap, dim)
        return losses.correlation_congruence(ours, theirs, axis_name=inputs.axis_name)

    def init(key: jax.Array, inputs: TermInputs) -> PyTree:
        return _embeddings(key, inputs, teacher, student_tap, teacher_tap, dim)

    return Term(loss, weight, (teacher,), (student_tap,), (teacher_tap,), init)


def variational(
    *,
    weight: Scheduled = 1.0,
    student_taps: tuple[str, ...] = (),
    teacher_taps: tuple[str, ...] = (),
    variance: float = 5.0,
    teacher: str = "teacher",
) -> Term:
    """VID: the teacher's maps predicted from the student's, with variances that are learnt; summed over layers.

    Three 1×1 convolutions predict; each channel's variance begins at ``variance``. Larger maps are averaged first.
    """
    check_layers(student_taps, teacher_taps)
    if variance <= _LEAST_VARIANCE:
        raise UserError(f"variance={variance!r} must be above {_LEAST_VARIANCE}")

    def pairs(inputs: TermInputs) -> list[tuple[jax.Array, jax.Array]]:
        taps = zip(student_taps, teacher_taps, strict=True)
        return [(tap_of(inputs.student, own), tap_of(inputs.teachers[teacher], other)) for own, other in taps]

    def loss(inputs: TermInputs):
        total = 0.0
        for number, (student, taught) in enumerate(pairs(inputs)):
            own = inputs.params[f"layer{number + 1}"]
            height, width = (min(student.shape[axis], taught.shape[axis]) for axis in (1, 2))
            predicted = _Predictor(taught.shape[-1]).apply({"params": own}, averaged(student, height, width))
            spread = jax.nn.softplus(own["log_scale"]) + _LEAST_VARIANCE
            total += losses.variational_information(cast(jax.Array, predicted), averaged(taught, height, width), spread)
        return cast(jax.Array, total)

    def init(key: jax.Array, inputs: TermInputs) -> PyTree:
        drawn = {}
        for number, (student, taught) in enumerate(pairs(inputs)):
            if len(student.shape) != 4 or len(taught.shape) != 4:
                raise UserError(f"{student_taps[number]!r} and {teacher_taps[number]!r} must be maps")
            channels, own = taught.shape[-1], jax.random.fold_in(key, number)
            params = dict(_Predictor(channels).init(own, jnp.zeros((1, 1, 1, student.shape[-1])))["params"])
            scale = math.log(math.expm1(variance - _LEAST_VARIANCE))
            drawn[f"layer{number + 1}"] = {**params, "log_scale": jnp.full(channels, scale)}
        return drawn

    return Term(loss, weight, (teacher,), tuple(student_taps), tuple(teacher_taps), init)


_LEAST_VARIANCE = 1e-5


class _Predictor(nn.Module):
    """Three 1×1 convolutions without a bias, with ReLU between them."""

    channels: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for layer in range(1, 4):
            x = nn.Conv(self.channels, (1, 1), use_bias=False, kernel_init=PYTORCHS, name=f"conv{layer}")(x)
            x = nn.relu(x) if layer < 3 else x
        return x


def curriculum_temperature(
    *,
    weight: Scheduled = 1.0,
    least: float = 1.0,
    span: float = 20.0,
    reversal: Scheduled = 1.0,
    standardize: bool = False,
    teacher: str = "teacher",
) -> Term:
    """CTKD: soft targets at a temperature that learns to make them hard: its gradient is reversed.

    ``T = least + span · sigmoid(τ)``, with τ learnt from 1 on. ``reversal`` is how strongly, a number or a schedule
    that rises from 0, so that it is easy first. With ``standardize``, logits are compared without mean and scale.
    """
    for name, value in (("least", least), ("span", span)):
        if value <= 0:
            raise UserError(f"{name}={value!r} must be above 0")
    scaled = losses.standardize_logits if standardize else jnp.asarray

    def loss(inputs: TermInputs):
        strength = reversal(inputs.step) if callable(reversal) else reversal
        t = least + span * jax.nn.sigmoid(losses.reversed_gradient(inputs.params["temperature"], strength))
        logits = inputs.student.logits, inputs.teachers[teacher].logits
        return losses.soft_target_kl(*map(scaled, logits), temperature=t)

    return Term(loss, weight, (teacher,), init=lambda key, inputs: {"temperature": jnp.float32(1.0)})


def crd(
    *,
    weight: Scheduled = 1.0,
    student_tap: str = "penultimate",
    teacher_tap: str = "penultimate",
    dim: int = 128,
    negatives: int = 16384,
    temperature: float = 0.07,
    momentum: float = 0.5,
    teacher: str = "teacher",
) -> Term:
    """CRD: each example told from ``negatives`` others, of other classes, in a memory of all; in both directions.

    The memory holds an embedding of each training example by each network, 2 · M · ``dim`` numbers, which move with
    ``momentum`` whenever the example is seen. It lies in the state and in checkpoints, whole on every device.
    """
    for name, value in (("dim", dim), ("negatives", negatives)):
        if value < 1:
            raise UserError(f"{name}={value!r} must be 1 or more")

    def loss(inputs: TermInputs):
        labels, ids, memory = inputs.batch["label"], inputs.batch["id"], inputs.memory
        if labels.ndim != 1:
            raise UserError("its negatives are of other classes, and mixed images have several: no mixup, no cutmix")
        ours, theirs = (unit(x) for x in _embedded(inputs, teacher, student_tap, teacher_tap, dim))
        keys = rng.example_keys(rng.purpose_key(cast(jax.Array, inputs.seed), inputs.step, "negatives"), ids)
        others = losses.OfOtherClasses(memory["order"], memory["starts"], memory["counts"])
        drawn = losses.of_other_classes(keys, labels, others, negatives)
        total, moved = 0.0, dict(memory)
        for own, embedded, other in (("student", ours, "teacher"), ("teacher", theirs, "student")):
            value, moved[f"{own}_z"] = losses.noise_contrastive(
                *(embedded, memory[other], ids, drawn, memory[f"{own}_z"]),
                examples=len(others.order),
                temperature=temperature,
                axis_name=inputs.axis_name,
            )
            total += value
            moved[own] = losses.moved_memory(memory[own], embedded, ids, momentum=momentum, axis_name=inputs.axis_name)
        return total, moved

    def init(key: jax.Array, inputs: TermInputs) -> PyTree:
        return _embeddings(key, inputs, teacher, student_tap, teacher_tap, dim)

    def remember(key: jax.Array, inputs: TermInputs, classes: np.ndarray) -> PyTree:
        order = np.argsort(classes, kind="stable")[np.count_nonzero(classes < 0) :].astype(np.int32)
        counts = np.bincount(classes[order]).astype(np.int32)
        if counts.max() == len(order):
            raise UserError("its negatives are of other classes: there is one class only")
        most = (3 / dim) ** 0.5  # so that an embedding has length 1 in the mean
        banks = jax.random.uniform(key, (2, len(classes), dim), minval=-most, maxval=most)
        return {
            "student": banks[0],
            "teacher": banks[1],
            "student_z": jnp.float32(-1.0),
            "teacher_z": jnp.float32(-1.0),
            "order": jnp.asarray(order),
            "starts": jnp.asarray(np.cumsum(counts) - counts, jnp.int32),
            "counts": jnp.asarray(counts),
        }

    return Term(loss, weight, (teacher,), (student_tap,), (teacher_tap,), init, remember)


def _embedded(inputs: TermInputs, teacher: str, student_tap: str, teacher_tap: str, dim: int) -> list[jax.Array]:
    """The student's and the teacher's activations through a dense layer each, ``[B, dim]``."""
    activations = tap_of(inputs.student, student_tap), tap_of(inputs.teachers[teacher], teacher_tap)
    flat = [x.reshape(len(x), -1) for x in (activations[0], jax.lax.stop_gradient(activations[1]))]
    layer = nn.Dense(dim)
    names = ("student", "teacher")
    return [layer.apply({"params": inputs.params[name]}, x) for name, x in zip(names, flat, strict=True)]  # pyright: ignore[reportReturnType] (flax says less than it returns)


def _embeddings(
    key: jax.Array, inputs: TermInputs, teacher: str, student_tap: str, teacher_tap: str, dim: int
) -> PyTree:
    """The parameters of both dense layers."""
    layer = nn.Dense(dim, kernel_init=PYTORCHS)
    drawn = {}
    for number, (name, outputs, tap) in enumerate(
        (("student", inputs.student, student_tap), ("teacher", inputs.teachers[teacher], teacher_tap))
    ):
        width = math.prod(tap_of(outputs, tap).shape[1:])
        drawn[name] = layer.init(jax.random.fold_in(key, number), jnp.zeros((1, width)))["params"]
    return drawn
