"""Every key of a config with what it may be: the one place that says a range.

What a key means and its default lie in :mod:`effjax.recipes.schema.experiment` and
:mod:`effjax.recipes.schema.active`; options of models, which have a table of their own, in
:mod:`effjax.models.options`.
"""

from effjax import uncertainty
from effjax.curricula.pacing import KINDS as PACINGS
from effjax.recipes.schema.rules import (
    Each,
    Either,
    Keys,
    Rule,
    any_of,
    flag,
    matching,
    name,
    number,
    pattern,
    several,
    text,
    tuples,
    whole,
)
from effjax.selection.registry import RANDOM, RANKS, SELECTORS
from effjax.selection.registry import STREAM as STREAMING
from effjax.selection.streams import POLICIES
from effjax.steps.predictions import KINDS
from effjax.steps.views import REDUCTIONS

_LONG = 2**31 - 1  # what 32 bits hold: steps and examples are counted in them on the device
_SEEDS = 2**32
_BATCH = 2**20
_PIXELS = 16_384
_LARGE = 1e9  # what no weight, rate or price comes near
_SHARE = number(0, 1)
_BELOW_1 = number(0, 1, below=True)

_NAMES = several(text(empty=False), "names")

DATA = Keys(
    {
        "name": text(empty=False),
        "dir": text(empty=False),
        "train": text(empty=False),
        "validation": text(empty=False),
        "test": text(empty=False),
        "pool": text(),
        "image_size": whole(0, _PIXELS),
        "split": several(number(0, _LARGE), "shares of train, validation and test", least=3),
        "classes": tuples((text(empty=False), _NAMES), "a list of (name, (classes of the dataset, …))"),
        "also": Each(text(empty=False)),
        "label_noise": _BELOW_1,
        "features": _NAMES,
        "on_device_mib": number(0, _LARGE),
        "num_workers": whole(0, 1024),
    }
)

VIEW = Keys(
    {
        "mean": several(number(-_LARGE, _LARGE), "numbers", least=1),
        "std": several(number(0, _LARGE, above=True), "numbers above 0", least=1),
        "shift": whole(0, 4096),
        "flip": flag(),
        "crop": _SHARE,
        "operations": whole(0, 64),
        "magnitude": number(0, 10),
        "erasing": _SHARE,
        "mixup": number(0, 1000),
        "cutmix": number(0, 1000),
        "replays": whole(0, 2**16),
    }
)

ACTIVE = Keys(
    {
        "initial": whole(1, _LONG),
        "per_round": whole(1, _LONG),
        "rounds": whole(1, 100_000),
        "start": name("cold", "warm"),
        "oracle": name("dataset", "folder", "label_studio"),
        "budget": number(0, 1e15),
        "cost_per_label": number(0, 1e15, above=True),
        "target": _SHARE,
        "patience": whole(0, _LONG),
        "scoring_batch": whole(1, _BATCH),
        "levels": several(_SHARE, "accuracies from 0 to 1"),
        "watch": _NAMES,
    }
)

OPTIMIZER = Keys(
    {
        "name": text(empty=False),
        "learning_rate": number(0, _LARGE),
        "momentum": _BELOW_1,
        "nesterov": flag(),
        "weight_decay": number(0, _LARGE),
        "b1": _BELOW_1,
        "b2": _BELOW_1,
        "eps": number(0, _LARGE),
        "clip_norm": number(0, _LARGE),
        "decay_mask": pattern(),
    },
    open=True,
    needs=("name", "learning_rate"),
)

_SCHEDULE = {
    "name": text(empty=False),
    "begin": _BELOW_1,
    "warmup": _BELOW_1,
    "end": number(0, _LARGE),
    "boundaries": several(number(0, 1, above=True, below=True), "shares of the run, above 0 and below 1"),
    "factor": number(0, _LARGE),
    "progress": tuples((_SHARE, _SHARE), "a list of corners (share of the steps, share of the schedule)"),
}
SCHEDULE = Keys(_SCHEDULE, open=True, needs=("name",))

_SCHEDULED = Keys({**_SCHEDULE, "peak": number(-_LARGE, _LARGE)}, open=True, needs=("name", "peak"))
_POSITIVE = Either(number(0, _LARGE, above=True), _SCHEDULED)
_FACTOR = number(-_LARGE, _LARGE)
TERM = Keys(
    {
        "kind": text(),
        "weight": Either(_FACTOR, _SCHEDULED),
        "temperature": _POSITIVE,
        "threshold": _POSITIVE,
        "label_smoothing": _BELOW_1,
        "alpha": _FACTOR,
        "beta": _FACTOR,
        "inter": _FACTOR,
        "intra": _FACTOR,
        "target": text(empty=False),
        "teacher": any_of(text(empty=False), several(text(empty=False), "names", least=1)),
        "form": text(empty=False),
        "nonlinearity": text(empty=False),
        "student_tap": text(),
        "teacher_tap": text(),
        "student_taps": _NAMES,
        "teacher_taps": _NAMES,
    },
    open=True,
)


def _pieces(rule, what: str):
    # Where pieces may start, and in what order, the plan itself says best.
    return tuples((number(-_LARGE, _LARGE), rule), f"a list of (from which share of the run, {what})")


_ANY = _pieces(any_of(text(), number(-_LARGE, _LARGE), several(text(), "texts")), "value")
PLANS = Each(
    _ANY,
    {
        "data": _pieces(text(empty=False), "sources joined by +"),
        "image_size": _pieces(whole(1, _PIXELS), "pixels, a whole number above 0"),
        "magnitude": _pieces(number(0, 10), "a magnitude from 0 to 10"),
        "terms": _pieces(_NAMES, "names of terms"),
        "trainable": _pieces(text(empty=False), "a regular expression"),
    },
)

PACING = Keys(
    {
        "kind": name(*PACINGS),
        "order": name("curriculum", "anti-curriculum", "random"),
        "by": name("loss", "confidence", "epoch_learnt", "c_score"),
        "run": text(),
        "start": number(0, 1, above=True),
        "full_at": number(0, 1, above=True),
    },
    optional=True,
)

OUTLIERS = Keys(
    {
        "share": _pieces(_BELOW_1, "a share of the pool, from 0 to below 1"),
        "by": name("correctness", "confidence_variability"),
        "source": name("labels", "predicted"),
        "run": text(),
    },
    optional=True,
)

STREAM = Keys(
    {
        "policy": name(*POLICIES),
        "budget": number(0, 1, above=True),
        "threshold": number(-_LARGE, _LARGE),
        "change": number(0, 1, above=True, below=True),
        "spread": number(0, _LARGE),
        "window": whole(1, _BATCH),
        "tolerance": whole(1, _LONG),
    },
    optional=True,
    open=True,
    needs=("policy", "budget"),
)

QUERY = Keys(
    {
        "predictions": name(*KINDS),
        "score": name(*uncertainty.__all__),
        "selector": name(*RANKS, *SELECTORS, RANDOM, STREAMING),
        "members": whole(2, 1000),
        "passes": whole(2, 10_000),
        "candidates": whole(0, _LONG),
        "outliers": OUTLIERS,
        "stream": STREAM,
    },
    optional=True,
)

_CLASS = any_of(text(empty=False), whole(0, _LONG))
TEACHER = Keys(
    {
        "run": text(),
        "checkpoint": text(),
        "weights": text(),
        "file": text(),
        "step": name("last", "best"),
        "seeds": several(whole(0, _SEEDS - 1), "whole numbers"),
        "cached": matching(r"|float32|float16|top[1-9]\d{0,8}", "float32, float16, top5 (any number), or empty"),
        "classes": several(any_of(_CLASS, several(_CLASS, "these")), "class names or numbers"),
        "mean": several(number(-_LARGE, _LARGE), "numbers"),
        "std": several(number(0, _LARGE, above=True), "numbers above 0"),
        "image_size": whole(0, _PIXELS),
    }
)

RUN = Keys(
    {
        "label": text(),
        "model": Keys({"name": text(empty=False)}, open=True, needs=("name",)),
        "init": text(),
        "without_classes": _NAMES,
        "batch_size": whole(1, _BATCH),
        "epochs": number(0, 1e6),
        "steps": whole(0, _LONG),
        "num_seeds": whole(0, 10_000),
        "optimizer": OPTIMIZER,
        "schedule": SCHEDULE,
        "terms": Each(TERM),
        "plans": PLANS,
        "reduction": name(*REDUCTIONS, "loader"),
        "pacing": PACING,
        "query": QUERY,
        "teachers": Each(TEACHER),
        "accumulate": whole(1, _BATCH),
        "ema": _BELOW_1,
        "sync_batch_norm": flag(),
        "evaluations": whole(1, _LONG),
        "patience": whole(0, _LONG),
        "record": flag(),
        "folds": Rule("0, or a whole number from 2 to 1,000", any_of(whole(0, 0), whole(2, 1000)).fits),
        "checkpoint_every": whole(0, _LONG),
        "keep": whole(1, _LONG),
        "log_every": whole(0, _LONG),
        "steps_per_dispatch": whole(0, _LONG),
    }
)

EXPERIMENT = Keys(
    {
        "recipe": text(empty=False),
        "title": text(),
        "control": text(),
        "reference": text(),
        "table": _NAMES,
        "claims": tuples((text(), text(empty=False), text(empty=False)), "a list of (what is claimed, run, run)"),
        "judge": name("last", "best"),
        "seed": whole(0, _SEEDS - 1),
        "num_seeds": whole(1, 10_000),
        "seeds_together": flag(),
        "backend": name("jit", "pmap"),
        "data": DATA,
        "view": VIEW,
        "eval_batch_size": whole(1, _BATCH),
        "teacher_cache": text(),
        "active": ACTIVE,
        "runs": Each(RUN),
    }
)
