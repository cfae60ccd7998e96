"""JPEGs by simplejpeg, where it is installed (``effjax[jpeg]``): the pixels that Pillow decodes, in less time."""

import importlib
import importlib.util
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

simplejpeg: Any = importlib.import_module("simplejpeg") if importlib.util.find_spec("simplejpeg") else None

_SPACES = ("YCbCr", "Gray", "RGB")  # CMYK is converted otherwise than Pillow does it
_BEGIN, _END = b"\xff\xd8", b"\xff\xd9"
_FRAMES = (0xC0, 0xC1)  # of JPEGs whose rows lie one after the other
_OTHER_FRAMES = {*range(0xC2, 0xD0)} - {0xC4, 0xC8, 0xCC}
_SCAN = 0xDA
_BELOW = 2  # rows that colours are smoothed with


def size_of(data: bytes) -> tuple[int, int] | None:
    """The (width, height) of a JPEG; None where Pillow should decode it, or say what is wrong with it."""
    if simplejpeg is None or not data.startswith(_BEGIN):
        return None
    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:  # damaged, or of a kind that it does not know
        return None
    return (width, height) if space in _SPACES else None


def decoded(data: bytes, width: int, height: int, times: int, bottom: int | None = None) -> np.ndarray | None:
    """Decodes a JPEG.

    Args:
      data: the bytes of the file.
      width: as :func:`size_of` says.
      height: likewise.
      times: 1, 2, 4 or 8: at which part of its size.
      bottom: the row of the whole photo from which on nothing is needed; None: all is.

    Returns:
      ``[H, W, 3]`` uint8, RGB, which may end below ``bottom``; None where Pillow should say what is wrong with it.
    """
    shorter = None if bottom is None else _shortened(data, bottom, height)
    stored, rows = shorter or (data, height)
    least = {"min_height": math.ceil(rows / times), "min_width": math.ceil(width / times), "min_factor": times}
    try:
        # What lies below the rows that are read is no mistake.
        return simplejpeg.decode_jpeg(stored, "RGB", strict=shorter is None, **(least if times > 1 else {}))
    except ValueError:
        return None


def header_of(data: bytes) -> bytes:
    """What comes before the pixels: all of the file, if its parts cannot be told from one another."""
    scan = next((place for marker, place in _segments(data) if marker == _SCAN), len(data))
    return data[:scan]


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    """The markers of a JPEG, and where they are, to the first scan."""
    place, marker = len(_BEGIN), None
    while marker != _SCAN and place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        yield marker, place
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")


def _shortened(data: bytes, bottom: int, height: int) -> tuple[bytearray, int] | None:
    """The same file with fewer rows in its header, and how many; None where it cannot be, or saves nothing.

    Rows are stored from top to bottom, so that a decoder that is told of fewer stops there.
    """
    if not data.endswith(_END):  # it may have been cut off, which is said only of whole ones
        return None
    frame = scan = None
    for marker, place in _segments(data):
        if marker in _FRAMES:
            frame = place
        elif marker in _OTHER_FRAMES:
            return None
        elif marker == _SCAN:
            scan = place
    if frame is None or scan is None or data[frame + 9] != data[scan + 4]:  # colours that lie one after the other
        return None
    block = 8 * max(data[frame + 11 + 3 * i] & 15 for i in range(data[frame + 9]))
    rows = -(-(bottom + _BELOW) // block) * block
    if rows >= height:
        return None
    shorter = bytearray(data)
    shorter[frame + 5 : frame + 7] = rows.to_bytes(2, "big")
    return shorter, rows
