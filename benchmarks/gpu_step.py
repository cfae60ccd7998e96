"""The time of effjax's steps on a GPU; prints one line of JSON.

    python -m benchmarks.gpu_step --case=distil --rounds=8

``distil``: a ResNet-18 that a ResNet-50 teaches, images of 224×224, bfloat16, the teacher beside it. ``members``: five
networks in one program, mapped and laid out one after the other, and one; an S-CNN and a ResNet-20.
"""

import json
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from benchmarks.effjax_step import RandomFeed
from effjax import models
from effjax.curricula import stages
from effjax.runtime import Job, jit_backend
from effjax.runtime.job import spec
from effjax.runtime.machine import processor
from effjax.steps import NetworkTeacher, Objective, init_state, make_optimizer, make_term
from effjax.steps.members import Together

_CASE = flags.DEFINE_enum("case", "distil", ["distil", "members"], "what is timed")
_ROUNDS = flags.DEFINE_integer("rounds", 8, "how often each is timed")
_IMAGES = flags.DEFINE_integer("images", 128, "a step, of the distillation")
_SIZE = flags.DEFINE_integer("size", 224, "of these images")


class Feed(RandomFeed):
    """Random images for several networks, for each its own."""

    def __init__(self, members, *args):
        super().__init__(*args)
        self.members = members

    def example(self, settings=None):
        one = super().example(settings)
        return {name: np.stack([array] * self.members) for name, array in one.items()}

    def block_example(self, length, settings=None):
        return {"row": np.zeros((length, self.members, self.batch_size), np.int32)}

    def blocks(self, settings, seed, start, stop, length):
        for first in range(start, stop, length):
            rows = np.random.default_rng(first).integers(
                0, 4 * self.batch_size, (length, self.members, self.batch_size)
            )
            yield {"row": rows.astype(np.int32)}


class Step:
    """A compiled block of steps on random images, and what a step has taken."""

    def __init__(self, objective, shape, classes, batch, *, frozen=None, members=None, unroll=False, seconds=0.5):
        frozen = frozen or {}
        feed = RandomFeed(batch, shape, classes)
        self.job = job = Job(
            objective=objective,
            optimizer=make_optimizer("sgd", 0.01),
            plan=stages(2048, {"trainable": [[0.0, ".*"]]}),
            feed=Feed(members, batch, shape, classes) if members else feed,
            backend=jit_backend(),
            batch_size=batch,
            evaluate_every=1024,
            checkpoint_every=1024,
            log_every=1024,
            members=Together(members, "ensemble") if members else None,
        )
        at, backend = job.plan[0], job.backend

        def init(seed):
            return init_state(objective, job.optimizer, seed, feed.example(), frozen=spec(frozen))

        seeds = jnp.arange(members, dtype=jnp.uint32) if members else jnp.uint32(0)
        state = jax.jit(jax.vmap(init) if members else init)(seeds)
        self.state = backend.replicate(jax.tree.map(np.asarray, state).replace(frozen=frozen))
        self.length, _ = job.block_at(at, self.state)
        if unroll:
            job._unrolled.update(dict.fromkeys(job._unrolled, True))
        inputs = next(job.feed.blocks({}, 0, 0, self.length, self.length))
        self.inputs = backend.shard(inputs, axis=job.example_axis)
        self.resident = backend.replicate(job.feed.resident)
        self.program = job.compile(at, *spec((self.state, job.feed.resident)), spec(self.inputs))
        self.seconds, self.least = [], seconds

    def run(self, blocks):
        start = time.perf_counter()
        for _ in range(blocks):
            self.state, metrics = self.program(self.state, self.resident, self.inputs)
        jax.block_until_ready(metrics)
        return (time.perf_counter() - start) / (blocks * self.length)

    def time(self):
        once = self.run(1) * self.length
        self.seconds.append(self.run(max(round(self.least / once), 1)))


def distil():
    shape, classes = (_SIZE.value, _SIZE.value, 3), 1000
    teacher = models.create("resnet50", classes, dtype=jnp.bfloat16)
    student = models.create("resnet18", classes, dtype=jnp.bfloat16)
    variables = jax.tree.map(np.asarray, models.init(teacher, jax.random.key(1), shape))
    terms = {"ce": make_term("ce", weight=0.5), "soft_target": make_term("soft_target", weight=0.5)}
    taught = Objective(student, terms, {"teacher": NetworkTeacher(teacher)})
    alone = Objective(student, {"ce": make_term("ce")})
    return {
        "distilled": Step(taught, shape, classes, _IMAGES.value, frozen={"teacher": variables}),
        "plain": Step(alone, shape, classes, _IMAGES.value),
    }


def members():
    found = {}
    for name, shape, batch in (("scnn", (28, 28, 1), 32), ("resnet20", (32, 32, 3), 128)):
        objective = Objective(models.create(name, 10), {"ce": make_term("ce")})
        found[f"{name}, one"] = Step(objective, shape, 10, batch)
        found[f"{name}, five mapped"] = Step(objective, shape, 10, batch, members=5)
        found[f"{name}, five in turn"] = Step(objective, shape, 10, batch, members=5, unroll=True)
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
