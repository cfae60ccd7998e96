"""A picture of a dataset: a few examples of each class on one page."""

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_GAP = 4
_FONT_SIZE = 13
_INK, _PAPER = (20, 20, 20), (221, 230, 240)  # a paper that neither black nor white images melt into


def contact_sheet(examples: Mapping[str, Sequence[np.ndarray]], *, cell: int = 72) -> Image.Image:
    """Lays out one row of images per class, its caption to the left.

    Args:
      examples: for each caption its images, each uint8 ``[H, W, 1 or 3]`` of any size.
      cell: the side of the square that each image is scaled to fit, in pixels. Small images are enlarged without
        smoothing, so that their pixels can be seen.

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
            page.paste(thumbnail, (left + (cell - thumbnail.width) // 2, top + (cell - thumbnail.height) // 2))
    return page


def picture(pixels: np.ndarray) -> Image.Image:
    """Pixels, uint8 ``[H, W, 1 or 3]``, as an image of the same channels."""
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def fitted(image: Image.Image, cell: int) -> Image.Image:
    """The image scaled to fit a square of side ``cell``; a small one is enlarged without smoothing."""
    scale = cell / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    return image.resize((width, height), Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS)
