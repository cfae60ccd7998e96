"""The time of effjax's teacher–student step and its parts; prints one line of JSON.

    python -m benchmarks.distill_step --pair=digits --batch=64 --rounds=6

A resident set of random images. In turn, block by block, so that all share the machine's moods: cross-entropy alone;
with soft targets of a teacher that runs beside the student; with its stored answers; and, of a plan that drops the
teacher half-way, the second stage. Also the memory that a step works in, with the contrastive loss and without.
"""

import json
import statistics

import jax
import numpy as np
from absl import app, flags

from benchmarks.timed_step import TimedStep
from effjax import models
from effjax.steps import CachedTeacher, NetworkTeacher, Objective, make_term, pack_answers

PAIRS = {  # teacher, student, their options, image
    "digits": ("scnn", "mlp", {"widths": (128, 128)}, (28, 28, 1)),
    "resnet": ("resnet20", "resnet8", {}, (32, 32, 3)),
}
CLASSES = 10

_PAIR = flags.DEFINE_enum("pair", "digits", list(PAIRS), "which networks")
_ROUNDS = flags.DEFINE_integer("rounds", 6, "how often each is timed")
_SECONDS = flags.DEFINE_float("seconds", 0.5, "how long one timing should take, at least")


def variant(terms, teachers, frozen, **given) -> TimedStep:
    _, student, options, shape = PAIRS[_PAIR.value]
    objective = Objective(models.create(student, CLASSES, **options), terms, teachers)
    return TimedStep(objective, shape, CLASSES, flags.FLAGS.batch, frozen=frozen, seconds=_SECONDS.value, **given)


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
        "plain": variant({"ce": ce}, {}, {}),
        "distilled": variant(both, live, {"teacher": variables}),
        "cached": variant(both, {"teacher": CachedTeacher(CLASSES)}, {"teacher": stored}),
        "after_switch": variant(both, live, {"teacher": variables}, stage=1, plans=dropped),
    }
    for _ in range(_ROUNDS.value + 1):
        for step in variants.values():
            step.time()
    seconds = {name: statistics.median(step.seconds[1:]) for name, step in variants.items()}
    contrastive = variant({"ce": ce, "contrastive": make_term("contrastive")}, live, {"teacher": variables})
    report = {
        "batch": flags.FLAGS.batch,
        "steps_per_dispatch": variants["plain"].length,
        "seconds": seconds,
        "after_switch_over_plain": _ratio(variants["after_switch"], variants["plain"]),
        "cached_over_live": _ratio(variants["cached"], variants["distilled"]),
        "temporary_bytes": {name: _temporary(v) for name, v in {**variants, "contrastive": contrastive}.items()},
    }
    print(json.dumps(report))


def _ratio(one: TimedStep, other: TimedStep) -> list[float]:
    """The lowest, the median and the highest of the rounds' ratios."""
    ratios = sorted(a / b for a, b in zip(one.seconds[1:], other.seconds[1:], strict=True))
    return [ratios[0], statistics.median(ratios), ratios[-1]]


def _temporary(step: TimedStep) -> int:
    """What the program needs besides its arguments and results, in bytes."""
    return step.program.memory_analysis().temp_size_in_bytes


if __name__ == "__main__":
    app.run(main)
