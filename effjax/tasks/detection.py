"""Boxes around the objects of an image, each of one of some classes."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from effjax import boxes
from effjax.images.targets import Boxes
from effjax.metrics import AveragePrecision, Metric
from effjax.specs import Spec
from effjax.steps.predictions import Following, Items
from effjax.tasks.base import Task
from effjax.tasks.box_answers import BoxAnswers
from effjax.tasks.coco_numbers import coco_numbers
from effjax.tasks.found_rightly import trusted_score, worth_of_tags
from effjax.tasks.overlaps import overlaps_by_image
from effjax.typing import Batch

MOST = 100  # detections of an image that count, as for COCO
_CANDIDATES = 3  # times as many go into the suppression of doubles
_OVERLAP = 0.6
_SHOWN = 0.3  # the score of a detection that reports draw
_LEAST_SCORE = 0.05  # of what a labelling loop takes for an object at all
_BATCH = 256  # examples measured at a time


def detections(preds: Mapping[str, jax.Array], most: int = MOST) -> dict[str, jax.Array]:
    """The best boxes of each image, doubles left out.

    Args:
      preds: ``logits`` ``[B, P, K]`` and ``boxes`` ``[B, P, 4]``, as a detector predicts them.
      most: D, at most; no more than a quarter of the places.

    Returns:
      The best first: ``boxes`` ``[B, D, 4]``, ``scores`` ``[B, D]``, ``classes`` int ``[B, D]``, ``place`` int
      ``[B, D]``, where of the P each comes from, and ``present`` ``[B, D]``, false on what only fills up.
    """
    places, classes = preds["logits"].shape[1:]
    most = max(1, min(most, places // 4))

    def one(logits: jax.Array, own: jax.Array) -> dict[str, jax.Array]:
        # All classes of a place compete, as for COCO: two kinds of a thing may be where one is.
        scores, at = jax.lax.top_k(jax.nn.sigmoid(logits).ravel(), min(_CANDIDATES * most, places * classes))
        place, kind = at // classes, at % classes
        chosen = jnp.clip(own[place], 0, 1)
        keep, present = boxes.non_max_suppression(chosen, scores, most, iou_threshold=_OVERLAP, classes=kind)
        found = {"boxes": chosen, "scores": scores, "classes": kind, "place": place}
        return {**{name: array[keep] for name, array in found.items()}, "present": present}

    return jax.vmap(one)(preds["logits"].astype(jnp.float32), preds["boxes"].astype(jnp.float32))


def _average_precision(preds: Mapping[str, jax.Array], batch: Batch, where: jax.Array) -> AveragePrecision:
    return _counted(detections(preds), preds["logits"].shape[-1], batch, where)


def _counted(found: Mapping[str, Any], num_classes: int, targets: Mapping[str, Any], where: Any) -> AveragePrecision:
    return AveragePrecision.empty(num_classes).update(
        *(found[name] for name in ("boxes", "scores", "classes", "present")),
        *(targets[f"objects/{name}"] for name in ("bbox", "label", "valid")),
        crowd=targets.get("objects/is_crowd"),
        where=where,
    )


_counted_alone = jax.jit(_counted, static_argnums=1)


def _measure(found: Mapping[str, np.ndarray], targets: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Of the detections of a whole set, mean average precision, and that at two overlaps."""
    number, state = len(found["scores"]), None
    classes = int(max(targets["objects/label"].max(initial=0), found["classes"].max(initial=0))) + 1
    seen = {name: array for name, array in targets.items() if name.startswith("objects/")}
    for start in range(0, number, _BATCH):
        rows = np.arange(start, start + _BATCH)
        there = np.minimum(rows, number - 1)  # the last one again where none are left, which does not count
        part, true = ({name: array[there] for name, array in arrays.items()} for arrays in (found, seen))
        more = _counted_alone(part, classes, true, rows < number)
        more = jax.tree.map(lambda x: np.asarray(x, np.float64), more)
        state = more if state is None else jax.tree.map(np.add, state, more)
    return {} if state is None else {name: float(value) for name, value in state.compute().items()}


def _places_found(preds: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    """The detections of the mean of M members, their axis first; a place is one at most, whatever it may be of."""
    mean = jax.tree.map(lambda x: x.mean(0), dict(preds))
    sure = jax.nn.sigmoid(preds["logits"].astype(jnp.float32)).mean(0)
    best = sure == sure.max(-1, keepdims=True)
    mean["logits"] = jnp.where(best, jax.scipy.special.logit(jnp.clip(sure, 1e-7, 1 - 1e-7)), -jnp.inf)
    found = detections(mean)
    return {**found, "present": found["present"] & (found["scores"] > _LEAST_SCORE)}


def _items(preds: Mapping[str, jax.Array]) -> Items:
    """What is at the places of the best detections of all members' mean: one of the classes, or (the last) nothing."""
    found, probs = _places_found(preds), jax.nn.sigmoid(preds["logits"].astype(jnp.float32))
    at_places = jax.vmap(jax.vmap(lambda probs, place: probs[place]), (0, None))(probs, found["place"])
    at_places = at_places / jnp.maximum(at_places.sum(-1, keepdims=True), 1.0)
    nothing = jnp.maximum(1.0 - at_places.sum(-1, keepdims=True), 0.0)
    features = jnp.take_along_axis(preds["features"].mean(0), found["place"][..., None], 1)
    return Items(jnp.concatenate([at_places, nothing], -1), found["present"], features, found["scores"])


def _class_quality(found: Mapping[str, np.ndarray], targets: Mapping[str, np.ndarray], classes: int) -> list[float]:
    """How well each class is found, from 0 to 1: the mean over its true boxes of ``score^0.6 · overlap^0.4`` (PPAL).

    Of the best detection of the class, and after training; the paper averages over training steps.
    """
    sums, counts = np.zeros(classes), np.zeros(classes)
    for i, overlap in enumerate(overlaps_by_image(targets["objects/bbox"], found["boxes"])):
        valid, there = targets["objects/valid"][i].astype(bool), found["present"][i]
        labels, overlap = targets["objects/label"][i][valid], overlap[valid][:, there]
        good = found["scores"][i][there] ** 0.6 * overlap**0.4 * (labels[:, None] == found["classes"][i][there])
        np.add.at(sums, labels, good.max(-1, initial=0.0))
        np.add.at(counts, labels, 1)
    return (sums / np.maximum(counts, 1)).tolist()


def _as_targets(preds: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    """The boxes of :func:`_items`, of one network."""
    found = _places_found(jax.tree.map(lambda x: x[None], dict(preds)))
    return {
        "objects/bbox": found["boxes"],
        "objects/label": found["classes"],
        "objects/valid": found["present"],
    }


def _found_again(
    preds: Mapping[str, jax.Array], targets: Mapping[str, jax.Array], before: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """What is detected where an item has gone: the detection that overlaps it most."""
    found = _places_found(jax.tree.map(lambda x: x[None], dict(preds)))
    probs = _items(jax.tree.map(lambda x: x[None], dict(preds))).probs[0]
    overlap = jnp.where(found["present"][:, None], boxes.iou(targets["objects/bbox"], found["boxes"]), 0.0)
    best, most = overlap.argmax(-1), overlap.max(-1)
    nothing = jnp.zeros(probs.shape[-1]).at[-1].set(1.0)
    there = jnp.where(most[..., None] > 0, jnp.take_along_axis(probs, best[..., None], 1), nothing)
    visible = targets["objects/valid"].astype(bool)
    return jnp.where(visible[..., None], there, before), jnp.where(visible, most, 1.0)


def _marks(found: Mapping[str, np.ndarray], targets: Mapping[str, np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
    """The true boxes of each image, and those that are given a score worth looking at."""
    true, valid = targets["objects/bbox"], targets["objects/valid"].astype(bool)
    shown = found["present"] & (found["scores"] >= _SHOWN)
    return [(true[i][valid[i]], found["boxes"][i][shown[i]]) for i in range(len(true))]


DETECTION = Task(
    name="detection",
    inputs=("image",),
    targets={
        "objects/bbox": Spec(np.float32, (None, 4), 0.0),
        "objects/label": Spec(np.int32, (None,), -1),
        "objects/valid": Spec(np.bool_, (None,), False),
    },
    metrics={"map": Metric(_average_precision)},
    watch="map",
    measure=_measure,
    label="mAP",
    columns={"ap50": "AP50", "ap75": "AP75"},
    items=_items,
    answers=BoxAnswers,
    moves={"objects/bbox": Boxes(valid="objects/valid", least=0.25)},
    noted=("objects/is_crowd",),
    following=Following(_as_targets, _found_again),
    floor=trusted_score,
    tags=worth_of_tags,
    class_quality=_class_quality,
    kept=detections,
    marks=_marks,
    counted="boxes",
    official=coco_numbers,
)
