"""The time of effjax's steps on a GPU; prints one line of JSON.

    python -m benchmarks.gpu_step --case=distil --rounds=8

``distil``: a ResNet-18 that a ResNet-50 teaches, images of 224×224, bfloat16, the teacher beside it. ``members``: five
networks in one program, mapped and laid out one after the other, and one; an S-CNN and a ResNet-20.
"""

import json
import statistics

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from benchmarks.timed_step import TimedStep
from effjax import models
from effjax.runtime.machine import processor
from effjax.steps import NetworkTeacher, Objective, make_term

_CASE = flags.DEFINE_enum("case", "distil", ["distil", "members"], "what is timed")
_ROUNDS = flags.DEFINE_integer("rounds", 8, "how often each is timed")
_IMAGES = flags.DEFINE_integer("images", 128, "a step, of the distillation")
_SIZE = flags.DEFINE_integer("size", 224, "of these images")


def distil():
    shape, classes = (_SIZE.value, _SIZE.value, 3), 1000
    teacher = models.create("resnet50", classes, dtype=jnp.bfloat16)
    student = models.create("resnet18", classes, dtype=jnp.bfloat16)
    variables = jax.tree.map(np.asarray, models.init(teacher, jax.random.key(1), shape))
    terms = {"ce": make_term("ce", weight=0.5), "soft_target": make_term("soft_target", weight=0.5)}
    taught = Objective(student, terms, {"teacher": NetworkTeacher(teacher)})
    alone = Objective(student, {"ce": make_term("ce")})
    return {
        "distilled": TimedStep(taught, shape, classes, _IMAGES.value, frozen={"teacher": variables}),
        "plain": TimedStep(alone, shape, classes, _IMAGES.value),
    }


def members():
    found = {}
    for name, shape, batch in (("scnn", (28, 28, 1), 32), ("resnet20", (32, 32, 3), 128)):
        objective = Objective(models.create(name, 10), {"ce": make_term("ce")})
        found[f"{name}, one"] = TimedStep(objective, shape, 10, batch)
        found[f"{name}, five mapped"] = TimedStep(objective, shape, 10, batch, members=5)
        found[f"{name}, five in turn"] = TimedStep(objective, shape, 10, batch, members=5, unroll=True)
    return found


def main(_):
    steps = {"distil": distil, "members": members}[_CASE.value]()
    for _ in range(_ROUNDS.value + 1):
        for step in steps.values():
            step.time()
    report = {
        "device": jax.devices()[0].device_kind,
        "processor": processor(),
        "jax": jax.__version__,
        "seconds": {name: statistics.median(step.seconds[1:]) for name, step in steps.items()},
        "range": {name: [min(step.seconds[1:]), max(step.seconds[1:])] for name, step in steps.items()},
        "steps_per_dispatch": {name: step.length for name, step in steps.items()},
    }
    print(json.dumps(report))


if __name__ == "__main__":
    app.run(main)
