"""Decoding images at a part of their size."""

import io

import numpy as np
import pytest
import skimage.data
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from effjax.data.decode import decode_image

BICUBIC = Image.Resampling.BICUBIC


def photo(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """A real photo, cut to a shape."""
    image = Image.fromarray(skimage.data.chelsea()).convert(mode)  # 451×300
    scale = min(image.width / width, image.height / height)
    return image.resize((width, height), Image.Resampling.LANCZOS, box=(0, 0, width * scale, height * scale))


def encoded(image: Image.Image, kind: str = "JPEG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def full_decode(data: bytes, size: int, mode: str = "RGB") -> np.ndarray:
    """What a decode of all pixels gives: the centre square, reduced with an anti-aliasing kernel."""
    image = Image.open(io.BytesIO(data)).convert(mode)
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    return np.asarray(image.resize((size, size), BICUBIC, box=(left, top, left + side, top + side)))


def apart(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(float) - other).mean())


@pytest.mark.parametrize(("width", "height"), [(500, 375), (375, 501), (383, 383)])
@pytest.mark.parametrize("size", [16, 33, 64, 96, 124])
def test_a_reduced_jpeg_equals_the_full_one(width, height, size):
    data = encoded(photo(width, height), quality=90)
    image = decode_image(data, 3, size)
    assert image.shape == (size, size, 3)
    assert image.dtype == np.uint8
    assert apart(image, full_decode(data, size)) < 1.5  # of 255 levels


def test_the_reduced_picture_is_not_stretched():
    # 375 halved is decoded as 188 pixels, the last of which is half empty. Taken whole, they would stretch the picture:
    # at its right end by a quarter of a pixel of the result, which a ramp shows.
    ramp = np.tile(np.linspace(0, 255, 375), (375, 1)).astype(np.uint8)
    data = encoded(Image.fromarray(ramp), quality=100)
    away = decode_image(data, 1, 124)[..., 0].astype(float) - full_decode(data, 124, "L")
    assert abs(away[:, 100:120].mean()) < 0.2  # stretched, 0.6


@pytest.mark.parametrize("size", [32, 127, 224])
def test_decoding_reads_all_pixels_where_fewer_would_not_do(size):
    data = encoded(photo(375, 375) if size > 100 else photo(95, 95))
    np.testing.assert_array_equal(decode_image(data, 3, size), full_decode(data, size))


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF"])
def test_other_formats_are_reduced_too(kind):
    data = encoded(photo(120, 90), kind)
    np.testing.assert_array_equal(decode_image(data, 3, 24), full_decode(data, 24))


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_size_larger_than_the_image(kind):
    data = encoded(photo(20, 15), kind)
    np.testing.assert_array_equal(decode_image(data, 3, 40), full_decode(data, 40))
    assert decode_image(data, 3).shape == (15, 20, 3)


def test_decoders_are_asked_for_no_more_than_they_need(monkeypatch):
    loaded = []
    load = JpegImageFile.load
    monkeypatch.setattr(JpegImageFile, "load", lambda image: (loaded.append(image.size), load(image))[1])
    data = encoded(photo(400, 300))
    for size in (101, 100, 50, 25, 1):
        decode_image(data, 3, size)
    assert list(dict.fromkeys(loaded)) == [(400, 300), (200, 150), (100, 75), (50, 38)]


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("L", 3), ("RGB", 1), ("RGB", 4), ("CMYK", 3), ("CMYK", 1)])
def test_channels_are_converted_at_any_size(mode, channels):
    data = encoded(photo(320, 240, mode), quality=95)
    wanted = {1: "L", 3: "RGB", 4: "RGBA"}[channels]
    full = np.asarray(Image.open(io.BytesIO(data)).convert(wanted)).reshape(240, 320, channels)
    np.testing.assert_array_equal(decode_image(data, channels), full)
    reduced = decode_image(data, channels, 40)
    assert reduced.shape == (40, 40, channels)
    assert apart(reduced, full_decode(data, 40, wanted).reshape(reduced.shape)) < 1.5


def test_a_transparent_palette_is_the_same_at_any_size():
    palette = photo(60, 60).convert("P")
    palette.info["transparency"] = bytes(range(256))
    data = encoded(palette, "PNG")
    full = np.asarray(Image.open(io.BytesIO(data)).convert("RGBA").convert("RGB"))
    np.testing.assert_array_equal(decode_image(data, 3), full)
    assert decode_image(data, 3, 20).shape == (20, 20, 3)


def test_orientation_is_not_applied():
    image = photo(400, 300)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by a quarter
    turned = encoded(image, exif=exif)
    np.testing.assert_array_equal(decode_image(turned, 3, 50), decode_image(encoded(image), 3, 50))


@pytest.mark.parametrize("size", [None, 16, 64, 400])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_truncated_files_are_refused_at_any_size(kind, size):
    data = encoded(photo(400, 300), kind)
    for kept in (len(data) // 2, len(data) - 200):
        with pytest.raises(OSError, match="truncated"):
            decode_image(data[:kept], 3, size)


def test_no_image_and_too_deep_ones_are_refused(tmp_path):
    with pytest.raises(OSError, match="cannot identify"):
        decode_image(b"\xff\xd8\xff", 3, 16)
    path = tmp_path / "deep.png"
    Image.fromarray(np.zeros((20, 24), np.uint16)).save(path)
    with pytest.raises(ValueError, match="pixel format I;16 is not 8-bit"):
        decode_image(path, 1, 16)
