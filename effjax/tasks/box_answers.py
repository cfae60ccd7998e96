"""Boxes as people answer them: a list, each with its corners and its class."""

import collections
import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from effjax.specs import Spec
from effjax.tasks.answers import Move, parsed_json
from effjax.tasks.overlaps import overlaps
from effjax.tasks.tags import TagAnswers

DIGITS = 6  # of a coordinate, from 0 to 1: finer than a pixel of any image
_SAME = 0.6  # overlap of boxes of one thing
ACCEPTED = 0.8  # overlap of a proposed box that people leave as it is: theirs agree with one another by .88
_SIDES = ("y0", "x0", "y1", "x1")


@dataclasses.dataclass(frozen=True)
class BoxAnswers:
    """All boxes of an image, in JSON ``[{"box": [y0, x0, y1, x1], "class": name}, …]``, corners from 0 to 1.

    Attributes:
      classes: by name, in the order of the labels.
      look: what an image costs by itself, in seconds: to see that nothing is there.
      draw: what a box costs, in seconds. Extreme clicking takes 7, the way of ILSVRC 35.
      verify: what it costs to say of a proposed box whether it is right, in seconds.
      tag: what it costs to say of a class whether there is any, in seconds; see :class:`TagAnswers`.

    References:
      Papadopoulos et al, 2017, Extreme clicking for efficient object annotation, https://arxiv.org/abs/1708.02750;
      2016, We don't need no bounding-boxes: training object class detectors using only human verification,
      https://arxiv.org/abs/1602.08405
    """

    classes: tuple[str, ...]
    look: float = 2.0
    draw: float = 7.0
    verify: float = 1.6
    tag: float = 1.0

    @property
    def specs(self) -> dict[str, Spec]:
        return {
            "objects/bbox": Spec(np.float32, (None, 4), 0.0),
            "objects/label": Spec(np.int32, (None,), -1),
            "objects/valid": Spec(np.bool_, (None,), False),
        }

    @property
    def tags(self) -> TagAnswers:
        """What may be said of an image for less."""
        return TagAnswers(self.classes, self.tag)

    @property
    def choices(self) -> tuple[str, ...]:
        return ()

    @property
    def hint(self) -> str:
        return (
            'all boxes as [{"box": [y0, x0, y1, x1], "class": name}, …], corners from 0 to 1, [] where there are none; '
            f"classes: {', '.join(self.classes)}"
        )

    def parse(self, text: str) -> Any:
        """Reads JSON.

        Raises:
          ValueError: if it is none, or no answer.
        """
        return parsed_json(text, self)

    def problem(self, answer: Any) -> str | None:
        """What is wrong with an answer, of all of its boxes; None if nothing is."""
        if not isinstance(answer, list):
            return f"{json.dumps(answer)[:60]} is no list of boxes"
        wrong = [f"box {i}: {said}" for i, one in enumerate(answer, start=1) if (said := self._problem(one))]
        return "; ".join(wrong) or None

    def _problem(self, one: Any) -> str | None:
        if not isinstance(one, Mapping) or set(one) != {"box", "class"}:
            return f'{json.dumps(one)[:60]} is not {{"box": [y0, x0, y1, x1], "class": name}}'
        corners = one["box"]
        if not isinstance(corners, list) or len(corners) != len(_SIDES) or not all(map(_is_number, corners)):
            return f"{json.dumps(corners)[:60]} are not four numbers"
        if not all(0 <= corner <= 1 for corner in corners):
            return f"{corners} reaches out of the image, which is from 0 to 1"
        if corners[0] >= corners[2] or corners[1] >= corners[3]:
            return f"{corners} has no area: y0 < y1 and x0 < x1"
        if one["class"] not in self.classes:
            return f"{json.dumps(one['class'])[:60]} is none of the classes {', '.join(self.classes)}"
        return None

    def read(self, answer: Any) -> dict[str, np.ndarray]:
        """The features of :attr:`specs`, one entry a box."""
        return {
            "objects/bbox": np.array([one["box"] for one in answer], np.float32).reshape(-1, 4),
            "objects/label": np.array([self.classes.index(one["class"]) for one in answer], np.int32),
            "objects/valid": np.ones(len(answer), bool),
        }

    def moved(self, answer: Any, move: Move) -> list[dict[str, Any]]:
        moved, left = move(np.array(self.boxes(answer), np.float64).reshape(-1, 4))
        return [{**one, "box": box.tolist()} for one, box, shows in zip(answer, moved, left, strict=True) if shows]

    def proposed(self, found: Mapping[str, np.ndarray], floor: float) -> tuple[list[dict[str, Any]], list[float]]:
        """What a network has found in an image, as an answer, and how sure it is of each box.

        Of several classes at one place the surest is proposed: for a person, another would be one more to remove.

        Args:
          found: ``boxes``, ``scores``, ``classes`` and ``present`` of the detections, the best first.
          floor: the score from which on they count.
        """
        sure = np.flatnonzero(found["present"].astype(bool) & (found["scores"] >= floor))
        found = {name: found[name][sure] for name in ("boxes", "scores", "classes")}
        corners = found["boxes"].astype(np.float64).round(DIGITS)
        shared = overlaps(corners, corners)
        kept: list[int] = []
        for row in range(len(sure)):
            large = (corners[row, 2:] > corners[row, :2]).all()
            if large and not any(shared[row, other] > _SAME for other in kept):
                kept.append(row)
        said = [{"box": corners[row].tolist(), "class": self.classes[found["classes"][row]]} for row in kept]
        return said, [round(float(found["scores"][row]), 4) for row in kept]

    def write(self, targets: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
        return [
            {"box": [round(float(x), DIGITS) for x in box], "class": self.classes[label]}
            for box, label, valid in zip(*(targets[name] for name in self.specs), strict=True)
            if valid
        ]

    def show(self, answer: Any) -> str:
        counts = collections.Counter(one["class"] for one in answer)
        return ", ".join(f"{count} {name}" for name, count in counts.items()) or "nothing"

    def cost(self, answer: Any) -> float:
        return self.look + self.draw * len(answer)

    def corrected(self, answer: Any, proposed: Any) -> tuple[list[dict[str, Any]], float]:
        """What a person makes of proposed boxes, in a simulation: what is nearly right stays as it was proposed.

        A proposal is taken that overlaps a true box of its class by eight tenths or more, the first of several; the
        true boxes that are left are drawn. Boxes of two people overlap by .88 on the mean (Papadopoulos et al, 2017).

        Args:
          answer: the true boxes.
          proposed: those of a network, the surest first.

        Returns:
          The boxes, and what they cost: to look, to say of each proposal whether it is right, and to draw.
        """
        taken: list[dict[str, Any]] = []
        left = list(answer)
        for one in proposed:
            same = [other for other in left if other["class"] == one["class"]]
            if not same:
                continue
            corners = np.array([one["box"], *(other["box"] for other in same)], np.float64)
            (shared,) = overlaps(corners[:1], corners[1:])
            if shared.max() >= ACCEPTED:
                taken.append(one)
                left.remove(same[int(shared.argmax())])
        return taken + left, self.look + self.verify * len(proposed) + self.draw * len(left)

    def items(self, answer: Any) -> int:
        return len(answer)

    def boxes(self, answer: Any) -> list[list[float]]:
        return [one["box"] for one in answer]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
