"""Squares of photos by cykooz-resizer, where it is installed (``effjax[jpeg]``), in vector instructions.

The kernel is Pillow's bicubic one (a = −½, anti-aliased), and columns are resized before rows, where Pillow takes rows
first. Both cut off at 0 and 255 in between: on photos they are less than 0.4 levels of 255 apart on average.

Source: https://github.com/Cykooz/cykooz.resizer, on Rust's fast_image_resize.
"""

import importlib
import importlib.util
import threading
from typing import Any

import numpy as np

from effjax.errors import UserError

RESAMPLERS = ("pillow", "simd")
_local = threading.local()


def check_resampler(name: str) -> None:
    """Refuses what is not installed.

    Raises:
      UserError: saying what to install.
    """
    if name == "simd" and importlib.util.find_spec("cykooz_resizer") is None:
        raise UserError("config.view.resampler='simd': cykooz-resizer is not installed: pip install 'effjax[jpeg]'")


def resized(pixels: np.ndarray, box: tuple[float, float, float, float], size: int) -> np.ndarray:
    """Resizes a rectangle of an image to a square.

    Args:
      pixels: ``[H, W, C]`` uint8, C = 1, 3 or 4, of which the last is opacity.
      box: left, top, right, bottom, in pixels; those just beside it have a share in the result.
      size: the square's side.

    Returns:
      ``[size, size, C]`` uint8, not to be written to.

    Raises:
      KeyError: if the image has another number of channels.
      RuntimeError, ValueError: of the library, if the box is not within the image.
    """
    library: Any = importlib.import_module("cykooz_resizer")
    if not hasattr(_local, "resizer"):
        _local.resizer = library.Resizer()
    height, width, channels = pixels.shape
    left, top, right, bottom = box
    kind = {1: library.PixelType.U8, 3: library.PixelType.U8x3, 4: library.PixelType.U8x4}[channels]
    options = library.ResizeOptions(
        resize_alg=library.ResizeAlg.convolution(library.FilterType.catmull_rom),
        crop_box=library.CropBox(left, top, right - left, bottom - top),
        use_alpha=channels == 4,
    )
    square = library.ImageData(size, size, kind)
    _local.resizer.resize(library.ImageData(width, height, kind, pixels.tobytes()), square, options)
    return np.frombuffer(square.get_buffer(), np.uint8).reshape(size, size, channels)
