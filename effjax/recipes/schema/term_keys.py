"""The keys of the terms of what a run minimises, and of numbers that change over it."""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

from effjax.recipes.schema.fields import key, keys_of, maybe, needed
from effjax.recipes.schema.rules import (
    LARGE,
    LONG,
    Either,
    any_of,
    below_one,
    flag,
    fraction,
    names,
    number,
    several,
    text,
    tuples,
    whole,
)

_SOME = text(empty=False)
_FACTOR = number(-LARGE, LARGE)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Schedule:
    """How the learning rate goes over a run."""

    OPEN: ClassVar[bool] = True

    name: str = key("cosine", _SOME, "see `steps.make_schedule`")
    begin: float = maybe(
        below_one(), "the share of the run after which it begins; until then it stays at its first value"
    )
    warmup: float = maybe(below_one(), "the share of what is left of the run over which it rises from 0")
    warmups: Sequence[Any] = maybe(
        tuples((fraction(), below_one()), "a list of (from which share of the run, warm-up)"),
        "in the place of `warmup`: another in every stage, as EfficientTrain++ has one a size",
    )
    end: float = maybe(number(0, LARGE), "the value at the end")
    boundaries: Sequence[float] = maybe(
        several(number(0, 1, above=True, below=True), "shares of the run, above 0 and below 1"),
        "where `step` falls",
    )
    factor: float = maybe(number(0, LARGE), "what it falls by")
    progress: Sequence[Any] = maybe(
        tuples((fraction(), fraction()), "a list of corners (share of the steps, share of the schedule)"),
        "for a schedule of what does not grow evenly with the steps",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scheduled(Schedule):
    """A number that changes over a run, in the place of one that does not."""

    name: str = needed(_SOME, "see `steps.make_schedule`")
    peak: float = needed(_FACTOR, "the value that the schedule is of")


_POSITIVE = Either(number(0, LARGE, above=True), keys_of(Scheduled))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Term:
    """A term of what is minimised; which keys it has depends on its kind."""

    OPEN: ClassVar[bool] = True

    kind: str = maybe(text(), "one of `steps.TERMS`; left out, the term's own name")
    view: str = maybe(text(), "which of `config.views` it looks at; left out, `config.view`")
    weight: float | Scheduled = maybe(Either(_FACTOR, keys_of(Scheduled)), "in the sum")
    temperature: float | Scheduled = maybe(_POSITIVE, "of soft targets, DKD, DIST and the contrastive term")
    threshold: float | Scheduled = maybe(_POSITIVE, "of self-paced learning: the loss below which an example counts")
    label_smoothing: float = maybe(below_one(), "of the cross-entropy")
    alpha: float = maybe(_FACTOR, "of DKD: the weight of the true class")
    beta: float = maybe(_FACTOR, "of DKD: the weight of the others; of the quality focal loss: its power")
    assignment: str = maybe(_SOME, "of detectors: which places learn of a box, `centers` or `task_aligned`")
    inter: float = maybe(_FACTOR, "of DIST: the weight between the classes of an example")
    intra: float = maybe(_FACTOR, "of DIST: the weight within a class, over the batch")
    target: str = maybe(_SOME, "of the cross-entropy: a feature of the examples, learnt in the place of their label")
    teacher: str | Sequence[str] = maybe(
        any_of(_SOME, several(_SOME, "names", least=1)),
        "which of the run's teachers; of soft targets, several too",
    )
    form: str = maybe(
        _SOME,
        "self-paced: `hard`, `linear`; attention: `code`, `paper`; hint and FSP: `paper`, `mean`; "
        "FT: `repdistiller`, `paper`; KD-SVD: `channels`, `columns`",
    )
    nonlinearity: str = maybe(_SOME, "of hints: what ends the regressor, `relu` or `none`")
    gamma: float = maybe(_FACTOR, "of NKD: the weight of the classes but the label")
    standardize: bool = maybe(flag(), "of soft targets, DKD, CTKD and MLKD: logits without their mean and scale")
    least: float = maybe(number(0, LARGE, above=True), "of CTKD: the lowest temperature")
    span: float = maybe(number(0, LARGE, above=True), "of CTKD: how far above it the highest lies")
    reversal: float | Scheduled = maybe(
        Either(number(0, LARGE), keys_of(Scheduled)), "of CTKD: how strongly the temperature works against the student"
    )
    power: float = maybe(
        number(0, LARGE, above=True),
        "of OFA: how far the label is raised over the other classes; of SRD: of distances, above 1",
    )
    exits: str = maybe(_SOME, "of OFA: `linear`, or the published ones, `convolutions` or `attention`")
    channels: int = maybe(
        whole(0, 65536), "of OFA's convolutions: of their last map; 0: as many as the wider penultimate features have"
    )
    dim: int = maybe(whole(1, 65536), "of CC and CRD: of the embeddings")
    negatives: int = maybe(whole(1, LONG), "of CRD: the other examples that each is told from")
    momentum: float = maybe(fraction(), "of CRD: the share of the memory that stays when an example is seen")
    variance: float = maybe(number(0, LARGE, above=True), "of VID: what variances begin at")
    margin: float = maybe(number(0, LARGE, above=True), "of AB: how far from 0 a unit is to be, on its side")
    rate: float = maybe(number(0, LARGE, above=True), "of FT: the factors' channels, as a share of the teacher's")
    reconstruction: float = maybe(
        number(0, LARGE, above=True), "of FT: what the paraphraser's own loss counts for beside the factors'"
    )
    ridge: float = maybe(number(0, LARGE, above=True), "of SKD: what is added to the diagonal of the covariance")
    most_channels: int = maybe(whole(1, 65536), "of ReviewKD: that layers are fused with, at most")
    regressor: str = maybe(_SOME, "of hints: `fitnets`, a convolution where shapes differ; `repdistiller`, normalised")
    finest: int = maybe(whole(2, 4), "of SDD: into how many rows and columns the finest scale cuts an image, 2 or 4")
    complementary: float = maybe(
        _FACTOR, "of SDD: what parts count for of which the teacher is right and not of the whole, or the reverse"
    )
    student_tap: str = maybe(text(), "an activation of the student")
    teacher_tap: str = maybe(text(), "an activation of the teacher")
    student_taps: Sequence[str] = maybe(names(), "several")
    teacher_taps: Sequence[str] = maybe(names(), "several")
