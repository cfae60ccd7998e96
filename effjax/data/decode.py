"""From the bytes of an image file to pixels, the same for every kind of source."""

import functools
import io
import math
import os
from collections.abc import Callable
from typing import Any, cast

import numpy as np
from PIL import Image

from effjax.data import fast_jpeg, fast_resize
from effjax.data.photo_crops import Box, Part, centre_part

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
# Of a random part, which training sees once, it is enough that it is as large: on photos 0.9 to 1.4 levels away, with
# 0.9 to 1.5 times as much above the middle frequencies, where Lanczos' kernel has 1.2 times as much.
_SPARE_AT_RANDOM = 1.0

#: From the width and height of a photo, in pixels, to what is seen of it.
Parts = Callable[[int, int], Part]


def decode_image(
    file: bytes | str | os.PathLike,
    channels: int,
    image_size: int | None = None,
    *,
    upright: bool = True,
    part: Parts | None = None,
    crop_pct: float = 1.0,
) -> np.ndarray:
    """Decodes an image completely.

    Args:
      file: the encoded bytes, or the path of the file.
      channels: 1 (grey), 3 (RGB) or 4 (RGBA); the image is converted. Grey of 16 bits is scaled to 8: 65,535 is 255.
      image_size: None keeps the image as it is. Otherwise a part of it becomes a square of so many pixels (bicubic and
        anti-aliased). A JPEG of which the part is at least three times as large (a random one: twice) is decoded at ½,
        ¼ or ⅛ of its size, which is faster.
      upright: whether the picture is turned as the camera notes in EXIF that it was held.
      part: what of the picture becomes the square, as it is stored and not turned; None: the middle.
      crop_pct: how much of the middle that is, see :func:`effjax.data.photo_crops.centre_part`.

    Returns:
      ``[H, W, channels]`` uint8.

    Raises:
      OSError: if the image cannot be read to its end.
      ValueError: if its pixels are no numbers of 8 or 16 bits.
    """
    choose = part or functools.partial(centre_part, size=image_size or 0, crop_pct=crop_pct)
    if image_size is not None and channels == 3:
        if not isinstance(file, bytes):
            with open(file, "rb") as opened:
                file = opened.read()
        if quick := _decoded_quickly(file, image_size, choose):
            turn = _UPRIGHT.get(_noted_orientation(file)) if upright else None
            return _squared(*quick, image_size, turn)
    with Image.open(io.BytesIO(file) if isinstance(file, bytes) else file) as image:
        whole, scale, box, resampler = image.size, 1.0, None, "pillow"
        if image_size is not None:
            scale = _reduce_before_decoding(image, choose(*whole), image_size)
        if image.mode not in (*_EIGHT_BIT_MODES, *_SIXTEEN_BIT_MODES):
            raise ValueError(f"pixel format {image.mode} has neither 8 nor 16 bits")
        image.load()
        turn = _UPRIGHT.get(orientation_of(image)) if upright else None
        if image_size is not None:
            seen = choose(*(whole if scale < 1 else image.size))  # Pillow turns TIFFs as it loads them
            box, resampler = seen.times(scale), seen.resampler
            if seen.alone:
                cut, box = _whole_pixels(box)
                image = image.crop(cut)
        if image.mode in _SIXTEEN_BIT_MODES:
            image = _eight_bits(image)
        if "transparency" in image.info:
            image = image.convert("RGBA")
        if image.mode != _MODES[channels]:
            image = image.convert(_MODES[channels])
        if image_size is not None and box is not None:
            pixels = _squared(image, box, resampler, image_size, turn)
        else:
            pixels = np.asarray(image if turn is None else image.transpose(turn))
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


def _decoded_quickly(data: bytes, size: int, choose: Parts) -> tuple[Image.Image | np.ndarray, Box, str] | None:
    """What :mod:`fast_jpeg` decodes of a photo, where in it that is which is seen, and what resizes it.

    None if it is not for it.
    """
    whole = fast_jpeg.size_of(data)
    if whole is None:
        return None
    seen = choose(*whole)
    times = _times(seen, size)
    pixels = fast_jpeg.decoded(data, *whole, times, math.ceil(seen.bottom) if seen.alone else None)
    if pixels is None:
        return None
    box = seen.times(1 / times)
    cut = (0, 0, pixels.shape[1], pixels.shape[0])
    if seen.alone:
        cut, box = _whole_pixels(box)
    left, top, right, bottom = cut
    part = pixels[top:bottom, left:right] if seen.resampler == "simd" else _image_of(pixels, cut)
    return part, box, seen.resampler


def _image_of(pixels: np.ndarray, cut: tuple[int, int, int, int]) -> Image.Image:
    """A part of ``[H, W, 3]``, which is copied once."""
    left, top, right, bottom = cut
    stride = pixels.shape[1] * 3
    rest = pixels.reshape(-1)[top * stride + left * 3 :]
    return Image.frombuffer("RGB", (right - left, bottom - top), cast(Any, rest), "raw", "RGB", stride, 1)


def _noted_orientation(data: bytes) -> int:
    """As :func:`orientation_of`, of a JPEG, most of which have no notes at all."""
    header = fast_jpeg.header_of(data)
    if b"Exif\0\0" not in header and b"xap/1.0" not in header:
        return 1
    with Image.open(io.BytesIO(data)) as image:
        return orientation_of(image)


def _reduce_before_decoding(image: Image.Image, seen: Part, size: int) -> float:
    """Returns how large the picture is then, as a share: of 375 pixels at ½ are 187.5 of the 188 that are decoded."""
    times = _times(seen, size)
    drafted = times > 1 and image.draft(None, (image.width // times, image.height // times))
    return 1 / times if drafted else 1.0


def _times(seen: Part, size: int) -> int:
    """How many times smaller a JPEG is decoded."""
    lower = min(seen.right - seen.left, seen.bottom - seen.top)
    enough = math.ceil((_SPARE_AT_RANDOM if seen.alone else _SPARE) * size)
    return next(times for times in (8, 4, 2, 1) if times == 1 or lower >= times * enough)


def _whole_pixels(box: Box) -> tuple[tuple[int, int, int, int], Box]:
    """The whole pixels that a box lies in, and where it is in these."""
    left, top = math.floor(box[0]), math.floor(box[1])
    cut = left, top, math.ceil(box[2]), math.ceil(box[3])
    return cut, (box[0] - left, box[1] - top, box[2] - left, box[3] - top)


def _squared(
    image: Image.Image | np.ndarray, box: Box, resampler: str, size: int, turn: Image.Transpose | None
) -> np.ndarray:
    """A box of an image as a square, turned; grey ones may lack their last axis."""
    if resampler == "simd":
        pixels = np.asarray(image)
        square = fast_resize.resized(pixels.reshape(*pixels.shape[:2], -1), box, size)
        if turn is None:
            return square
        image, box = Image.fromarray(square[..., 0] if square.shape[-1] == 1 else square), (0, 0, size, size)
    assert isinstance(image, Image.Image)
    square = image.resize((size, size), Image.Resampling.BICUBIC, box=box)  # at once if it is one
    return np.asarray(square if turn is None else square.transpose(turn))
