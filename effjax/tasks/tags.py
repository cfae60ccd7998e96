"""Tags: which classes there are in an image, without where. A weak answer, for less than boxes cost."""

import dataclasses
import json
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from effjax.specs import Spec
from effjax.tasks.answers import Move

_LEAST = 0.05  # the score of a detection that a tag makes a box of


@dataclasses.dataclass(frozen=True)
class TagAnswers:
    """The classes of which there is something in an image, in JSON a list of their names; ``[]``: of none.

    Nothing is learnt from them by themselves: they say which boxes a network may have found rightly.

    Attributes:
      classes: by name.
      tag: what it costs to say of one class whether it is there, in seconds; it is asked of each.

    References:
      Bearman et al, 2016, What's the Point: Semantic Segmentation with Point Supervision (a second for each class),
      https://arxiv.org/abs/1506.02106
    """

    classes: tuple[str, ...]
    tag: float = 1.0

    @property
    def specs(self) -> dict[str, Spec]:
        return {}

    @property
    def choices(self) -> tuple[str, ...]:
        return ()

    @property
    def hint(self) -> str:
        return f'the classes that there are as ["name", …], [] where there are none; classes: {", ".join(self.classes)}'

    def parse(self, text: str) -> Any:
        """Reads JSON.

        Raises:
          ValueError: if it is none, or no answer.
        """
        try:
            answer = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{text[:60]!r} is no JSON ({error}): write {self.hint}") from error
        if problem := self.problem(answer):
            raise ValueError(problem)
        return answer

    def problem(self, answer: Any) -> str | None:
        """What is wrong with an answer in JSON; None if nothing is."""
        if not isinstance(answer, list):
            return f"{json.dumps(answer)[:60]} is no list of classes"
        wrong = [json.dumps(name)[:60] for name in answer if name not in self.classes]
        if wrong:
            return f"{', '.join(wrong)}: none of the classes {', '.join(self.classes)}"
        return None if len(set(answer)) == len(answer) else "a class is named twice"

    def read(self, answer: Any) -> dict[str, Any]:
        return {}

    def moved(self, answer: Any, move: Move) -> Any:
        return answer

    def write(self, targets: Mapping[str, np.ndarray]) -> list[str]:
        there = targets["objects/label"][np.asarray(targets["objects/valid"], bool)]
        return [name for label, name in enumerate(self.classes) if label in there]

    def show(self, answer: Any) -> str:
        return f"tags: {', '.join(answer) or 'nothing'}"

    def cost(self, answer: Any) -> float:
        return self.tag * len(self.classes)

    def items(self, answer: Any) -> int:
        return 0

    def boxes(self, answer: Any) -> tuple[()]:
        return ()


def agreeing(found: Mapping[str, np.ndarray], tags: Collection[int], floor: float) -> np.ndarray:
    """Which detections of an image may be taken for objects, once it is known of which classes there are any.

    Args:
      found: ``scores``, ``classes`` and ``present`` ``[D]`` of its detections, the best first.
      tags: the classes.
      floor: the score from which on detections are mostly right.

    Returns:
      Their rows, the best first: those of the classes and above the floor; of a class that has none, the best there is.
    """
    there = np.asarray(found["present"], bool) & np.isin(found["classes"], list(tags))
    rows = np.flatnonzero(there & (found["scores"] >= floor)).tolist()
    for kind in set(tags) - set(np.asarray(found["classes"])[rows].tolist()):
        rows += np.flatnonzero(there & (found["classes"] == kind) & (found["scores"] >= _LEAST))[:1].tolist()
    return np.array(sorted(rows), np.int64)
