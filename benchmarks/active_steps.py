"""What several predictions cost over one: members' train step, scoring, passes with dropout; prints one line of JSON.

    python -m benchmarks.active_steps --row=ensemble --rounds=5

The S-CNN on random grey images of 28 pixels; all that is compared is timed in turn in this process.
"""

import json
import time
from collections.abc import Callable

import jax
import numpy as np
from absl import app, flags

from benchmarks.effjax_step import RandomFeed
from benchmarks.in_turn import in_turn
from effjax import models, uncertainty
from effjax.curricula import stages
from effjax.runtime import Job, jit_backend
from effjax.runtime.job import spec
from effjax.steps import (
    Network,
    Objective,
    View,
    init_state,
    make_optimizer,
    make_predict,
    make_predictions,
    make_term,
    stack_members,
)
from effjax.tasks import CLASSIFICATION

SHAPE, CLASSES, MEMBERS, PASSES = (28, 28, 1), 10, 5, 25
_TRAINING_BATCH, _SCORING_BATCH, _BATCHES = 64, 256, 4

_ROW = flags.DEFINE_enum("row", "ensemble", ["ensemble", "scoring", "dropout"], "what is compared")
_ROUNDS = flags.DEFINE_integer("rounds", 5, "how often each is timed, after one for warming up")


class MembersFeed(RandomFeed):
    """The random set, drawn from by each of several networks for itself."""

    def __init__(self, members: int):
        super().__init__(_TRAINING_BATCH, SHAPE, CLASSES)
        self.members = members

    def example(self, settings=None):
        return jax.tree.map(self._together, super().example(settings))

    def block_example(self, length, settings=None):
        return {"row": np.zeros((length, *self._leading(), self.batch_size), np.int32)}

    def blocks(self, settings, seed, start, stop, length):
        for first in range(start, stop, length):
            size = (length, *self._leading(), self.batch_size)
            yield {"row": np.random.default_rng(first).integers(0, 4 * self.batch_size, size).astype(np.int32)}

    def _leading(self) -> tuple[int, ...]:
        return (self.members,) if self.members else ()

    def _together(self, array: np.ndarray) -> np.ndarray:
        return np.stack([array] * self.members) if self.members else array


def block_of_steps(members: int) -> tuple[Callable[[], None], int]:
    """A compiled block of train steps of so many networks (0: of one, without their axis), and how many it has."""
    job = Job(
        objective=Objective(models.create("scnn", CLASSES), {"ce": make_term("ce")}),
        optimizer=make_optimizer("sgd", 0.01),
        plan=stages(2048, {"trainable": [[0.0, ".*"]]}),
        feed=MembersFeed(members),
        backend=jit_backend(),
        batch_size=_TRAINING_BATCH,
        evaluate_every=1024,
        checkpoint_every=1024,
        log_every=1024,
        members=members,
    )
    example = RandomFeed(_TRAINING_BATCH, SHAPE, CLASSES).example()
    init = jax.jit(lambda seed: init_state(job.objective, job.optimizer, seed, example))
    states = [jax.tree.map(np.asarray, init(np.uint32(seed))) for seed in range(members or 1)]
    state = jax.tree.map(np.asarray, stack_members(states)) if members else states[0]
    length, _ = job.block_at(job.plan[0], state)
    inputs = job.backend.shard(next(job.feed.blocks({}, 0, 0, length, length)), axis=job.example_axis)
    resident = job.backend.replicate(job.feed.resident)
    program = job.compile(job.plan[0], *spec((state, job.feed.resident)), spec(inputs))
    held = [job.backend.replicate(state)]

    def run() -> None:
        held[0], metrics = program(held[0], resident, inputs)
        jax.block_until_ready(metrics)

    return run, length


def ensemble() -> dict:
    start = time.perf_counter()
    one, length = block_of_steps(0)
    several, _ = block_of_steps(MEMBERS)
    times = in_turn({"several": several, "one": one}, _ROUNDS.value, seconds=1.0)
    seconds = {name: [value / length for value in values] for name, values in times.items()}
    return {"seconds": seconds, "steps_per_dispatch": length, "wall": time.perf_counter() - start}


def predictions(kind: str) -> dict:
    """A pass over a few batches, to the scores on the host, over one of plain inference, to the logits on the host."""
    model, view = models.create("scnn", CLASSES), View()
    variables = models.init(model, jax.random.key(0), SHAPE)
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (_BATCHES, _SCORING_BATCH, *SHAPE), np.uint8)
    ids = np.arange(_BATCHES * _SCORING_BATCH, dtype=np.int32).reshape(_BATCHES, -1)
    plain = jax.jit(make_predict(Network(model, view)))
    platform = jax.default_backend()
    several = jax.jit(
        make_predictions(Network(model, view), CLASSIFICATION.items, kind, passes=PASSES, platform=platform)
    )
    batches = [{"image": image, "id": id_} for image, id_ in zip(images, ids, strict=True)]

    def scored() -> None:
        found = [jax.tree.map(np.asarray, several(variables, batch)) for batch in batches]
        np.asarray(uncertainty.entropy(np.concatenate([one["probs"][:, :, 0] for one in found], axis=1)))

    def inferred() -> None:
        for batch in batches:
            np.asarray(plain(variables, batch))

    times = in_turn({"several": scored, "one": inferred}, _ROUNDS.value, seconds=1.0)
    count = PASSES if kind == "dropout" else 1
    return {"seconds": {"several": times["several"], "one": [count * seconds for seconds in times["one"]]}}


def main(_) -> None:
    rows = {"ensemble": ensemble, "scoring": lambda: predictions("single"), "dropout": lambda: predictions("dropout")}
    print(json.dumps({**rows[_ROW.value](), "device": jax.devices()[0].device_kind}))


if __name__ == "__main__":
    app.run(main)
