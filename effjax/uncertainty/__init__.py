"""How unsure several predictions of one example are: from ``probs [M, N, C]`` to ``[N]``, higher is less sure.

The M predictions are those of the members of an ensemble, of passes with dropout, or of augmentations; one prediction
is ``[1, N, C]``.
"""

from effjax.uncertainty.scores import (
    bald,
    consistency,
    entropy,
    least_confidence,
    margin,
    variation_ratio,
)

__all__ = ["bald", "consistency", "entropy", "least_confidence", "margin", "variation_ratio"]
