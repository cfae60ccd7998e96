"""From the bytes of an image file to pixels, the same for every kind of source."""

import io
import math
import os

import numpy as np
from PIL import Image

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
GREY_MODES = ("1", "L", "I;16", "I;16L", "I;16B", "I;16N", "I")
_SIXTEEN_BIT_MODES = GREY_MODES[2:]  # "I" has 32, of which Pillow fills 16
_EIGHT_BIT_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LAB")
# What makes a picture upright, by the orientation that a camera notes in EXIF.
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# A JPEG decoded at a part of its size must still be so many times as large as what is asked for. The result then
# differs from that of a full decode by no more than another good kernel's would: on photos by 0.4 to 1.4 of 255 levels
# on average, where Lanczos' and the bicubic one are 1.1 to 1.5 apart. (simplejpeg takes as long at the same scale, and
# the other eighths that it knows seldom pay.)
_SPARE = 1.5


def decode_image(
    file: bytes | str | os.PathLike, channels: int, image_size: int | None = None, *, upright: bool = True
) -> np.ndarray:
    """Decodes an image completely.

    Args:
      file: the encoded bytes, or the path of the file.
      channels: 1 (grey), 3 (RGB) or 4 (RGBA); the image is converted. Grey of 16 bits is scaled to 8: 65,535 is 255.
      image_size: None keeps the image as it is. Otherwise the shorter side is resized to so many pixels (bicubic,
        anti-aliased), and the centre square is cut out. A JPEG at least three times as large is then decoded at
        ½, ¼ or ⅛ of its size, which is faster.
      upright: whether the picture is turned as the camera notes in EXIF that it was held.

    Returns:
      ``[H, W, channels]`` uint8.

    Raises:
      OSError: if the image cannot be read to its end.
      ValueError: if its pixels are no numbers of 8 or 16 bits.
    """
    with Image.open(io.BytesIO(file) if isinstance(file, bytes) else file) as image:
        reduced = None if image_size is None else _reduce_before_decoding(image, image_size)
        if image.mode not in (*_EIGHT_BIT_MODES, *_SIXTEEN_BIT_MODES):
            raise ValueError(f"pixel format {image.mode} has neither 8 nor 16 bits")
        image.load()
        turn = _UPRIGHT.get(orientation_of(image)) if upright else None
        if image.mode in _SIXTEEN_BIT_MODES:
            image = _eight_bits(image)
        if "transparency" in image.info:
            image = image.convert("RGBA")
        if image.mode != _MODES[channels]:
            image = image.convert(_MODES[channels])
        if image_size is not None:
            image = _shorter_side_to(image, image_size, reduced or image.size)
        if turn is not None:  # a centre square turned is the centre square of what is turned
            image = image.transpose(turn)
        pixels = np.asarray(image)
    return pixels.reshape(*pixels.shape[:2], channels)


def stored_size(file: bytes) -> tuple[int, int]:
    """(height, width) of an image as it is stored, not turned; it is not decoded.

    Raises:
      OSError: if it is no image.
    """
    with Image.open(io.BytesIO(file)) as image:
        return image.height, image.width


def orientation_of(image: Image.Image) -> int:
    """How the camera was held, as EXIF notes it: 1 is upright, 2 to 4 are mirrored or upside down, 5 to 8 on a side."""
    try:
        found = image.getexif().get(_ORIENTATION, 1)
        return found if found in _UPRIGHT else 1
    except Exception:  # Pillow raises nearly anything on damaged EXIF, beside which the picture is whole
        return 1


def _eight_bits(image: Image.Image) -> Image.Image:
    deep = np.asarray(image).astype(np.int64)
    if deep.size and not 0 <= deep.min() <= deep.max() <= 65_535:
        raise ValueError(f"pixel format {image.mode}: values from {deep.min()} to {deep.max()} are not of 16 bits")
    return Image.fromarray(((deep * 255 + 32_767) // 65_535).astype(np.uint8))  # without a grey value's transparency


def _reduce_before_decoding(image: Image.Image, size: int) -> tuple[float, float] | None:
    """Returns the picture's width and height then, which need not be whole: of 375 pixels 187.5 of 188; or None."""
    enough = math.ceil(_SPARE * size)
    draft = image.draft(None, (enough, enough))
    return draft[1][2:] if draft else None


def _shorter_side_to(image: Image.Image, size: int, extent: tuple[float, float]) -> Image.Image:
    width, height = extent
    side = min(extent)
    left, top = (width - side) / 2, (height - side) / 2
    box = (left, top, left + side, top + side)
    return image.resize((size, size), Image.Resampling.BICUBIC, box=box)
