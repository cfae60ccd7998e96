"""Squares that are resized by vector instructions: Pillow's kernel, whatever the photo."""

import io

import numpy as np
import pytest
import skimage.data
from PIL import Image

from effjax.data import fast_resize
from effjax.data.decode import decode_image
from effjax.data.photo_crops import Part, PhotoCrops
from effjax.errors import UserError

BICUBIC = Image.Resampling.BICUBIC
PHOTO = skimage.data.chelsea()  # 300×451
NOISE = np.random.default_rng(0).integers(0, 256, (61, 47, 3), np.uint8)
MODES = {"L": 1, "RGB": 3, "RGBA": 4}


def image_of(pixels: np.ndarray, mode: str) -> Image.Image:
    image = Image.fromarray(pixels).convert(mode)
    if mode == "RGBA":
        image.putalpha(Image.fromarray(pixels[..., 0]))
    return image


def columns_first(image: Image.Image, size: int, box: tuple[float, float, float, float]) -> np.ndarray:
    left, top, right, bottom = box
    tall = image.resize((image.width, size), BICUBIC, box=(0, top, image.width, bottom))
    return np.asarray(tall.resize((size, size), BICUBIC, box=(left, 0, right, size)))


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("pixels", [PHOTO, NOISE], ids=["photo", "noise"])
@pytest.mark.parametrize("size", [24, 96, 224])
def test_it_is_pillows_with_columns_before_rows(pixels, mode, size):
    image = image_of(pixels, mode)
    stored = np.asarray(image).reshape(*pixels.shape[:2], -1)
    for box in ((0, 0, pixels.shape[1], pixels.shape[0]), (3.5, 1.25, 40.0, 33.3)):
        away = np.abs(fast_resize.resized(stored, box, size).squeeze() - columns_first(image, size, box).astype(int))
        assert away.max() <= 2
        assert (away > 0).mean() < 0.02


@pytest.mark.parametrize("mode", MODES)
def test_photos_are_seen_as_by_pillow(mode):
    """The same parts, of every kind of file."""
    channels = MODES[mode]
    for kind, options in (("PNG", {}), ("JPEG", {"quality": 95}), ("TIFF", {})):
        if kind == "JPEG" and mode == "RGBA":
            continue
        file = io.BytesIO()
        image_of(PHOTO, mode).save(file, kind, **options)
        for id_ in range(6):
            ours, theirs = (
                decode_image(
                    file.getvalue(), channels, 96, part=lambda w, h, crops=crops, id_=id_: crops.part(id_, w, h)
                )
                for crops in (PhotoCrops(resampler="simd"), PhotoCrops())
            )
            assert ours.shape == theirs.shape == (96, 96, channels)
            away = np.abs(ours.astype(int) - theirs)
            assert away.mean() < (0.8 if mode == "RGBA" else 0.4), kind  # opacity is multiplied and divided
            assert np.quantile(away, 0.99) <= 3, kind


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_turned_as_it_was_held(orientation, channels):
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(PHOTO).save(file, "JPEG", quality=95, exif=exif)
    ours, theirs = (
        decode_image(file.getvalue(), channels, 64, part=lambda w, h, by=by: Part(40, 30, 240, 260, True, by))
        for by in fast_resize.RESAMPLERS[::-1]
    )
    assert np.abs(ours.astype(int) - theirs).mean() < 0.4


def test_only_what_is_installed_is_used(monkeypatch):
    fast_resize.check_resampler("simd")
    monkeypatch.setattr(fast_resize.importlib.util, "find_spec", lambda _: None)
    fast_resize.check_resampler("pillow")
    with pytest.raises(UserError, match=r"resampler='simd': cykooz-resizer is not installed: pip install .*jpeg"):
        fast_resize.check_resampler("simd")
