"""Steps of a run on a stream of JPEGs, its reader alone, and its program alone, on a core each; prints JSON.

python -m benchmarks.stream_run --folder=FOLDER --model=resnet18 --width=0.125 --steps=200

The process that trains keeps one core, and its one reading process another, in the places of an accelerator and its
host. Photos are cut as ImageNet's recipes cut them, to 224 pixels. Counted from the first
batch, when the reader has started, to the last step's metrics.
"""

import itertools
import json
import logging
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator

import jax
import numpy as np
from absl import app, flags

from benchmarks.watched_backend import WatchedBackend
from effjax import allocator, models
from effjax.curricula import stages
from effjax.data.fast_resize import RESAMPLERS
from effjax.data.feeds import StreamFeed
from effjax.data.photo_crops import PhotoCrops
from effjax.data.sources import load
from effjax.runtime import Job, fit
from effjax.steps import Objective, init_state, make_optimizer, make_term

_FOLDER = flags.DEFINE_string("folder", None, "of classes of photos", required=True)
_MODEL = flags.DEFINE_string("model", "resnet18", "that trains")
_WIDTH = flags.DEFINE_float("width", 0.125, "multiplies its channels; of an mlp it is the width")
_STEPS = flags.DEFINE_integer("steps", 200, "of a run")
_RESAMPLER = flags.DEFINE_enum("resampler", "pillow", RESAMPLERS, "what resizes the photos' parts")
_ROUNDS = flags.DEFINE_integer("rounds", 3, "how often each is timed")
BATCH, SIZE, CLASSES = 20, 224, 2
_CORES = sorted(os.sched_getaffinity(0))[:2]


class PinnedFeed(StreamFeed):
    """A stream whose reading processes keep to the second core; notes when the first batch was there."""

    begun = 0.0

    def blocks(self, settings, seeds, start, stop, length):
        for number, block in enumerate(super().blocks(settings, seeds, start, stop, length)):
            if number == 0:
                for process in multiprocessing.active_children():
                    for thread in os.listdir(f"/proc/{process.pid}/task"):
                        os.sched_setaffinity(int(thread), {_CORES[1]})
                type(self).begun = time.perf_counter()
            yield block


def main(_) -> None:
    os.sched_setaffinity(0, {_CORES[0]})
    allocator.keep_freed_memory()  # as the launchers do
    allocator.run_programs_here()
    logging.getLogger("absl").setLevel(logging.WARNING)
    source = load(f"folder:{_FOLDER.value}", "train", image_size=SIZE)
    feed = PinnedFeed({"train": source}, BATCH, crops=PhotoCrops(resampler=_RESAMPLER.value), num_workers=1)
    job, state = job_of(feed)

    def run() -> float:
        with tempfile.TemporaryDirectory() as folder:
            fit(job, state, workdir=folder, identity={}, label="benchmark")
        return job.backend.finished

    def read() -> float:
        for _ in feed.blocks({}, 0, 0, _STEPS.value, 1):
            pass
        return time.perf_counter()

    compute, times = device(job, state), {"fit": [], "read": [], "compute": [], "beside": []}
    run()
    for _ in range(_ROUNDS.value):
        for name, timed in {"fit": run, "read": read}.items():
            ended = timed()
            times[name].append((ended - PinnedFeed.begun) / (_STEPS.value - 1))
        times["compute"].append(compute(None))
        times["beside"].append(compute(feed.blocks({}, 0, 0, _STEPS.value + 1, 1)))
    print(json.dumps(times))


def job_of(feed: StreamFeed):
    given = {"widths": (int(_WIDTH.value),)} if _MODEL.value == "mlp" else {"width": _WIDTH.value}
    objective = Objective(models.create(_MODEL.value, CLASSES, **given), {"ce": make_term("ce")})
    optimizer, steps = make_optimizer("sgd", 0.001), _STEPS.value
    state = jax.tree.map(np.asarray, jax.jit(lambda: init_state(objective, optimizer, 0, feed.example()))())
    every = {"evaluate_every": steps, "checkpoint_every": steps, "log_every": steps}
    job = Job(objective, optimizer, stages(steps, {}), feed, WatchedBackend(), BATCH, **every, steps_per_dispatch=1)
    return job, state


def device(job: Job, state):
    """What measures seconds a step on one batch that is there, alone or while the reader reads as much for nobody."""
    backend, example = job.backend, job.feed.block_example(1)
    inputs = backend.shard(example, axis=1)
    program = job.compile(job.plan[0], state, {}, inputs)

    def seconds(blocks: Iterator[object] | None) -> float:
        blocks = blocks or itertools.repeat(None)
        next(blocks)  # the reader has started
        now, start = backend.replicate(state), time.perf_counter()
        for _, _ in zip(range(_STEPS.value), blocks, strict=False):
            now, metrics = program(now, {}, inputs)
            jax.block_until_ready(metrics)
        return (time.perf_counter() - start) / _STEPS.value

    return seconds


if __name__ == "__main__":
    app.run(main)
