"""The keys of one run: a student, what it minimises, and how long."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from effjax.models.convolutions import CONVOLUTIONS
from effjax.pruning import SCOPES, SCORES
from effjax.recipes.schema.example_keys import Coreset, Pacing, Selection, Weighting
from effjax.recipes.schema.fields import key, keys_of, maybe, needed, part
from effjax.recipes.schema.loop_keys import Query
from effjax.recipes.schema.rules import (
    BATCH,
    LARGE,
    LONG,
    PIXELS,
    SEEDS,
    Each,
    Rule,
    any_of,
    below_one,
    flag,
    fraction,
    matching,
    names,
    none,
    number,
    one_of,
    pattern,
    pieces,
    several,
    text,
    tuples,
    whole,
)
from effjax.recipes.schema.term_keys import Schedule, Term
from effjax.steps.narrowing import MEASURES, is_channels
from effjax.steps.pruning import RENEWALS
from effjax.steps.settings import is_replay
from effjax.steps.sparsity import RAMP, RAMP_PATTERN
from effjax.steps.structures import STRUCTURES, is_structure
from effjax.steps.views import REDUCTIONS

_SOME = text(empty=False)
_FACTOR = number(-LARGE, LARGE)
_CLASS = any_of(_SOME, whole(0, LONG))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Model:
    """A network; its other keys are its own options."""

    OPEN: ClassVar[bool] = True

    name: str = key("mlp", _SOME, "one of `models.create`")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optimizer:
    """How parameters follow their gradients."""

    OPEN: ClassVar[bool] = True

    name: str = key("adam", _SOME, "`sgd`, `adam`, `adamw` or `lamb`")
    learning_rate: float = key(1e-3, number(0, LARGE), "the highest of the schedule")
    momentum: float = maybe(below_one(), "of sgd")
    nesterov: bool = maybe(flag(), "of sgd")
    weight_decay: float = maybe(number(0, LARGE), "of all but adam")
    b1: float = maybe(below_one(), "of the Adams")
    b2: float = maybe(below_one(), "of the Adams")
    eps: float = maybe(number(0, LARGE), "of the Adams")
    clip_norm: float = maybe(number(0, LARGE), "the gradient's global norm is cut to this; 0 leaves it")
    decay_mask: str = maybe(pattern(), "the paths of parameters that weight decay acts on")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Teacher:
    """Whom a run learns from, one of these: a run, an earlier run's folder, another framework's weights, a function."""

    run: str = key("", text(), "another run of the same experiment")
    checkpoint: str = key("", text(), "an earlier run's folder, the one that holds `checkpoints/`")
    weights: str = key("", text(), "the architecture of weights that another framework has trained")
    options: Mapping[str, Any] = key(
        {},
        Each(any_of(flag(), number(-LARGE, LARGE), text())),
        "of `weights`: the architecture's own, as `options(name)` lists them, such as `{'shortcut': 'projection'}`",
    )
    function: str = key(
        "",
        text(),
        "`package.module:function` or `file.py:function`, called without arguments: it returns a flax.linen module, or "
        "one and its variables",
    )
    file: str = key(
        "",
        text(),
        "of `weights`: a .pth or .safetensors file, empty: those that a package ships; of `function`: its variables, "
        ".npz, .safetensors, .msgpack or a folder of Orbax, empty: those that it returns",
    )
    part: str = key(
        "",
        text(),
        "of `file`: which of its state dicts, such as `model`; empty: an average over the training (`model_ema` and "
        "the like) where there is one, else the usual",
    )
    step: str = key("last", one_of("last", "best"), "of a run: its end, or the best on validation")
    seeds: Sequence[int] = key(
        (), several(whole(0, SEEDS - 1), "whole numbers"), "of `run`, for an ensemble; (): the student's own seed"
    )
    cached: str = key(
        "",
        matching(r"|float32|float16|top[1-9]\d{0,8}", "float32, float16, top5 (any number), or empty"),
        "how its answers on the training set, computed once, are kept: `top5`, the five largest; empty: it runs beside "
        "the student at every step",
    )
    classes: Sequence[Any] = key(
        (),
        several(any_of(_CLASS, several(_CLASS, "these")), "class names or numbers"),
        "by class of the dataset, the teacher's class or classes that make it up; (): it knows the very same",
    )
    mean: Sequence[float] = key(
        (), several(_FACTOR, "numbers"), "subtracted from pixels in [0, 1]; (): known with the weights"
    )
    std: Sequence[float] = key((), several(number(0, LARGE, above=True), "numbers above 0"), "divided by")
    image_size: int = key(0, whole(0, PIXELS), "that images are resized to for the teacher; 0 leaves them")


_SHARE = number(0, 1, above=True)
_PLANS = Each(
    pieces(any_of(text(), number(-LARGE, LARGE), several(text(), "texts")), "value"),
    {
        "accumulate": pieces(whole(1, BATCH), "parts, a whole number above 0"),
        "bits": pieces(
            any_of(none(), matching(r"w[2-8]a[2-8]( live)?", "bits, `w8a8`")),
            "None or w8a8, w4a8, w4a4, …, or 'w4a4 live', with batch normalisation that goes on",
        ),
        "candidates": pieces(number(1, LARGE), "candidates for each example that a step trains on, from 1 on"),
        "channels": pieces(
            any_of(_SHARE, Rule("", is_channels)),
            f"the share of channels that are kept, above 0; or a list of it, of what they are chosen by "
            f"({', '.join(MEASURES)}), and of what their numbers are multiples of",
        ),
        "data": pieces(_SOME, "sources joined by +"),
        "image_size": pieces(whole(1, PIXELS), "pixels, a whole number above 0"),
        "magnitude": pieces(number(0, 10), "a magnitude from 0 to 10"),
        "sparsity": pieces(
            any_of(below_one(), matching(RAMP_PATTERN, f"a ramp to one, `{RAMP} 0.9`")),
            f"the share of weights that are removed, from 0 to below 1, or a ramp to it, `{RAMP} 0.9`",
        ),
        "replay": pieces(
            any_of(whole(1, 1), Rule("", is_replay)),
            "1, or how often an example is shown while it is in a buffer, and of how many steps the buffer keeps what "
            "was decoded, `(4, 1920)`",
        ),
        "smoothing": pieces(number(0, 100), "the standard deviation of what blurs feature maps, in pixels; 0: nothing"),
        "terms": pieces(names(), "names of terms"),
        "tokens": pieces(_SHARE, "the share of an image's patches that a transformer is trained on, above 0"),
        "trainable": pieces(_SOME, "a regular expression"),
    },
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pruning:
    """Which weights `plans.sparsity` removes."""

    structure: str = key(
        "weights",
        Rule("", is_structure, STRUCTURES),
        "`weights`, any; or of every m along a kernel's input channels n are kept, any `n:m`",
    )
    scope: str = key(
        "global", one_of(*SCOPES), "among which weights they are compared; `erk`: the larger a layer, the sparser"
    )
    score: str = key("magnitude", one_of(*SCORES), "what a weight is worth")
    renewal: str = key(
        "gradual",
        one_of(*RENEWALS),
        "`gradual`: what is removed stays so; `rigl`, `set`: weights are exchanged at one sparsity; `sr_ste`: removed "
        "weights learn on, and may come back",
    )
    every: int = key(100, whole(1, LONG), "steps between two looks at the masks; the ends of a ramp are looked at too")
    until: float = key(
        0.75,
        number(0, 1, above=True),
        "of all but `gradual`: the share of the run after which masks stay as they are",
    )
    exchanged: float = key(0.3, fraction(), "of `rigl` and `set`: the share of the kept weights exchanged at first")
    decay: float = key(2e-4, fraction(), "of `sr_ste`: what draws removed weights to 0")
    dense: str = key(
        "", pattern(), "a regular expression: kernels that stay dense, `student/(conv1|classifier)/kernel`"
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rewind:
    """A run that starts where another was at an early step."""

    run: str = needed(_SOME, "another run of the experiment, of the same model")
    step: int = key(0, whole(0, LONG), "of its steps, which it must have kept a checkpoint of; 0: before its first")
    masks: str = key("", text(), "a run whose removed weights are removed from the start; empty: none")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """A student, what it minimises, and how long."""

    label: str = key("", text(), "the run's name in tables")
    model: Model = part(Model, "the network")
    init: str = key(
        "",
        text(),
        "what it, or its backbone, starts from: `shipped` (by a package), or a .pth or .safetensors file, of which "
        "`#model` and the like name a state dict: else an average over the training is taken where there is one",
    )
    rewind: Rewind | None = key(
        None,
        keys_of(Rewind, optional=True),
        "another run's early parameters to start from; empty: those that are drawn",
    )
    without_classes: Sequence[str] = key((), names(), "names of classes that are left out of this run's training set")
    num_seeds: int = key(
        0, whole(0, 10_000), "0: as many as the experiment; fewer for a teacher that all seeds of its students share"
    )
    batch_size: int = key(64, whole(1, BATCH), "examples a step, over all devices")
    repeats: int = key(
        1,
        whole(1, 64),
        "how often each example of a step comes in it, augmented anew (repeated augmentation); `batch_size` counts all",
    )
    epochs: float = key(10.0, number(0, 1e6), "how long")
    steps: int = key(0, whole(0, LONG), "if given, exactly so many instead of epochs")
    optimizer: Optimizer = part(Optimizer, "how parameters follow their gradients")
    schedule: Schedule = part(Schedule, "of the learning rate")
    terms: Mapping[str, Term] = key({"ce": Term(weight=1.0)}, Each(keys_of(Term)), "name → a term of what is minimised")
    plans: Mapping[str, Any] = key({}, _PLANS, "setting → [[from which share of the run, value], …]")
    pruning: Pruning = part(Pruning, "which weights `plans.sparsity` removes")
    reduction: str = key(
        "frequency",
        one_of(*REDUCTIONS, "early", "loader"),
        "how `plans.image_size` makes images smaller; `early`: as `resize`, but before erasing and mixing, "
        "for runs without teachers",
    )
    pacing: Pacing | None = key(
        None, keys_of(Pacing, optional=True), "easy examples first; empty: all examples from the start"
    )
    coreset: Coreset | None = key(
        None, keys_of(Coreset, optional=True), "a part of the examples, chosen by difficulty; empty: all of them"
    )
    weighting: Weighting | None = key(
        None, keys_of(Weighting, optional=True), "what examples count for, by their losses; empty: all the same"
    )
    selection: Selection | None = key(
        None,
        keys_of(Selection, optional=True),
        "which of `plans.candidates` a step trains on; empty: on all that it draws",
    )
    query: Query | None = key(
        None, keys_of(Query, optional=True), "how a labelling loop chooses; for the recipe `active`"
    )
    teachers: Mapping[str, Teacher] = key({}, Each(keys_of(Teacher)), "name → a teacher")
    accumulate: int = key(1, whole(1, BATCH), "parts that a batch is computed in, one after the other")
    ema: float = key(0.0, below_one(), "the decay of a moving average of the parameters, which is evaluated; 0: none")
    sync_batch_norm: bool = key(
        True,
        flag(),
        "whether batch normalisation sees the batch of all devices; else each device normalises its own",
    )
    remat: str = key(
        "",
        pattern(),
        "parts of the network that are computed anew for the gradient, e.g. `.*block[0-9]+`; empty: none",
    )
    convolutions: str = key(
        "xla",
        one_of(*CONVOLUTIONS),
        "what computes them on CPUs; `onednn`: faster, with other rounding (needs `effjax[onednn]`)",
    )
    sharding: tuple = key(
        (),
        tuples(
            (pattern(), any_of(whole(-9, 9), one_of("longest"), none())),
            "a list of (regular expression of the path of an array, its axis, 'longest' or None)",
        ),
        "which arrays of the state devices hold in parts, e.g. `(('params/.*|opt_state/.*', 'longest'),)`; "
        "with backend `jit`",
    )
    evaluations: int = key(10, whole(1, LONG), "on the validation split, over the run")
    patience: int = key(0, whole(0, LONG), "the run ends after so many evaluations without a better; 0: it does not")
    record: bool = key(False, flag(), "whether it is noted what becomes of each training example")
    forgetting: bool = key(False, flag(), "with `record`: whether it is noted, too, how often each is forgotten")
    folds: int = key(
        0,
        Rule("0, or a whole number from 2 to 1,000", any_of(whole(0, 0), whole(2, 1000)).fits),
        "K: a cross-validation, K networks that leave out a K-th each; for scores of difficulty",
    )
    checkpoint_every: int = key(0, whole(0, LONG), "steps; 0: with every evaluation")
    keep: int = key(2, whole(1, LONG), "checkpoints, besides the best")
    log_every: int = key(0, whole(0, LONG), "steps; 0: ten times between evaluations")
    steps_per_dispatch: int = key(0, whole(0, LONG), "0: what the backend and the model run fastest")
