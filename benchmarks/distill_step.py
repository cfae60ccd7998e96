"""The time of effjax's teacher–student step and its parts; prints one line of JSON.

    python -m benchmarks.distill_step --pair=digits --batch=64 --rounds=6

A resident set of random images. In turn, block by block, so that all share the machine's moods: cross-entropy alone;
with soft targets of a teacher that runs beside the student; with its stored answers; and, of a plan that drops the
teacher half-way, the second stage. Also the memory that a step works in, with the contrastive loss and without.
"""

import json
import statistics
import time

import jax
import numpy as np
from absl import app, flags

from benchmarks.effjax_step import RandomFeed
from effjax import models
from effjax.curricula import stages
from effjax.runtime import Job, jit_backend
from effjax.runtime.job import spec
from effjax.steps import (
    CachedTeacher,
    NetworkTeacher,
    Objective,
    init_state,
    make_optimizer,
    make_term,
    pack_answers,
)

PAIRS = {  # teacher, student, their options, image
    "digits": ("scnn", "mlp", {"widths": (128, 128)}, (28, 28, 1)),
    "resnet": ("resnet20", "resnet8", {}, (32, 32, 3)),
}
CLASSES = 10

_PAIR = flags.DEFINE_enum("pair", "digits", list(PAIRS), "which networks")
_ROUNDS = flags.DEFINE_integer("rounds", 6, "how often each is timed")
_SECONDS = flags.DEFINE_float("seconds", 0.5, "how long one timing should take, at least")


class Variant:
    """One kind of step: its compiled block of steps, and what it has taken."""

    def __init__(self, terms, teachers, frozen, *, stage: int = 0, plans=None):
        _, student, options, shape = PAIRS[_PAIR.value]
        self.job = Job(
            objective=Objective(models.create(student, CLASSES, **options), terms, teachers),
            optimizer=make_optimizer("sgd", 0.01),
            plan=stages(2048, plans or {"trainable": [[0.0, ".*"]]}),
            feed=RandomFeed(flags.FLAGS.batch, shape, CLASSES),
            backend=jit_backend(),
            batch_size=flags.FLAGS.batch,
            evaluate_every=1024,
            checkpoint_every=1024,
            log_every=1024,
        )
        job, backend = self.job, self.job.backend
        state = jax.jit(lambda: init_state(job.objective, job.optimizer, 0, job.feed.example(), frozen=spec(frozen)))()
        at = job.plan[stage]
        needed = {name: frozen[name] for name in job.objective_at(at).teachers}
        self.state = backend.replicate(jax.tree.map(np.asarray, state).replace(frozen=needed))
        self.length, _ = job.block_at(at, self.state)
        self.inputs = backend.shard(next(job.feed.blocks({}, 0, 0, self.length, self.length)), axis=1)
        self.resident = backend.replicate(job.feed.resident)
        self.program = job.compile(at, *spec((self.state, job.feed.resident)), spec(self.inputs))
        self.seconds: list[float] = []

    def run(self, blocks: int) -> float:
        start = time.perf_counter()
        for _ in range(blocks):
            self.state, metrics = self.program(self.state, self.resident, self.inputs)
        jax.block_until_ready(metrics)
        return (time.perf_counter() - start) / (blocks * self.length)

    def time(self) -> None:
        once = self.run(1) * self.length
        self.seconds.append(self.run(max(round(_SECONDS.value / once), 1)))


def main(_) -> None:
    teacher, _, _, shape = PAIRS[_PAIR.value]
    module = models.create(teacher, CLASSES)
    variables = jax.tree.map(np.asarray, models.init(module, jax.random.key(1), shape))
    answers = np.random.default_rng(0).normal(size=(1, 4 * flags.FLAGS.batch, CLASSES)).astype(np.float32)
    stored = jax.tree.map(np.asarray, pack_answers(answers, "float16"))
    ce, soft = make_term("ce", weight=0.5), make_term("soft_target", weight=0.5)
    both, live = {"ce": ce, "soft_target": soft}, {"teacher": NetworkTeacher(module)}
    dropped = {"terms": [[0.0, ("ce", "soft_target")], [0.5, ("ce",)]]}
    variants = {
        "plain": Variant({"ce": ce}, {}, {}),
        "distilled": Variant(both, live, {"teacher": variables}),
        "cached": Variant(both, {"teacher": CachedTeacher(CLASSES)}, {"teacher": stored}),
        "after_switch": Variant(both, live, {"teacher": variables}, stage=1, plans=dropped),
    }
    for _ in range(_ROUNDS.value + 1):
        for variant in variants.values():
            variant.time()
    seconds = {name: statistics.median(variant.seconds[1:]) for name, variant in variants.items()}
    contrastive = Variant({"ce": ce, "contrastive": make_term("contrastive")}, live, {"teacher": variables})
    report = {
        "batch": flags.FLAGS.batch,
        "steps_per_dispatch": variants["plain"].length,
        "seconds": seconds,
        "after_switch_over_plain": _ratio(variants["after_switch"], variants["plain"]),
        "cached_over_live": _ratio(variants["cached"], variants["distilled"]),
        "temporary_bytes": {name: _temporary(v) for name, v in {**variants, "contrastive": contrastive}.items()},
    }
    print(json.dumps(report))


def _ratio(one: Variant, other: Variant) -> list[float]:
    """The lowest, the median and the highest of the rounds' ratios."""
    ratios = sorted(a / b for a, b in zip(one.seconds[1:], other.seconds[1:], strict=True))
    return [ratios[0], statistics.median(ratios), ratios[-1]]


def _temporary(variant: Variant) -> int:
    """What the program needs besides its arguments and results, in bytes."""
    return variant.program.memory_analysis().temp_size_in_bytes


if __name__ == "__main__":
    app.run(main)
