"""A picture of a dataset: a few examples of each class on one page."""

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_GAP = 4
_FONT_SIZE = 13
_BOX = (255, 80, 0)
_INK, _PAPER = (20, 20, 20), (221, 230, 240)  # a paper that neither black nor white images melt into


def contact_sheet(
    examples: Mapping[str, Sequence[np.ndarray]],
    *,
    cell: int = 72,
    boxes: Mapping[str, Sequence[np.ndarray]] | None = None,
) -> Image.Image:
    """Lays out one row of images per class, its caption to the left.

    Args:
      examples: for each caption its images, each uint8 ``[H, W, 1 or 3]`` of any size.
      cell: the side of the square that each image is scaled to fit, in pixels. Small images are enlarged without
        smoothing, so that their pixels can be seen.
      boxes: for each caption what is drawn on its images, ``[n, 4]`` y0, x0, y1, x1 in [0, 1] for each.

    Returns:
      The page, RGB.
    """
    font = ImageFont.load_default(size=_FONT_SIZE)
    margin = max((round(font.getlength(caption)) for caption in examples), default=0) + 3 * _GAP
    columns = max((len(images) for images in examples.values()), default=0)
    step = cell + _GAP
    page = Image.new("RGB", (margin + columns * step + _GAP, len(examples) * step + _GAP), _PAPER)
    ink = ImageDraw.Draw(page)
    for row, (caption, images) in enumerate(examples.items()):
        top = _GAP + row * step
        ink.text((margin - 2 * _GAP, top + cell // 2), caption, fill=_INK, font=font, anchor="rm")
        for column, image in enumerate(images):
            thumbnail = fitted(picture(image), cell)
            left = margin + column * step
            corner = (left + (cell - thumbnail.width) // 2, top + (cell - thumbnail.height) // 2)
            page.paste(thumbnail, corner)
            for box in boxes[caption][column] if boxes else ():
                x0, y0, x1, y1 = _on_page(box, corner, thumbnail.size)
                # Pillow's rectangles are two pixels high at least.
                ink.line([(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)], fill=_BOX)
    return page


def _on_page(box: np.ndarray, corner: tuple[int, int], size: tuple[int, int]) -> tuple[int, ...]:
    """Where a box comes to lie: left, top, right and bottom pixel, all of them inside the picture."""
    (left, top), (width, height) = corner, size
    y0, x0, y1, x1 = (float(side) for side in box)
    first = (min(int(x0 * width), width - 1), min(int(y0 * height), height - 1))
    last = (max(round(x1 * width) - 1, first[0]), max(round(y1 * height) - 1, first[1]))
    return left + first[0], top + first[1], left + last[0], top + last[1]


def picture(pixels: np.ndarray) -> Image.Image:
    """Pixels, uint8 ``[H, W, 1 or 3]``, as an image of the same channels."""
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def fitted(image: Image.Image, cell: int) -> Image.Image:
    """The image scaled to fit a square of side ``cell``; a small one is enlarged without smoothing."""
    scale = cell / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    return image.resize((width, height), Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS)
