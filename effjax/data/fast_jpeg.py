"""JPEGs by simplejpeg, where it is installed (``effjax[jpeg]``): the pixels that Pillow decodes, in less time."""

import importlib
import importlib.util
import math
from collections.abc import Callable
from typing import Any

import numpy as np

simplejpeg: Any = importlib.import_module("simplejpeg") if importlib.util.find_spec("simplejpeg") else None

_SPACES = ("YCbCr", "Gray", "RGB")  # CMYK is converted otherwise than Pillow does it
_BEGIN = b"\xff\xd8"


def decoded(data: bytes, times_of: Callable[[int, int], int]) -> tuple[np.ndarray, tuple[int, int], int] | None:
    """Decodes a JPEG.

    Args:
      data: the bytes of an image file.
      times_of: from the photo's width and height to 1, 2, 4 or 8: at which part of its size it is decoded.

    Returns:
      Pixels ``[H, W, 3]``, RGB, the photo's whole (width, height), and at which part of it they are; None where Pillow
      should decode it, or say what is wrong with it.
    """
    if simplejpeg is None or not data.startswith(_BEGIN):
        return None
    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(data)
        if space not in _SPACES:
            return None
        times = times_of(width, height)
        least = {"min_height": math.ceil(height / times), "min_width": math.ceil(width / times), "min_factor": times}
        return simplejpeg.decode_jpeg(data, "RGB", **(least if times > 1 else {})), (width, height), times
    except ValueError:  # damaged, or of a kind that it does not know
        return None
