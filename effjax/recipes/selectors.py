"""The selectors that a labelling loop may name. One more is one function and one line here."""

import dataclasses
from collections.abc import Callable

import jax
import numpy as np

from effjax import selection


@dataclasses.dataclass(frozen=True)
class Candidates:
    """What a selector may look at.

    Attributes:
      key: a PRNG key, of the loop's seed and round.
      probs: ``[M, N, C]`` predictions of what may be asked.
      features: ``[N, D]`` of the same.
      scores: ``[N]`` higher is less sure.
      labelled: computes the features ``[L, D]`` of what has a label.
    """

    key: jax.Array
    probs: np.ndarray
    features: np.ndarray
    scores: np.ndarray
    labelled: Callable[[], np.ndarray]


def _class_balanced(c: Candidates, k: int) -> jax.Array:
    guesses = c.probs.mean(0).argmax(-1)
    return selection.class_balanced(c.scores, guesses, k, c.probs.shape[-1])


SELECTORS: dict[str, Callable[[Candidates, int], jax.Array]] = {
    "top_k": lambda c, k: selection.top_k(c.scores, k),
    # Rounding may leave a score of nothing a hair below 0.
    "power_batch": lambda c, k: selection.power_batch(c.key, np.maximum(c.scores, 0.0), k),
    "class_balanced": _class_balanced,
    "k_center_greedy": lambda c, k: selection.k_center_greedy(c.features, k, c.labelled()),
    "badge": lambda c, k: selection.badge(c.key, c.probs.mean(0), c.features, k),
    "batch_bald": lambda c, k: selection.batch_bald(c.key, c.probs, k),
    "typiclust": lambda c, k: selection.typiclust(c.key, c.features, k, c.labelled()),
}
RANDOM = "random"  # the control, which looks at nothing
