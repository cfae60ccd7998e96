"""Whole runs through ``fit``: what a plan of sizes saves, and how long a switch of sizes holds up; prints JSON.

    python -m benchmarks.curriculum_run --width=0.25 --batch=16 --steps=40 --first=80

ResNet-18 on a resident set of random images of 224 pixels, cross-entropy, SGD with momentum; no evaluation. First a run
that switches once, its second program compiled beside the first stage, which must be long enough for that. Then
EfficientTrain's plan in turn with all steps at 224, all programs being there.
"""

import json
import tempfile
import time

import jax
import numpy as np
from absl import app, flags

from benchmarks.effjax_step import RandomFeed
from benchmarks.watched_backend import WatchedBackend
from effjax import models
from effjax.curricula import efficienttrain, stages
from effjax.runtime import Job, fit
from effjax.runtime.programs import Programs
from effjax.steps import Objective, RandAugment, View, init_state, make_optimizer, make_term

_WIDTH = flags.DEFINE_float("width", 0.25, "multiplies the channels of ResNet-18")
_OPERATIONS = flags.DEFINE_integer("operations", 0, "how many of RandAugment's operations an image undergoes")
_FIRST = flags.DEFINE_integer("first", 80, "steps of the run that switches while it compiles; 0 leaves it out")
_PAIRS = flags.DEFINE_integer("pairs", 3, "runs of each plan")
FULL, CLASSES = 224, 10


class WatchedFeed(RandomFeed):
    """Notes how long the device had nothing to do before the first block of a stage."""

    def __init__(self, backend: WatchedBackend, batch_size: int):
        super().__init__(batch_size, (FULL, FULL, 3), CLASSES)
        self.backend, self.idle = backend, []

    def blocks(self, settings, seed, start, stop, length):
        for i, inputs in enumerate(super().blocks(settings, seed, start, stop, length)):
            if i == 0:
                self.idle.append(time.perf_counter() - self.backend.finished)
            yield inputs


class Run:
    """A run of a plan of sizes, as often as wanted; programs are shared with other runs."""

    def __init__(self, plan, steps: int, programs: Programs):
        batch = flags.FLAGS.batch
        backend = WatchedBackend()
        model = models.create("resnet18", CLASSES, width=_WIDTH.value)
        objective = Objective(model, {"ce": make_term("ce")}, view=View(ops=(RandAugment(_OPERATIONS.value),)))
        optimizer, self.feed = make_optimizer("sgd", 0.01), WatchedFeed(backend, batch)

        def init():
            return init_state(objective, optimizer, 0, self.feed.example())

        shapes = jax.eval_shape(init)
        self.state = jax.tree.map(np.asarray, jax.jit(init)())
        self.job = Job(
            objective=objective,
            optimizer=optimizer,
            plan=stages(steps, {"image_size": plan}),
            feed=self.feed,
            backend=backend,
            batch_size=batch,
            evaluate_every=steps,
            checkpoint_every=steps,
            log_every=steps,
            shapes_at=lambda stage: shapes,
            steps_per_dispatch=1 if backend.platform == "cpu" else None,
            programs=programs,
        )

    def __call__(self) -> dict:
        """Trains, and returns seconds, seconds a step by stage, and each switch's stall in steps of the new stage."""
        self.feed.idle.clear()
        with tempfile.TemporaryDirectory() as folder:
            fitted = fit(self.job, self.state, workdir=folder, identity={}, label="benchmark")
        by_stage = fitted.clock["stages"]
        each = [seconds / steps for seconds, _, steps in by_stage]
        return {
            "seconds": sum(seconds for seconds, _, _ in by_stage),
            "each": each,
            "stalls": [idle / step for idle, step in zip(self.feed.idle[1:], each[1:], strict=True)],
        }


def main(_) -> None:
    programs, steps = Programs(), flags.FLAGS.steps
    switching = Run([(0.0, 160), (0.9, 192)], _FIRST.value, programs)() if _FIRST.value else None
    sizes, _ = efficienttrain(FULL)
    runs = {"full": Run([(0.0, FULL)], steps, programs), "plan": Run(sizes.pieces, steps, programs)}
    for run in runs.values():
        run()
    again = [{name: run() for name, run in runs.items()} for _ in range(_PAIRS.value)]
    report = {
        "sizes": [stage["image_size"] for stage in runs["plan"].job.plan],
        "steps": [stage.num_steps for stage in runs["plan"].job.plan],
        "batch": flags.FLAGS.batch,
        "width": _WIDTH.value,
        "stall_while_compiling": switching["stalls"][0] if switching else None,
        "full": [pair["full"] for pair in again],
        "plan": [pair["plan"] for pair in again],
    }
    print(json.dumps(report))


if __name__ == "__main__":
    app.run(main)
