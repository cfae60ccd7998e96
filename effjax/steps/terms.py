"""The terms an objective can be made of, by name. One more term is one function and one registry line."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from effjax import losses
from effjax.errors import UserError, check_known, nearest
from effjax.steps import (
    connected_terms,
    detection_terms,
    embedding_terms,
    exit_term,
    factor_term,
    feature_terms,
    learnt_terms,
    review_term,
    scale_terms,
)
from effjax.steps.objective import blame
from effjax.steps.term import Term, TermInputs

Scheduled = float | optax.Schedule


def ce(*, weight: Scheduled = 1.0, label_smoothing: float = 0.0, target: str = "label") -> Term:
    """Cross-entropy with the labels, or with another feature of the batch.

    ``target`` names it: classes ``[B]``, distributions ``[B, K]``, or for two classes the probability of the second,
    ``[B]`` (an expert's grade).
    """

    def loss(inputs: TermInputs):
        labels = _feature(inputs.batch, target)
        if labels.ndim == 1 and jnp.issubdtype(labels.dtype, jnp.floating):
            labels = jnp.stack([1.0 - labels, labels], axis=-1)
        return losses.cross_entropy(inputs.student.logits, labels, label_smoothing=label_smoothing)

    return Term(loss, weight)


def soft_target(
    *,
    weight: Scheduled = 1.0,
    temperature: Scheduled = 4.0,
    standardize: bool = False,
    teacher: str | tuple = "teacher",
    student_tap: str = "",
) -> Term:
    """Hinton's soft targets: ``T² · KL(teacher ‖ student)`` at temperature T, a number or a schedule.

    Several teachers are one: their probabilities at T are averaged. With ``standardize``, logits are compared without
    their mean and scale. ``student_tap`` names other logits of the student than those that it predicts with.
    """
    scaled = losses.standardize_logits if standardize else jnp.asarray
    names = (teacher,) if isinstance(teacher, str) else tuple(teacher)

    def loss(inputs: TermInputs):
        t = _value(temperature, inputs.step)
        logits = [scaled(inputs.teachers[name].logits) for name in names]
        target = logits[0] if len(logits) == 1 else losses.ensemble_logits(jnp.stack(logits), t)
        return losses.soft_target_kl(scaled(_logits(inputs, student_tap)), target, temperature=t)

    return Term(loss, weight, teachers=names, student_taps=(student_tap,) if student_tap else ())


def decoupled(
    *,
    weight: Scheduled = 1.0,
    temperature: Scheduled = 4.0,
    alpha: float = 1.0,
    beta: float = 8.0,
    standardize: bool = False,
    teacher: str = "teacher",
) -> Term:
    """DKD: the parts of the soft targets on and off the true class, weighted apart.

    With ``standardize``, logits are compared without their mean and scale.
    """
    scaled = losses.standardize_logits if standardize else jnp.asarray

    def loss(inputs: TermInputs):
        logits = scaled(inputs.student.logits), scaled(inputs.teachers[teacher].logits)
        options = {"temperature": _value(temperature, inputs.step), "alpha": alpha, "beta": beta}
        return losses.decoupled_kl(*logits, inputs.batch["label"], **options)

    return Term(loss, weight, teachers=(teacher,))


def normalized(
    *, weight: Scheduled = 1.0, temperature: Scheduled = 1.0, gamma: float = 1.5, teacher: str = "teacher"
) -> Term:
    """NKD: the label's soft target as it is, and the other classes as shares of what is left."""

    def loss(inputs: TermInputs):
        logits = inputs.student.logits, inputs.teachers[teacher].logits
        options = {"temperature": _value(temperature, inputs.step), "gamma": gamma}
        return losses.normalized_kd(*logits, inputs.batch["label"], **options)

    return Term(loss, weight, teachers=(teacher,))


def correlation(
    *,
    weight: Scheduled = 1.0,
    temperature: Scheduled = 1.0,
    inter: float = 1.0,
    intra: float = 1.0,
    teacher: str = "teacher",
) -> Term:
    """DIST: correlation between the classes of an example, and within a class over the batch."""

    def loss(inputs: TermInputs):
        options = {"temperature": _value(temperature, inputs.step), "inter": inter, "intra": intra}
        student, taught = inputs.student.logits, inputs.teachers[teacher].logits
        return losses.dist(student, taught, axis_name=inputs.axis_name, **options)

    return Term(loss, weight, teachers=(teacher,))


def logit_mse(*, weight: Scheduled = 1.0, teacher: str = "teacher") -> Term:
    """Squared difference of the logits."""

    def loss(inputs: TermInputs):
        return losses.logit_mse(inputs.student.logits, inputs.teachers[teacher].logits)

    return Term(loss, weight, teachers=(teacher,))


def hard_label(*, weight: Scheduled = 1.0, teacher: str = "teacher", student_tap: str = "") -> Term:
    """DeiT's hard-label distillation: cross-entropy with the class that the teacher decides for.

    ``student_tap`` names the logits that learn from it, where they are not those that the student predicts with: of a
    network with a distillation token, ``distillation_logits``.
    """

    def loss(inputs: TermInputs):
        return losses.hard_label(_logits(inputs, student_tap), inputs.teachers[teacher].logits)

    return Term(loss, weight, teachers=(teacher,), student_taps=(student_tap,) if student_tap else ())


def multi_level(
    *,
    weight: Scheduled = 1.0,
    temperature: Scheduled = 4.0,
    standardize: bool = False,
    teacher: str = "teacher",
) -> Term:
    """MLKD: soft targets, which examples are alike and which classes, each at T, 2, 3, 5 and 6, summed.

    Of one view of each image; with the second, strongly augmented one, the published objective is several terms:
    :func:`effjax.steps.presets.published`. With ``standardize``, soft targets are of logits without their mean and
    scale.
    """
    scaled = losses.standardize_logits if standardize else jnp.asarray

    def loss(inputs: TermInputs):
        student, taught = inputs.student.logits, inputs.teachers[teacher].logits
        total = jnp.zeros(len(student))
        for t in (_value(temperature, inputs.step), 2.0, 3.0, 5.0, 6.0):
            total += losses.soft_target_kl(scaled(student), scaled(taught), temperature=t)
            for level in (losses.example_correlation, losses.class_correlation):
                total += level(student, taught, temperature=t, axis_name=inputs.axis_name)
        return total

    return Term(loss, weight, teachers=(teacher,))


def gram(*, weight: Scheduled = 1.0, ridge: float = 0.1, teacher: str = "teacher") -> Term:
    """SKD: which examples have alike logits, by Mahalanobis' distance.

    ``ridge`` is that of :func:`effjax.losses.gram_distance`.
    """
    if not ridge > 0:
        raise UserError(f"ridge={ridge!r} must be above 0")

    def loss(inputs: TermInputs):
        logits = inputs.student.logits, inputs.teachers[teacher].logits
        return losses.gram_distance(*logits, ridge=ridge, axis_name=inputs.axis_name)

    return Term(loss, weight, teachers=(teacher,))


def self_paced(*, weight: Scheduled = 1.0, threshold: Scheduled = 1.0, form: str = "hard") -> Term:
    """Cross-entropy of the examples whose own loss is below a threshold, a number or a schedule that grows."""
    losses.self_paced_weights(jnp.zeros(()), 1.0, form=form)  # an unknown form is said now

    def loss(inputs: TermInputs):
        each = losses.cross_entropy(inputs.student.logits, inputs.batch["label"])
        return losses.self_paced_weights(each, _value(threshold, inputs.step), form=form) * each

    return Term(loss, weight)


TERMS: dict[str, Callable[..., Term]] = {
    "ce": ce,
    "soft_target": soft_target,
    "self_paced": self_paced,
    "dkd": decoupled,
    "nkd": normalized,
    "hard_label": hard_label,
    "mlkd": multi_level,
    "sdd_kd": scale_terms.of_soft_targets,
    "sdd_dkd": scale_terms.of_decoupled,
    "sdd_nkd": scale_terms.of_normalized,
    "ctkd": learnt_terms.curriculum_temperature,
    "ofa": exit_term.one_for_all,
    "dist": correlation,
    "logit_mse": logit_mse,
    "hint": feature_terms.hint,
    "attention": feature_terms.attention,
    "nst": feature_terms.selectivity,
    "fsp": feature_terms.flow,
    "kdsvd": feature_terms.singular,
    "ab": connected_terms.boundaries,
    "ft": factor_term.factors,
    "ofd": connected_terms.overhaul,
    "ickd": connected_terms.channels,
    "srd": embedding_terms.projected,
    "pad": embedding_terms.prime_aware,
    "skd": gram,
    "relational_distance": feature_terms.between_examples(losses.relational_distance),
    "relational_angle": feature_terms.between_examples(losses.relational_angle),
    "similarity": feature_terms.between_examples(losses.similarity_preserving),
    "pkt": feature_terms.between_examples(losses.probabilistic_transfer),
    "contrastive": feature_terms.contrastive,
    "cc": learnt_terms.congruence,
    "vid": learnt_terms.variational,
    "crd": learnt_terms.crd,
    "review": review_term.review,
    "quality_focal": detection_terms.quality_focal,
    "box_giou": detection_terms.box_giou,
    "soft_detection": detection_terms.soft_detection,
    "soft_boxes": detection_terms.soft_boxes,
}


#: Terms that learn from several teachers as from one; the others have one each.
OF_SEVERAL_TEACHERS = ("soft_target",)


def make_term(name: str, *, kind: str = "", view: str = "", **options: Any) -> Term:
    """Makes the term ``name``.

    Args:
      name: what the term is called; without ``kind``, one of ``TERMS``.
      kind: one of ``TERMS``, for a term of another name: two soft targets with two teachers, say.
      view: which of the further views it looks at; empty: the first.
      **options: the term's own.

    Raises:
      UserError: if there is no such term, it has no such option, or the option is of another type.
    """
    kind = kind or name
    check_known(kind, TERMS, f"terms: no term {kind!r}")
    allowed = TERMS[kind].__kwdefaults__ or {}
    for option, value in options.items():
        if option not in allowed:
            raise UserError(f"terms.{name}: no option {option!r}; {nearest(option, [*allowed, 'kind', 'view'])}")
        several = kind in OF_SEVERAL_TEACHERS
        _check_type(f"terms.{name}.{option}", value, allowed[option], scheduled=option in _SCHEDULED, several=several)
        _check_range(f"terms.{name}.{option}", option, value)
    if not isinstance(view, str):
        raise UserError(f"terms.{name}.view={view!r} must be a name")
    with blame(name):
        made = TERMS[kind](**{k: tuple(v) if isinstance(v, list) else v for k, v in options.items()})
    return dataclasses.replace(made, view=view) if view else made


def _check_type(key: str, value: Any, default: Any, *, scheduled: bool, several: bool) -> None:
    if isinstance(default, float):
        if scheduled and callable(value):
            return
        wanted, fits = "a number", isinstance(value, int | float) and not isinstance(value, bool)
    elif isinstance(default, bool):
        wanted, fits = "True or False", isinstance(value, bool)
    elif isinstance(default, int):
        wanted, fits = "a whole number", isinstance(value, int) and not isinstance(value, bool)
    elif key.endswith(".teacher"):
        wanted, fits = "a teacher's name", isinstance(value, str) or (several and _is_names(value))
    elif isinstance(default, str):
        wanted, fits = "a name", isinstance(value, str)
    else:
        wanted, fits = "a list of names", _is_names(value)
    if not fits:
        raise UserError(f"{key}={value!r} must be {wanted}")


_SCHEDULED = ("weight", "temperature", "threshold", "reversal")

# What an option must be; beyond it a loss would be NaN, or would do nothing.
_RANGES: dict[str, tuple[Callable[[float], bool], str]] = {
    "weight": (lambda value: value != 0, "anything but 0; a plan of terms turns a term off"),
    "temperature": (lambda value: value > 0, "above 0"),
    "threshold": (lambda value: value > 0, "above 0"),
    "label_smoothing": (lambda value: 0 <= value < 1, "from 0 to below 1"),
}


def _check_range(key: str, option: str, value: Any) -> None:
    if option in _RANGES and not callable(value) and not _RANGES[option][0](value):
        raise UserError(f"{key}={value!r} must be {_RANGES[option][1]}")


def _is_names(value: Any) -> bool:
    return isinstance(value, tuple | list) and bool(value) and all(isinstance(v, str) for v in value)


def _value(scheduled: Scheduled, step: jax.Array) -> Any:
    return scheduled(step) if callable(scheduled) else scheduled


def _logits(inputs: TermInputs, tap: str) -> jax.Array:
    """The student's logits, or those at one of its taps."""
    if not tap:
        return inputs.student.logits
    check_known(tap, inputs.student.taps, f"student_tap={tap!r}")  # a pattern names no single activation
    return inputs.student.taps[tap]


def _feature(batch: Mapping[str, jax.Array], name: str) -> jax.Array:
    check_known(name, batch, f"target={name!r}: the batch has no such feature")
    return batch[name]
