"""Tags: which classes there are in an image, without where. A weak answer, for less than boxes cost."""

import dataclasses
import json
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from effjax import boxes
from effjax.specs import Spec
from effjax.tasks.answers import Move, parsed_json

_SAME = 0.5  # overlap of detections at one place


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
        return parsed_json(text, self)

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


def explained(
    found: Mapping[str, np.ndarray], tags: Collection[int], floor: float
) -> tuple[np.ndarray, np.ndarray] | None:
    """The detections of an image that may be taken for its objects, once it is known of which classes there are any.

    A place counts if something is found there above the floor, whatever it is. It is of that one of the tags whose
    detection there is the surest; if none of them was found there, but there is but one tag, of that.

    Args:
      found: ``boxes`` ``[D, 4]``, ``scores``, ``classes`` and ``present`` ``[D]`` of its detections, the best first.
      tags: the classes.
      floor: the score from which on detections are mostly right.

    Returns:
      Rows of detections, the best first, and the classes of these; None where a tag is left without any, so that
      something was overlooked.
    """
    there = np.asarray(found["present"], bool)
    overlaps = np.asarray(boxes.iou(found["boxes"], found["boxes"]))  # of all: of one shape, which is compiled once
    seen, rows, classes = ~there, [], []
    for first in np.flatnonzero(there & (found["scores"] >= floor)):
        if seen[first]:
            continue
        here = np.flatnonzero((overlaps[first] >= _SAME) & ~seen)
        seen |= overlaps[first] >= _SAME
        of_tags = [row for row in here if found["classes"][row] in tags]
        if of_tags:
            rows.append(of_tags[0])
            classes.append(int(found["classes"][of_tags[0]]))
        elif len(tags) == 1:
            rows.append(first)
            classes.append(next(iter(tags)))
    return (np.array(rows, np.int64), np.array(classes, np.int64)) if set(tags) == set(classes) else None
