"""The keys that say which examples a run draws, chooses and weighs."""

import dataclasses

from effjax.curricula.pacing import KINDS as PACINGS
from effjax.data.coreset import PARTS
from effjax.recipes.schema.fields import key, maybe, needed
from effjax.recipes.schema.rules import LARGE, below_one, flag, number, one_of, text
from effjax.steps.batch_selection import SELECTIONS
from effjax.steps.weightings import WEIGHTINGS

#: Scores of difficulty, and what of a reference run each of them needs: nothing, its records, or a cross-validation.
DIFFICULTIES = {
    "loss": "",
    "confidence": "",
    "el2n": "",
    "grand": "",
    "epoch_learnt": "record",
    "mean_confidence": "record",
    "variability": "record",
    "forgetting": "forgetting",
    "c_score": "folds",
    "held_out_loss": "folds",
}
#: What a selection subtracts where its config does not say.
HELD_OUT = "held_out_loss"
_DIFFICULTY = one_of(*DIFFICULTIES)
_REFERENCE = "the reference, another run of the experiment; empty in random order"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pacing:
    """A run that draws from a growing share of the examples."""

    kind: str = needed(one_of(*PACINGS), "how it grows, see `curricula.pacing`")
    order: str = key("curriculum", one_of("curriculum", "anti-curriculum", "random"), "easy or hard first, or random")
    by: str = key("loss", _DIFFICULTY, "what is difficult, of the run `run`, the mean over its seeds")
    run: str = key("", text(), _REFERENCE)
    balanced: bool = maybe(flag(), "whether the classes take turns in the order, so that none comes late")
    start: float = key(0.2, number(0, 1, above=True), "the share at the start")
    full_at: float = key(0.8, number(0, 1, above=True), "the progress at which all are in use")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Coreset:
    """A run that draws from a part of the examples, chosen before it begins."""

    share: float = needed(number(0, 1, above=True), "how much of them is kept; an epoch is a pass over what is")
    part: str = key(
        "hardest",
        one_of(*PARTS),
        "which: the `hardest`, the `easiest`, the `middle` of the ranking, or drawn at `random`",
    )
    by: str = key("el2n", _DIFFICULTY, "what is difficult, of the run `run`, the mean over its seeds")
    run: str = key("", text(), _REFERENCE)
    balanced: bool = key(True, flag(), "whether each class keeps its own share")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Weighting:
    """What examples count for, by their own losses, whatever the terms are."""

    name: str = needed(one_of(*WEIGHTINGS), "one of `steps.WEIGHTINGS`")
    threshold: float = maybe(
        number(-LARGE, LARGE), "the loss that tells easy from hard examples; left out: the running mean of all losses"
    )
    regularization: float = maybe(number(0, LARGE, above=True), "the smaller, the further weights are from 1")
    momentum: float = maybe(below_one(), "what of the running mean stays at every step")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Selection:
    """Which of the candidates a step trains on; how many there are for each is `plans.candidates`."""

    score: str = needed(one_of(*SELECTIONS), "one of `steps.SELECTIONS`")
    run: str = maybe(text(), "of `rho_loss` and `learnability`: the reference, another run of the experiment")
    by: str = maybe(
        _DIFFICULTY, "of these: what the reference makes of each example, `held_out_loss` where it is left out"
    )
    temperature: float = maybe(number(0, LARGE, above=True), "of `learnability`: the higher, the more by chance")
    dropped: float = maybe(
        below_one(), "of `infobatch`: the share of the examples below the mean loss that are dropped"
    )
