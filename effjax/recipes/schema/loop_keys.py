"""The keys of a labelling loop: how it goes, and how it chooses."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from effjax import uncertainty
from effjax.data.ledger_state import BOX, CORRECT, TAG
from effjax.recipes.schema.fields import key, keys_of, maybe, needed
from effjax.recipes.schema.rules import (
    BATCH,
    LARGE,
    LONG,
    Each,
    any_of,
    below_one,
    fraction,
    names,
    number,
    one_of,
    pieces,
    several,
    subset,
    text,
    whole,
)
from effjax.selection.registry import RANDOM, RANKS, SELECTORS, STREAM
from effjax.selection.streams import POLICIES
from effjax.steps.predictions import KINDS

CALIBRATED = "calibrated"  # a floor that is measured
EPIG = "epig"  # a score that looks at other examples, too
TEACHER = "teacher"  # predictions of a network and of the one before it


@dataclasses.dataclass(frozen=True, kw_only=True)
class Active:
    """How a labelling loop goes: how many labels, how often, from whom, until when."""

    initial: int = key(50, whole(1, LONG), "labels in the first round, drawn at random")
    per_round: int = key(50, whole(1, LONG), "labels in each further round")
    seconds: float = key(
        0.0, number(0, 1e15), "that the answers of each further round may take, where queries have `kinds`"
    )
    rounds: int = key(10, whole(1, 100_000), "at most, the first included")
    start: str = key(
        "cold", one_of("cold", "warm"), "each round from fresh parameters, or `warm`: from those of the round before"
    )
    oracle: str = key("dataset", one_of("dataset", "folder", "label_studio"), "who answers")
    budget: float = key(0.0, number(0, 1e15), "what all labels may cost; 0: no limit")
    cost_per_label: float = key(
        1.0, number(0, 1e15, above=True), "of a label whose answer does not say what it costs, in the unit of `budget`"
    )
    prices: Mapping[str, float] = key(
        {},
        Each(number(0, 1e15)),
        "what parts of an answer cost, by name, in seconds, where it is not what the task says; of `detection`: `look` "
        "at an image (2.0), `draw` a box (7.0), `verify` a proposed one (1.6), `tag`: whether there is any of a class "
        "(1.0)",
    )
    target: float = key(0.0, fraction(), "the validation accuracy to stop at; 0: none")
    patience: int = key(
        0, whole(0, LONG), "the loop ends after so many rounds without a better validation accuracy; 0: it does not"
    )
    scoring_batch: int = key(256, whole(1, BATCH), "examples scored at a time, over all devices")
    levels: Sequence[float] = key(
        (0.9, 0.95, 0.97),
        several(fraction(), "accuracies from 0 to 1"),
        "test accuracies whose price in labels is reported",
    )
    watch: Sequence[str] = key(
        (), names(), "classes, before they are put together, whose share among what was asked is reported"
    )
    watch_by: str = key("label", text(empty=False), "the feature whose values `watch` names")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outliers:
    """What a loop leaves out of its pool because it looks unlearnable, by a dataset map."""

    share: Sequence[Any] = needed(
        pieces(below_one(), "a share of the pool, from 0 to below 1"),
        "of the pool, a plan over the rounds: `((0, 0.0), (0.2, 0.25))` leaves out a quarter from the second fifth on",
    )
    by: str = key(
        "correctness", one_of("correctness", "confidence_variability"), "the order, see `selection.rank_outliers`"
    )
    source: str = key(
        "predicted",
        one_of("labels", "predicted"),
        "`predicted`: the map of what is labelled, extended by a regression on the network's features, which asks for "
        "nothing that a real pool has not got; `labels`: the map of the whole pool, with labels that only a simulation "
        "knows before it has asked",
    )
    run: str = key("", text(), "for `labels`, the run without a query, with `record=True`, whose map it is")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stream:
    """A pool that passes by once: each example is asked for at once or never."""

    OPEN: ClassVar[bool] = True

    policy: str = needed(one_of(*POLICIES), "see `selection.streams`")
    budget: float = needed(number(0, 1, above=True), "the share of the examples that may be asked for")
    threshold: float = maybe(number(-LARGE, LARGE), "what a score must exceed, where a policy begins with one")
    change: float = maybe(number(0, 1, above=True, below=True), "by which share the threshold follows the budget")
    spread: float = maybe(number(0, LARGE), "of the random factor of a randomised threshold")
    window: int = maybe(whole(1, BATCH), "how many recent scores a quantile, or spending, is taken over")
    tolerance: int = maybe(whole(1, LONG), "how many requests the policy may be behind or ahead")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Query:
    """How a loop chooses what to ask."""

    predictions: str = key(
        "single",
        one_of(*KINDS, TEACHER),
        "of one network, of an `ensemble` of `members`, trained in one program, of `passes` with `dropout` or of "
        "`augmentations`; `teacher`: of the last network and of the one before it, whose boxes it has learnt from",
    )
    score: str = key(
        "entropy",
        one_of(*uncertainty.SCORES, *uncertainty.OF_PLACES, *uncertainty.BY_CLASS, EPIG),
        "one of `effjax.uncertainty`; `epig` is what is learnt of `targets` examples of the pool, drawn at random; "
        "`cald`, of a detector's `augmentations`, looks at where boxes are, too; "
        "`weighted_entropy`: where a detector is bad at a class, its boxes count for more",
    )
    floor: Any = key(
        0.0,
        any_of(fraction(), one_of(CALIBRATED)),
        "how sure a network has to be of one of several items, such as a box, for it to count; `calibrated`: as the "
        "validation split says after each round, see `Task.floor`",
    )
    aggregate: str = key(
        "max",
        one_of(*uncertainty.AGGREGATES),
        "of an example with several items, such as an image's boxes, from their scores to its own",
    )
    selector: str = key("top_k", one_of(*RANKS, *SELECTORS, RANDOM, STREAM), "one of `effjax.selection`")
    members: int = key(5, whole(2, 1000), "of an ensemble")
    passes: int = key(25, whole(2, 10_000), "of dropout and augmentations")
    targets: int = key(32, whole(1, BATCH), "whose predictions `epig` is about")
    discount: str = key(
        "", text(), "a class, such as “cannot be answered”: scores are multiplied by the probability that it is none"
    )
    annotator: str = key(
        "",
        text(),
        "the feature that the simulated annotator answers from, such as one that says where there is no answer; empty: "
        "`label`",
    )
    candidates: int = key(
        0,
        whole(0, LONG),
        "a selector that compares examples with one another sees only so many, those of the highest scores, so that a "
        "pool larger than memory can be selected from; 0: the whole pool",
    )
    kinds: Sequence[str] = key(
        (),
        subset(TAG, BOX, CORRECT),
        "of questions about boxes, of which each image is asked the one that gains most per second: `tag`: which "
        "classes there are; `correct`: what is wrong with proposed boxes; `box`: all boxes, drawn. What has tags alone "
        "is learnt from the boxes that the network before finds, as far as they agree. A round is `active.seconds` "
        "long, the first draws on `active.initial` images. (): the one question of the task, `active.per_round` times",
    )
    tags: int = key(0, whole(0, LONG), "images that are tagged in the first round, where `kinds` has `tag`")
    outliers: Outliers | None = key(
        None, keys_of(Outliers, optional=True), "what is never asked for because it looks unlearnable; empty: nothing"
    )
    stream: Stream | None = key(None, keys_of(Stream, optional=True), "how the selector `stream` decides")
