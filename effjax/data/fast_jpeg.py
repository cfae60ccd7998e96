"""JPEGs by simplejpeg, where it is installed (``effjax[jpeg]``): the pixels that Pillow decodes, in less time."""

import importlib
import importlib.util
import math
from typing import Any

import numpy as np

simplejpeg: Any = importlib.import_module("simplejpeg") if importlib.util.find_spec("simplejpeg") else None

_SPACES = ("YCbCr", "Gray", "RGB")  # CMYK is converted otherwise than Pillow does it
_BEGIN = b"\xff\xd8"


def size_of(data: bytes) -> tuple[int, int] | None:
    """The (width, height) of a JPEG; None where Pillow should decode it, or say what is wrong with it."""
    if simplejpeg is None or not data.startswith(_BEGIN):
        return None
    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:  # damaged, or of a kind that it does not know
        return None
    return (width, height) if space in _SPACES else None


def decoded(data: bytes, width: int, height: int, times: int) -> np.ndarray | None:
    """Decodes a JPEG.

    Args:
      data: the bytes of the file.
      width: as :func:`size_of` says.
      height: likewise.
      times: 1, 2, 4 or 8: at which part of its size.

    Returns:
      ``[H, W, 3]`` uint8, RGB; None where Pillow should say what is wrong with it.
    """
    least = {"min_height": math.ceil(height / times), "min_width": math.ceil(width / times), "min_factor": times}
    try:
        return simplejpeg.decode_jpeg(data, "RGB", **(least if times > 1 else {}))
    except ValueError:
        return None
