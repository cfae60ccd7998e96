"""From the bytes of an image file to pixels, the same for every kind of source."""

import io
import os

import numpy as np
from PIL import Image

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
EIGHT_BIT_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LAB")


def decode_image(file: bytes | str | os.PathLike, channels: int, image_size: int | None = None) -> np.ndarray:
    """Decodes an image completely.

    Args:
        file: the encoded bytes, or the path of the file.
        channels: 1 (grey), 3 (RGB) or 4 (RGBA); the image is converted.
        image_size: None keeps the image as it is. Otherwise the shorter side is resized to so many pixels (bicubic,
            anti-aliased), and the centre square is cut out.

    Returns:
        ``[H, W, channels]`` uint8.

    Raises:
        OSError: if the image cannot be read to its end.
        ValueError: if it has more than 8 bits a channel.
    """
    with Image.open(io.BytesIO(file) if isinstance(file, bytes) else file) as image:
        if image_size is not None:
            # A JPEG can be decoded at ½, ¼ or ⅛ of its size, which is faster; twice the target loses nothing visible.
            image.draft(None, (2 * image_size, 2 * image_size))
        if image.mode not in EIGHT_BIT_MODES:
            raise ValueError(f"pixel format {image.mode} is not 8-bit")
        if "transparency" in image.info:
            image = image.convert("RGBA")
        image = image.convert(_MODES[channels])
        if image_size is not None:
            image = _shorter_side_to(image, image_size)
        pixels = np.asarray(image)
    return pixels.reshape(*pixels.shape[:2], channels)


def _shorter_side_to(image: Image.Image, size: int) -> Image.Image:
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    box = (left, top, left + side, top + side)
    return image.resize((size, size), Image.Resampling.BICUBIC, box=box)
