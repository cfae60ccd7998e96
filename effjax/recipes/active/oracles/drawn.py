"""Boxes that people have drawn on pictures, whatever they have drawn them with."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeGuard

from PIL import Image

from effjax.errors import nearest, shown
from effjax.files import storage
from effjax.tasks.box_answers import DIGITS, BoxAnswers

_PICTURES = (".jpg", ".png")
_LARGE = 1e9  # what no side of a picture comes near
_SPARE = 1.0  # pixels that a box may reach out of its picture: tools round, and hands slip


def drawn_box(
    corners: Sequence[float], size: tuple[float, float], name: Any, answers: BoxAnswers
) -> dict[str, list[float] | str]:
    """A box as answers have it.

    Args:
      corners: y0, x0, y1, x1 in pixels.
      size: (height, width) of the picture, in pixels.
      name: of the class.
      answers: what is answered with.

    Raises:
      ValueError: saying all that is wrong with it.
    """
    sides = (*size, *size)
    y0, x0, y1, x1 = corners
    said = f"its box from ({x0:g}, {y0:g}) to ({x1:g}, {y1:g})"
    wrong = []
    if not (y0 < y1 and x0 < x1):
        wrong.append(f"{said} has no area")
    elif any(not -_SPARE <= corner <= side + _SPARE for corner, side in zip(corners, sides, strict=True)):
        wrong.append(f"{said} reaches out of the picture of {size[1]:g}×{size[0]:g} pixels")
    box = [round(min(max(corner / side, 0.0), 1.0), DIGITS) for corner, side in zip(corners, sides, strict=True)]
    if not wrong and not (box[0] < box[2] and box[1] < box[3]):
        wrong.append(f"{said} lies outside the picture of {size[1]:g}×{size[0]:g} pixels")
    if name not in answers.classes:
        wrong.append(f"{shown(name)} is no class; {nearest(name, answers.classes)}")
    if wrong:
        raise ValueError(", and ".join(wrong))
    return {"box": box, "class": name}


def pictures_in(folder: Path, id_: int | None = None) -> dict[int, Path]:
    """By id, the pictures of a round; or the one of an id. What tools have put beside them is none."""
    there = folder.glob("images/*" if id_ is None else f"images/{id_}.*")
    return {int(path.stem): path for path in there if path.stem.isdecimal() and path.suffix in _PICTURES}


def size_of_picture(path: Path) -> tuple[int, int]:
    """(height, width).

    Raises:
      StorageError: if it cannot be read.
    """
    with storage(path), Image.open(path) as image:
        return image.height, image.width


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a value of JSON is a number that a picture may have to do with."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGE
