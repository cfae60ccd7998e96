"""Several kinds of questions in one loop: which there are, and which to ask of which image, by gain per second."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from effjax.data.ledger_state import BOX, CORRECT, TAG
from effjax.tasks import AnswerFormat
from effjax.tasks.box_answers import BoxAnswers

_LEAST = 1e-3  # seconds: nothing is free
#: Kinds whose answers say all that there is to say.
STRONG = (BOX, CORRECT)


def formats(query: Mapping[str, Any] | None, answers: AnswerFormat) -> dict[str, AnswerFormat]:
    """By kind of question that a loop asks, what answers are.

    Args:
      query: see :func:`effjax.recipes.schema.query`; None: of a run without one.
      answers: the task's.
    """
    kinds = query["kinds"] if query else ()
    if not kinds:
        return {TAG: answers}
    assert isinstance(answers, BoxAnswers)  # see `loop_problems`
    # The first round draws, whatever follows: there is no network yet that could propose.
    return {kind: answers.tags if kind == TAG else answers for kind in dict.fromkeys((BOX, *kinds))}


@dataclasses.dataclass(frozen=True)
class Prospect:
    """What answers about images are expected to cost and to bring.

    Attributes:
      kinds: that may be asked for.
      answers: their prices.
      untagged: the F1, on the validation split, of what the last network finds, over overlaps as average precision.
      explained: the share of its images whose tags that explains, see :func:`effjax.tasks.tags.explained`.
      tagged: the F1 of these, once the tags are known.
      accepted: the share of true boxes that are found so well that people leave them as they are.
      none: how many true boxes an image there has in which it finds none.
      each: how many more, for each that it finds.
    """

    kinds: Collection[str]
    answers: BoxAnswers
    untagged: float = 0.0
    explained: float = 0.0
    tagged: float = 0.0
    accepted: float = 0.0
    none: float = 0.0
    each: float = 1.0

    @property
    def of_tags(self) -> float:
        """The share of what a network has wrong that tags put right: what they are worth, where boxes are worth 1."""
        return self.explained * max(0.0, self.tagged - self.untagged) / max(1.0 - self.untagged, 1e-6)

    def costs(self, kind: str, found: np.ndarray) -> np.ndarray:
        """Seconds that answers are expected to take, of images ``[n]`` in which the network finds so many objects."""
        prices, true = self.answers, np.maximum(self.none + self.each * found, 0.0)
        if kind == TAG:
            return np.full(len(found), prices.tag * len(prices.classes))
        if kind == BOX:
            return prices.look + prices.draw * true
        return prices.look + prices.verify * found + (1 - self.accepted) * prices.draw * true

    def gains(self, kind: str, tagged: np.ndarray) -> np.ndarray:
        """The share of what is open about images ``[n]`` that answers settle; tags are asked for once."""
        if kind == TAG:
            return np.where(tagged, 0.0, self.of_tags)
        return np.where(tagged, 1 - self.of_tags, 1.0)

    def best(self, found: np.ndarray, tagged: np.ndarray) -> tuple[list[str], np.ndarray, np.ndarray]:
        """For each image the kind of question that settles most per second.

        Args:
          found: how many objects the network finds in each, ``[n]``.
          tagged: which have tags already, ``[n]``.

        Returns:
          The kinds, the gains per second ``[n]`` for what is open about an image, and the seconds ``[n]``.
        """
        kinds = list(self.kinds)
        costs = np.stack([np.maximum(self.costs(kind, found), _LEAST) for kind in kinds])
        rates = np.stack([self.gains(kind, tagged) for kind in kinds]) / costs
        chosen = rates.argmax(0)
        here = np.arange(len(found))
        return [kinds[kind] for kind in chosen], rates[chosen, here], costs[chosen, here]


def within(order: Sequence[int] | np.ndarray, costs: np.ndarray, seconds: float) -> list[int]:
    """The first of an order that are expected to take so many seconds together; one at least."""
    spent = np.cumsum(costs[np.asarray(order, np.int64)])
    return np.asarray(order, np.int64)[: max(1, int(np.searchsorted(spent, seconds, side="right")))].tolist()
