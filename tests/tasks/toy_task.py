"""Where is the digit? One box: a whole task, as a user's own module registers it."""

import json

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from effjax.boxes import aligned_iou
from effjax.metrics import Mean, Metric
from effjax.steps import TERMS, Term
from effjax.tasks import TASKS, Items, Spec, Task


class BoxHead(nn.Module):
    @nn.compact
    def __call__(self, features, train=False, dropout_keys=None):
        return nn.sigmoid(nn.Dense(4)(features["penultimate"]))


def quarter(boxes):  # of the image, that the centre is in
    y, x = (boxes[..., :2] + boxes[..., 2:]).T / 2
    probs = jnp.stack([(1 - y) * (1 - x), (1 - y) * x, y * (1 - x), y * x]).T[:, :, None]
    return Items(probs, jnp.ones(probs.shape[1:3], bool))


class BoxAnswers:
    specs, choices, hint = {"box": Spec(np.float32, (4,))}, (), "a box as [y0, x0, y1, x1], from 0 to 1"
    parse, show, cost = staticmethod(json.loads), staticmethod(str), staticmethod(lambda answer: 7.0)
    items, boxes = staticmethod(lambda answer: 1), staticmethod(lambda answer: [answer])
    read = staticmethod(lambda answer: {"box": np.array(answer, np.float32)})
    write = staticmethod(lambda targets: [round(float(x), 4) for x in targets["box"]])

    def problem(self, answer):
        return None if np.shape(answer) == (4,) and min(answer) >= 0 and max(answer) <= 1 else f"{answer} is no box"


def box(*, weight=1.0):
    return Term(lambda x: jnp.abs(x.student.preds - x.batch["box"]).sum(-1), weight)


def box_hint(*, weight=1.0):
    return Term(lambda x: jnp.abs(x.student.preds - x.teachers["teacher"].preds).sum(-1), weight, ("teacher",))


TERMS |= {"box": box, "box_hint": box_hint}
IOU = Metric(lambda p, b, where: Mean.empty().update(aligned_iou(p, b["box"]), where=where), in_training=True)
FOUND = Metric(lambda p, b, where: Mean.empty().update(aligned_iou(p, b["box"]) > 0.5, where=where), on_host=True)
TASKS["where"] = Task(
    *("where", ("image",), BoxAnswers.specs, {"iou": IOU, "found": FOUND}, "iou"),
    measure=lambda preds, targets: {"iou": float(aligned_iou(preds, targets["box"]).mean())},
    items=quarter,
    answers=lambda class_names: BoxAnswers(),
    moves={"box": "boxes"},
    head=BoxHead,
)
