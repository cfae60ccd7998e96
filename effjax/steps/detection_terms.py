"""Terms of detectors: which places answer for which boxes, and how far they are from them."""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from effjax import boxes, losses
from effjax.errors import check_known
from effjax.steps.term import Term, TermInputs

Scheduled = float | optax.Schedule

ASSIGNMENTS = ("centers", "task_aligned")
_REACH = 1.5  # strides from its centre, at most, that a box is predicted from
#: A level predicts boxes whose farthest side is 4 to 8 strides away, the finest all smaller ones, the coarsest all
#: larger ones (FCOS: 64 to 128 pixels at a stride of 16).
_LEAST, _MOST = 4.0, 8.0


class Assigned(NamedTuple):
    """What each place of a batch answers for.

    Attributes:
      boxes: ``[B, P, 4]``, the true box.
      label: its class, int ``[B, P]``.
      positive: whether there is one, ``[B, P]``.
      quality: how good a detection there is taken to be, from 0 to 1, ``[B, P]``; 0 where there is no box.
    """

    boxes: jax.Array
    label: jax.Array
    positive: jax.Array
    quality: jax.Array


def quality_focal(*, weight: Scheduled = 1.0, assignment: str = "centers", beta: float = 2.0) -> Term:
    """Classes of a detector: each place is to give the true one as high as its box overlaps the true box.

    ``assignment``: ``"centers"``, FCOS' with centre sampling: the places near a box's centre; or ``"task_aligned"``,
    those whose class and box are best. An image's sum over all places counts by the mean number of places with a box.
    """
    check_known(assignment, ASSIGNMENTS, f"assignment={assignment!r}")

    def loss(inputs: TermInputs):
        logits, found = inputs.student.preds["logits"], _assigned(inputs, assignment)
        each = losses.quality_focal(logits, found.quality, found.label, found.positive, beta=beta)
        return each.sum(-1) / _places(found.positive, inputs.axis_name)

    return Term(loss, weight)


def box_giou(*, weight: Scheduled = 2.0, assignment: str = "centers") -> Term:
    """Boxes of a detector: one less the generalised IoU with the true box, at the places that have one."""
    check_known(assignment, ASSIGNMENTS, f"assignment={assignment!r}")

    def loss(inputs: TermInputs):
        found = _assigned(inputs, assignment)
        each = losses.generalized_iou_loss(inputs.student.preds["boxes"], found.boxes, where=found.positive)
        return each.sum(-1) / _places(found.positive, inputs.axis_name)

    return Term(loss, weight)


def soft_detection(*, weight: Scheduled = 1.0, beta: float = 2.0, teacher: str = "teacher") -> Term:
    """Classes of a detector, taught: each place is to give every class what the teacher gives it there.

    The quality focal loss with the teacher's probabilities in place of true qualities, summed over the classes; an
    image's sum over all places counts by the teacher's mean sum of probabilities. Teacher and student need the same
    strides.
    """

    def loss(inputs: TermInputs):
        student, taught = _alike(inputs, teacher)
        target = jax.nn.sigmoid(taught["logits"])
        each = losses.soft_quality_focal(student["logits"], target, beta=beta).sum(-1)
        return each / _mean_over(target.max(-1).sum(-1), inputs.axis_name)

    return Term(loss, weight, teachers=(teacher,))


def soft_boxes(*, weight: Scheduled = 1.0, teacher: str = "teacher") -> Term:
    """Boxes of a detector, taught: one less the generalised IoU with the teacher's box, by how sure the teacher is."""

    def loss(inputs: TermInputs):
        student, taught = _alike(inputs, teacher)
        sure = jax.nn.sigmoid(taught["logits"]).max(-1)
        each = sure * losses.generalized_iou_loss(student["boxes"], taught["boxes"])
        return each.sum(-1) / _mean_over(sure.sum(-1), inputs.axis_name)

    return Term(loss, weight, teachers=(teacher,))


def _alike(inputs: TermInputs, teacher: str) -> tuple[Mapping[str, jax.Array], Mapping[str, jax.Array]]:
    student, taught = inputs.student.preds, jax.lax.stop_gradient(inputs.teachers[teacher].preds)
    if student["logits"].shape != taught["logits"].shape:
        ours, theirs = student["logits"].shape[1:], taught["logits"].shape[1:]
        raise ValueError(f"the student has (places, classes) {ours}, the teacher {theirs}: give both the same strides")
    return student, taught


def _assigned(inputs: TermInputs, assignment: str) -> Assigned:
    batch, preds = inputs.batch, jax.lax.stop_gradient(inputs.student.preds)
    true, labels, valid = (batch[f"objects/{name}"] for name in ("bbox", "label", "valid"))
    if "objects/is_crowd" in batch:  # which is no one object
        valid = valid & ~batch["objects/is_crowd"].astype(bool)

    def one(preds: Mapping[str, jax.Array], true, labels, valid) -> Assigned:
        if assignment == "centers":
            found = _near_centers(preds["places"], true, valid)
            overlap = boxes.aligned_iou(preds["boxes"], true[found.index])
            quality = jnp.where(found.positive, overlap, 0.0)
        else:
            probs = jax.nn.sigmoid(preds["logits"])
            found, quality = boxes.match_task_aligned(
                preds["places"][:, :2], true, labels, valid, probs, preds["boxes"]
            )
        return Assigned(true[found.index], labels[found.index], found.positive, quality)

    return jax.vmap(one)(preds, true, labels, valid)


def _near_centers(places: jax.Array, true: jax.Array, valid: jax.Array) -> boxes.Match:
    """FCOS' assignment, in units of the finest stride: downwards and sideways the same, whatever the image's form."""
    points, strides = places[:, :2], places[:, 2:]
    unit = strides.min(0)
    stride = (strides / unit).max(-1)
    least = jnp.where(stride == stride.min(), 0.0, _LEAST * stride)
    most = jnp.where(stride == stride.max(), jnp.inf, _MOST * stride)
    sizes, reach = jnp.stack([least, most], -1), _REACH * strides / unit
    return boxes.match(points / unit, true / jnp.tile(unit, 2), valid, reach=reach, sizes=sizes)


def _places(positive: jax.Array, axis_name: str | None) -> jax.Array:
    return _mean_over(positive.sum(-1).astype(jnp.float32), axis_name)


def _mean_over(counts: jax.Array, axis_name: str | None) -> jax.Array:
    """The mean of the examples' counts ``[B]`` over the whole batch, 1 at least."""
    mean = counts.mean()
    return jnp.maximum(mean if axis_name is None else jax.lax.pmean(mean, axis_name), 1.0)
