"""A page of pictures for people who label: under each its number and where it lies."""

import os
from collections.abc import Sequence

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from effjax.reports.contact_sheet import fitted, picture

_GAP = 8
_FONT_SIZE, _SMALL = 16, 12
_INK, _QUIET, _PAPER = (20, 20, 20), (90, 100, 110), (221, 230, 240)


def numbered_sheet(
    pictures: Sequence[np.ndarray], numbers: Sequence[int], paths: Sequence[str], *, cell: int, columns: int = 8
) -> Image.Image:
    """Lays out pictures in rows, in the order given.

    Args:
      pictures: uint8 ``[H, W, 1 or 3]`` of any size.
      numbers: one a picture.
      paths: the same; empty where there is none. Of a long one, the end is shown.
      cell: the side of the square that each picture is scaled to fit, in pixels.
      columns: pictures in a row.

    Returns:
      The page, RGB.
    """
    large, small = _font(_FONT_SIZE), _font(_SMALL)
    text = _FONT_SIZE + 4 + (_SMALL + 4 if any(paths) else 0)
    columns = max(1, min(columns, len(pictures)))
    step_x, step_y = cell + _GAP, cell + text + _GAP
    rows = -(-len(pictures) // columns)
    page = Image.new("RGB", (_GAP + columns * step_x, _GAP + rows * step_y), _PAPER)
    ink = ImageDraw.Draw(page)
    for place, (pixels, number, path) in enumerate(zip(pictures, numbers, paths, strict=True)):
        left, top = _GAP + place % columns * step_x, _GAP + place // columns * step_y
        thumbnail = fitted(picture(pixels), cell)
        page.paste(thumbnail, (left + (cell - thumbnail.width) // 2, top + (cell - thumbnail.height) // 2))
        middle = left + cell // 2
        ink.text((middle, top + cell + 2), str(number), fill=_INK, font=large, anchor="ma")
        if path:
            below = (middle, top + cell + _FONT_SIZE + 4)
            ink.text(below, _end(path, small, cell), fill=_QUIET, font=small, anchor="ma")
    return page


def framed(pixels: np.ndarray, box: Sequence[float]) -> np.ndarray:
    """A picture with a frame drawn on it, light and dark, that shows on any; none around the whole.

    Args:
      pixels: uint8 ``[H, W, 3]``.
      box: left, top, right and bottom, in pixels.
    """
    height, width, _ = pixels.shape
    left, top, right, bottom = (round(x) for x in box)
    if (left, top, right, bottom) == (0, 0, width, height):
        return pixels
    image = Image.fromarray(pixels)
    ink, line = ImageDraw.Draw(image), max(1, round(max(image.size) / 170))  # a small copy shows it too
    ink.rectangle((left, top, right - 1, bottom - 1), outline=(0, 0, 0), width=2 * line)
    ink.rectangle((left, top, right - 1, bottom - 1), outline=(255, 255, 255), width=line)
    return np.asarray(image)


def enlarged(pixels: np.ndarray, least: int) -> np.ndarray:
    """A picture whose longer side has at least so many pixels: each of a small one's becomes a square."""
    times = -(-least // max(pixels.shape[:2]))
    return pixels.repeat(times, 0).repeat(times, 1)


def _font(size: int) -> ImageFont.FreeTypeFont:
    """One that has the letters of many alphabets: matplotlib brings it along."""
    return ImageFont.truetype(os.path.join(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), size)


def _end(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """As much of the end of a text as fits."""
    cut = text
    while len(cut) > 1 and font.getlength(cut) > width:
        cut = "…" + cut[2:] if cut[0] == "…" else "…" + cut[1:]
    return cut
