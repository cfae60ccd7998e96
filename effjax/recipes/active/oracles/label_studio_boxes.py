"""Label Studio for boxes: rectangles with a class, proposed by the last network."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from effjax.data.ledger import LABELLED, Answer
from effjax.errors import shown
from effjax.recipes.active.answers import NO_LABEL
from effjax.recipes.active.oracles.base import Query
from effjax.recipes.active.oracles.drawn import drawn_box, is_number, pictures_in, size_of_picture
from effjax.recipes.active.oracles.folder import image_file
from effjax.recipes.active.oracles.label_studio import TASKS_FILE, LabelStudioOracle, choices_xml
from effjax.recipes.active.oracles.label_studio_export import ANSWER, WORD, Annotation
from effjax.tasks.box_answers import DIGITS, BoxAnswers

_SIDES = ("x", "y", "width", "height")  # in percent of the picture
_PERCENT = (100.0, 100.0)  # the size of a picture that is no longer there
_TURNED = 1e-3  # degrees that are none


class LabelStudioBoxOracle(LabelStudioOracle):
    """As :class:`LabelStudioOracle`, with rectangles. What was submitted without any shows nothing.

    How long it took (``lead_time``) is what an answer costs, where Label Studio has measured it.

    Args:
      folder: that holds the rounds' folders, as there.
      answers: what people are to draw.

    References:
      `RectangleLabels <https://labelstud.io/tags/rectanglelabels>`_ and
      `predictions <https://labelstud.io/guide/predictions>`_ of Label Studio.
    """

    format: BoxAnswers

    def __init__(self, folder: str | Path, answers: BoxAnswers):
        super().__init__(folder, answers)

    def wants_proposals(self, round_: int) -> bool:
        return not (self.round_folder(round_) / TASKS_FILE).exists()

    def _check(self) -> None:
        """Boxes of any classes can be drawn there."""

    def _controls(self) -> str:
        labels = "".join(f"\n    <Label value={quoteattr(name)}/>" for name in self.format.classes)
        drawn = f'  <RectangleLabels name="{ANSWER}" toName="image" canRotate="false">{labels}\n  </RectangleLabels>\n'
        return drawn + choices_xml(WORD, tuple(NO_LABEL))

    def _proposals(self, folder: Path, query: Query) -> dict[str, Any]:
        if query.proposed is None:
            return {}
        answer, scores, model = query.proposed
        height, width = size_of_picture(folder / image_file(query))
        drawn = [
            {
                "id": f"proposed_{number}",
                "type": "rectanglelabels",
                "from_name": ANSWER,
                "to_name": "image",
                "original_width": width,
                "original_height": height,
                "image_rotation": 0,
                "score": score,
                "value": {**_percent(one["box"]), "rotation": 0, "rectanglelabels": [one["class"]]},
            }
            for number, (one, score) in enumerate(zip(answer, scores, strict=True), start=1)
        ]
        surest = max(scores, default=0.0)
        return {"predictions": [{"model_version": model, "score": surest, "result": drawn}]}

    def _said(self, id_: int, one: Annotation) -> list[tuple[str, Answer]]:
        if one.choices:  # words stand in the place of boxes
            return super()._said(id_, one)
        if not one.submitted:
            return []
        boxes, wrong = [], []
        for number, region in enumerate(one.regions, start=1):
            try:
                boxes.append(self._box(region, self._size(id_, one)))
            except ValueError as error:
                wrong.append(f"region {number}: {error}")
        if wrong:
            raise ValueError("; ".join(wrong))
        said = Answer(id_, LABELLED, boxes, one.who, one.seconds, cost=one.seconds or None)
        return [(self.format.show(boxes), said)]

    def _size(self, id_: int, one: Annotation) -> tuple[int, int] | None:
        """Of the picture that was drawn on, where it is still there."""
        picture = pictures_in(self.round_folder(int(one.data["effjax_round"])), id_).get(id_)
        return size_of_picture(picture) if picture else None

    def _box(self, region: Mapping[str, Any], size: tuple[float, float] | None) -> dict[str, Any]:
        """What was drawn, as answers have it.

        Raises:
          ValueError: if it is no upright rectangle of one class on this picture.
        """
        values: list[Any] = [region.get(side) for side in _SIDES]
        names = region.get("rectanglelabels")
        if not all(map(is_number, values)):
            raise ValueError(f"{shown(region.get('type', 'it'))} is no rectangle: draw one around the thing")
        for key in ("rotation", "image_rotation"):
            turned = region.get(key)
            if is_number(turned) and abs(turned) > _TURNED:
                raise ValueError(f"its {key} is {turned:g}°: draw it upright")
        if not isinstance(names, list) or len(names) != 1:
            raise ValueError(f"its classes are {shown(names)}: give it one")
        drawn_on = region.get("original_height"), region.get("original_width")
        if all(map(is_number, drawn_on)) and size not in (None, drawn_on):
            raise ValueError(
                f"it was drawn on a picture of {drawn_on[1]}×{drawn_on[0]} pixels, this one has {size[1]}×{size[0]}"
            )
        height, width = size or _PERCENT
        x, y, w, h = (value / 100 * side for value, side in zip(values, (width, height) * 2, strict=True))
        return drawn_box((y, x, y + h, x + w), (height, width), names[0], self.format)


def _percent(box: Sequence[float]) -> dict[str, float]:
    y0, x0, y1, x1 = (100 * side for side in box)
    values = (x0, y0, x1 - x0, y1 - y0)
    return {side: round(value, DIGITS) for side, value in zip(_SIDES, values, strict=True)}
