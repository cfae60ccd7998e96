"""The time of a train step by the size of its images, with and without the crop to that size; prints JSON.

    python -m benchmarks.curriculum_step --width=0.25 --batch=16

ResNet-18 on a resident set of random images, cross-entropy, SGD with momentum, one step a dispatch. In turn: at 224
pixels; at each smaller size on images that have it; and on images of 224 that the step crops. Also the crop alone.
"""

import functools
import json

import jax
import numpy as np
from absl import app, flags

from benchmarks.effjax_step import RandomFeed
from benchmarks.in_turn import in_turn
from effjax import images as ops
from effjax import models
from effjax.curricula import stages
from effjax.runtime import Job, jit_backend
from effjax.runtime.job import spec
from effjax.steps import Objective, init_state, make_optimizer, make_term

_WIDTH = flags.DEFINE_float("width", 0.25, "multiplies the channels of ResNet-18")
_ROUNDS = flags.DEFINE_integer("rounds", 5, "how often each is timed")
_SIZES = flags.DEFINE_list("sizes", ["160", "96"], "smaller sizes, in pixels")
FULL, CLASSES = 224, 10


class Step:
    """A compiled step and what it runs on."""

    def __init__(self, stored: int, size: int):
        objective = Objective(models.create("resnet18", CLASSES, width=_WIDTH.value), {"ce": make_term("ce")})
        batch = flags.FLAGS.batch
        job = Job(
            objective=objective,
            optimizer=make_optimizer("sgd", 0.01),
            plan=stages(64, {"image_size": [[0.0, size]]}),
            feed=RandomFeed(batch, (stored, stored, 3), CLASSES),
            backend=jit_backend(),
            batch_size=batch,
            evaluate_every=64,
            checkpoint_every=64,
            log_every=64,
            steps_per_dispatch=1,
        )
        init = jax.jit(lambda: init_state(objective, job.optimizer, 0, job.feed.example()))
        self.state = job.backend.replicate(jax.tree.map(np.asarray, init()))
        self.resident = job.backend.replicate(job.feed.resident)
        self.inputs = job.backend.shard(next(job.feed.blocks({}, 0, 0, 1, 1)), axis=1)
        shapes = (*spec((self.state, job.feed.resident)), spec(self.inputs))
        self.program = job.compile(job.plan[0], *shapes)

    def __call__(self) -> None:
        self.state, metrics = self.program(self.state, self.resident, self.inputs)
        jax.block_until_ready((self.state, metrics))


def main(_) -> None:
    sizes = [int(size) for size in _SIZES.value]
    timed = {str(FULL): Step(FULL, FULL)}
    images = jax.device_put(np.zeros((flags.FLAGS.batch, FULL, FULL, 3), np.float32))
    for size in sizes:
        timed[f"{size}"] = Step(size, size)
        timed[f"{size} cropped"] = Step(FULL, size)
        crop = jax.jit(functools.partial(ops.low_frequency_crop, size=size, method="auto"))
        timed[f"{size} crop alone"] = lambda crop=crop: jax.block_until_ready(crop(images))
    report = {"width": _WIDTH.value, "batch": flags.FLAGS.batch, "sizes": sizes}
    print(json.dumps({**report, "times": in_turn(timed, _ROUNDS.value)}))


if __name__ == "__main__":
    app.run(main)
