"""How unsure several predictions of one example are: from ``probs [M, N, C]`` to ``[N]``, higher is less sure.

The M predictions are those of the members of an ensemble, of passes with dropout, or of augmentations; one prediction
is ``[1, N, C]``.
"""

from effjax.uncertainty.aggregates import AGGREGATES, aggregate
from effjax.uncertainty.cald import cald
from effjax.uncertainty.difficulty import class_difficulty, weighted_entropy
from effjax.uncertainty.discounted import discounted
from effjax.uncertainty.epig import epig
from effjax.uncertainty.scores import (
    bald,
    consistency,
    disagreement,
    entropy,
    least_confidence,
    margin,
    variation_ratio,
)

__all__ = [
    "AGGREGATES",
    "BY_CLASS",
    "OF_PLACES",
    "SCORES",
    "aggregate",
    "bald",
    "cald",
    "class_difficulty",
    "consistency",
    "disagreement",
    "discounted",
    "entropy",
    "epig",
    "least_confidence",
    "margin",
    "variation_ratio",
    "weighted_entropy",
]

#: Those that look at one example at a time, by name.
SCORES = {
    "bald": bald,
    "consistency": consistency,
    "disagreement": disagreement,
    "entropy": entropy,
    "least_confidence": least_confidence,
    "margin": margin,
    "variation_ratio": variation_ratio,
}

#: Those that look at where an item is found again in augmented images, too: ``(probs, agreement)``.
OF_PLACES = {"cald": cald}

#: Those by which some classes count for more than others: ``(probs, weights)``.
BY_CLASS = {"weighted_entropy": weighted_entropy}
