"""The time of effjax's own train step, bare and inside the loop; prints one line of JSON.

    python -m benchmarks.effjax_step --model=scnn --batch=64 --steps=40

A resident set of random images, cross-entropy, SGD with momentum: what the plain PyTorch program beside this one does,
with normalisation of uint8 images, metrics and finiteness checks besides.
"""

import json
import statistics
import tempfile
import time

import jax
import numpy as np
from absl import app, flags

from effjax import models
from effjax.allocator import keep_freed_memory, run_programs_here
from effjax.curricula import stages
from effjax.runtime import Job, fit, jit_backend
from effjax.runtime.job import spec
from effjax.steps import Objective, init_state, make_optimizer, make_term

_MODEL = flags.DEFINE_enum("model", "scnn", ["mlp", "scnn", "resnet20"], "which network")
_BATCH = flags.DEFINE_integer("batch", 64, "examples a step")
_STEPS = flags.DEFINE_integer("steps", 40, "timed steps, after a warm-up; a multiple of 64 for the mlp")
_CONVOLUTIONS = flags.DEFINE_enum("convolutions", "xla", models.CONVOLUTIONS, "what computes them")
_LOOP = flags.DEFINE_bool("loop", False, "also time fit() over as many steps as take ten seconds")

# The image and the classes that the PyTorch twin has.
_SHAPES = {"mlp": ((32, 32, 1), 3), "scnn": ((28, 28, 1), 10), "resnet20": ((32, 32, 3), 10)}
# FLOPs of the first layer for one image: nobody asks for the gradient of the images.
_FIRST = {"mlp": 2 * 1024 * 300, "scnn": 2 * 26 * 26 * 9 * 32, "resnet20": 2 * 32 * 32 * 27 * 16}


class RandomFeed:
    """A set of random images on the device."""

    def __init__(self, batch_size: int, shape: tuple[int, ...], num_classes: int):
        draw = np.random.default_rng(0)
        self.batch_size, size = batch_size, 4 * batch_size
        self.resident = {
            "image": draw.integers(0, 256, (size, *shape), np.uint8),
            "label": draw.integers(0, num_classes, size).astype(np.int32),
            "id": np.arange(size, dtype=np.int32),
        }

    def example(self, settings=None):
        return {name: array[: self.batch_size] for name, array in self.resident.items()}

    def block_example(self, length, settings=None):
        return {"row": np.zeros((length, self.batch_size), np.int32)}

    def blocks(self, settings, seed, start, stop, length):
        for first in range(start, stop, length):
            draw = np.random.default_rng(first)
            yield {"row": draw.integers(0, 4 * self.batch_size, (length, self.batch_size)).astype(np.int32)}


def make_task(total_steps: int, per_dispatch: int | None) -> Job:
    shape, num_classes = _SHAPES[_MODEL.value]
    student, convolutions = models.create(_MODEL.value, num_classes), _CONVOLUTIONS.value
    objective = Objective(student, {"ce": make_term("ce")}, convolutions=convolutions)
    return Job(
        objective=objective,
        optimizer=make_optimizer("sgd", 0.01),
        plan=stages(total_steps, {"trainable": [[0.0, ".*"]]}),
        feed=RandomFeed(_BATCH.value, shape, num_classes),
        backend=jit_backend(),
        batch_size=_BATCH.value,
        evaluate_every=total_steps,
        checkpoint_every=total_steps,
        log_every=max(total_steps // 10, 1),
        steps_per_dispatch=per_dispatch,
    )


def initial_state(job: Job):
    init = jax.jit(lambda seed: init_state(job.objective, job.optimizer, seed, job.feed.example()))
    return jax.tree.map(np.asarray, init(np.uint32(0)))


def bare_seconds(steps: int, per_dispatch: int | None) -> tuple[list[float], int]:
    """Seconds a step of the compiled block alone, one value a block, and how many steps a block has."""
    job = make_task(steps, per_dispatch)
    state = initial_state(job)
    stage = job.plan[0]
    length, _ = job.block_at(stage, state)
    inputs = job.backend.shard(next(job.feed.blocks({}, 0, 0, length, length)), axis=1)
    resident = job.backend.replicate(job.feed.resident)
    program = job.compile(stage, *spec((state, job.feed.resident)), spec(inputs))
    state = job.backend.replicate(state)
    seconds = []
    for _ in range(max(steps // length, 3) + 2):
        start = time.perf_counter()
        state, metrics = program(state, resident, inputs)
        jax.block_until_ready(metrics)
        seconds.append((time.perf_counter() - start) / length)
    return seconds[2:], length


def product_flops() -> float:
    """FLOPs a second of a large product of float32 matrices, at its best: what this machine can do."""
    side = 2048
    matrices = jax.random.normal(jax.random.key(0), (2, side, side))
    product = jax.jit(lambda x: x[0] @ x[1]).lower(matrices).compile()
    seconds = []
    for _ in range(12):
        start = time.perf_counter()
        jax.block_until_ready(product(matrices))
        seconds.append(time.perf_counter() - start)
    return 2 * side**3 / min(seconds)


def step_flops() -> float:
    """FLOPs of a step's products and convolutions: both gradients of a layer cost as much as the layer itself."""
    shape, num_classes = _SHAPES[_MODEL.value]
    forward = models.flops(models.create(_MODEL.value, num_classes), shape)
    return _BATCH.value * (3 * forward - _FIRST[_MODEL.value])


def loop_seconds(steps: int) -> float:
    """Seconds a step of ``fit``, compilation left out: a second run of the same job, from start to saved end."""
    job = make_task(steps, None)
    seconds = 0.0
    for _ in range(2):
        with tempfile.TemporaryDirectory() as folder:
            state = initial_state(job)
            start = time.perf_counter()
            fit(job, state, workdir=folder, identity={}, label=_MODEL.value)
            seconds = time.perf_counter() - start
    return seconds / steps


def summary(seconds: list[float]) -> dict[str, float]:
    first, median, third = statistics.quantiles(seconds, n=4)
    return {"median": median, "quartile1": first, "quartile3": third}


def main(_) -> None:
    keep_freed_memory()  # as the launchers have it
    run_programs_here()
    single, _ = bare_seconds(_STEPS.value, 1)
    many, length = bare_seconds(_STEPS.value, None)
    report = {
        "model": _MODEL.value,
        "batch": _BATCH.value,
        "device": jax.devices()[0].device_kind,
        "jax": jax.__version__,
        "single": summary(single),
        "many": {"steps_per_dispatch": length, **summary(many)},
        "share": step_flops() / statistics.median(many) / product_flops(),
    }
    if _LOOP.value:
        steps = max(int(10 / report["many"]["median"]) // 64, 1) * 64
        before, _ = bare_seconds(steps, None)
        report["loop"] = {"steps": steps, "seconds": loop_seconds(steps)}
        after, _ = bare_seconds(steps, None)
        report["loop"]["over_bare"] = report["loop"]["seconds"] / statistics.mean(before + after)
    print(json.dumps(report))


if __name__ == "__main__":
    app.run(main)
