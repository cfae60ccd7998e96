"""The selectors that a labelling loop may name. One more is one function and one line here."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from effjax.selection.badge import badge
from effjax.selection.batch_bald import batch_bald
from effjax.selection.category_diverse import category_diverse
from effjax.selection.k_center import k_center_greedy
from effjax.selection.top import class_balanced
from effjax.selection.typiclust import typiclust


class Objects(NamedTuple):
    """What was found in each candidate, such as an image's boxes.

    Attributes:
      probs: ``[N, I, C]``, the last class is nothing.
      present: booleans ``[N, I]``.
      features: ``[N, I, D]``.
    """

    probs: np.ndarray
    present: np.ndarray
    features: np.ndarray


@dataclasses.dataclass(frozen=True)
class Candidates:
    """What a selector may look at.

    Attributes:
      key: a PRNG key, of the loop's seed and round.
      probs: ``[M, N, C]`` predictions of what may be asked.
      features: ``[N, D]`` of the same.
      scores: ``[N]`` higher is less sure.
      labelled: computes the features ``[L, D]`` of what has a label.
      objects: computes what was found in each, of a task whose examples have several items.
    """

    key: jax.Array
    probs: np.ndarray
    features: np.ndarray
    scores: np.ndarray
    labelled: Callable[[], np.ndarray]
    objects: Callable[[], Objects]


def _class_balanced(c: Candidates, k: int) -> jax.Array:
    guesses = c.probs.mean(0).argmax(-1)
    return class_balanced(c.scores, guesses, k, c.probs.shape[-1], key=c.key)


def _category_diverse(c: Candidates, k: int) -> jax.Array:
    found = c.objects()
    classes, sure = found.probs[..., :-1].argmax(-1), found.probs[..., :-1].max(-1)
    return jnp.asarray(category_diverse(c.key, found.features, classes, sure, found.present, k))


def _powered(scores: jax.Array, ids: jax.Array, key: jax.Array) -> jax.Array:
    """What a draw in proportion to the scores compares: their logarithms with Gumbel's noise, by id."""
    noise = jax.vmap(lambda id_: jax.random.gumbel(jax.random.fold_in(key, id_)))(ids)
    return jnp.log(jnp.maximum(scores, 1e-30)) + noise


#: Those that look at one example at a time, and so let a pool of any size stream by: what they compare instead of
#: the score; None compares the score itself.
RANKS: dict[str, Callable[[jax.Array, jax.Array, jax.Array], jax.Array] | None] = {
    "top_k": None,
    "power_batch": _powered,
}
#: Those that look at the predictions of all candidates.
SELECTORS: dict[str, Callable[[Candidates, int], jax.Array]] = {
    "class_balanced": _class_balanced,
    "k_center_greedy": lambda c, k: k_center_greedy(c.features, k, c.labelled(), key=c.key),
    "category_diverse": _category_diverse,
    "badge": lambda c, k: badge(c.key, c.probs.mean(0), c.features, k),
    "batch_bald": lambda c, k: batch_bald(c.key, c.probs, k),
    "typiclust": lambda c, k: typiclust(c.key, c.features, k, c.labelled()),
}
OF_OBJECTS = ("category_diverse",)  # those of tasks whose examples have several items
RANDOM = "random"  # the control, which looks at nothing
STREAM = "stream"  # decides example by example, see :mod:`effjax.selection.streams`
