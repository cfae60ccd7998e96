"""Boxes drawn on the image that they are of."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

TRUE, FOUND = (60, 200, 90), (255, 140, 40)  # colours that differ in lightness, too


class Marks(NamedTuple):
    """Boxes of one colour.

    Attributes:
      boxes: ``[n, 4]``: y0, x0, y1, x1 from 0 to 1.
      colour: red, green, blue, from 0 to 255.
    """

    boxes: np.ndarray | Sequence[Sequence[float]]
    colour: tuple[int, int, int]


def drawn_boxes(image: np.ndarray, marks: Sequence[Marks], least: int = 160) -> np.ndarray:
    """Draws boxes, the first below the others.

    Args:
      image: uint8 ``[H, W, 1 or 3]``.
      marks: the boxes.
      least: pixels that its longer side has at least: a small image is enlarged by a whole factor, without smoothing.

    Returns:
      uint8 ``[h, w, 3]``.
    """
    factor = max(1, -(-least // max(image.shape[:2])))
    pixels = np.repeat(np.repeat(image, factor, 0), factor, 1)
    picture = Image.fromarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)).astype(np.uint8))
    ink = ImageDraw.Draw(picture)
    scale = np.array([picture.height, picture.width] * 2)
    for group in marks:
        for box in group.boxes:
            y0, x0, y1, x1 = np.round(np.asarray(box) * scale).astype(int).tolist()
            ink.rectangle((x0, y0, max(x1 - 1, x0), max(y1 - 1, y0)), outline=group.colour, width=max(1, factor // 2))
    return np.asarray(picture)
