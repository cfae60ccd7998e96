"""Decoding images at a part of their size."""

import io

import numpy as np
import pytest
import skimage.data
import tifffile
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from effjax.data import fast_jpeg
from effjax.data.decode import decode_image
from effjax.data.photo_crops import PhotoCrops

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
    monkeypatch.setattr(fast_jpeg, "simplejpeg", None)
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


#: By EXIF orientation: what a picture that is stored so looks like, held upright.
TURNED = {
    1: lambda image: image,
    2: np.fliplr,
    3: lambda image: np.rot90(image, 2),
    4: np.flipud,
    5: lambda image: image.swapaxes(0, 1),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: np.rot90(image.swapaxes(0, 1), 2),
    8: np.rot90,
}


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_picture_is_turned_as_the_camera_was_held(orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = photo(120, 80)
    data, plain = encoded(stored, kind, exif=exif), encoded(stored, kind)
    upright = TURNED[orientation](decode_image(plain, 3))
    np.testing.assert_array_equal(decode_image(data, 3), upright)
    small = TURNED[orientation](decode_image(plain, 3, 32))
    # Pillow turns TIFFs itself, before they are made smaller.
    np.testing.assert_allclose(decode_image(data, 3, 32).astype(int), small, atol=1 if kind == "TIFF" else 0)
    if kind != "TIFF":
        np.testing.assert_array_equal(decode_image(data, 3, upright=False), decode_image(plain, 3))


@pytest.mark.parametrize("orientation", TURNED)
def test_a_reduced_jpeg_is_turned_as_a_full_one_is(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = photo(375, 281)
    upright = Image.fromarray(np.ascontiguousarray(TURNED[orientation](np.asarray(image))))
    turned = decode_image(encoded(image, quality=95, exif=exif), 3, 60)
    assert apart(turned, full_decode(encoded(upright, "PNG"), 60)) < 2  # the other orientations are 20 and more away


@pytest.mark.filterwarnings("ignore:.*EXIF:UserWarning", "ignore:Tag:UserWarning")  # Pillow's
def test_damaged_notes_of_the_camera_do_not_matter():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(photo(40, 30), exif=exif)
    start = data.index(b"Exif\0\0") + 6
    for place in range(start, start + len(exif.tobytes()) - 6):
        for value in (0, 0xFF):
            damaged = data[:place] + bytes([value]) + data[place + 1 :]
            assert decode_image(damaged, 3, 10).shape == (10, 10, 3)


@pytest.mark.parametrize(
    ("kind", "dtype"), [("PNG", "<u2"), ("TIFF", "<u2"), ("TIFF", ">u2"), ("PPM", "<u2"), ("TIFF", "<i4")]
)
def test_16_bits_are_scaled_to_8(kind, dtype):
    deep = np.linspace(0, 65_535, 48).round().astype(np.int64).reshape(6, 8)
    file = io.BytesIO()
    if dtype == ">u2":
        tifffile.imwrite(file, deep.astype(np.uint16), byteorder=">")
    else:
        Image.fromarray(deep.astype(dtype)).save(file, kind)
    if dtype == ">u2":
        assert Image.open(file).mode == "I;16B"
    image = decode_image(file.getvalue(), 1)
    np.testing.assert_array_equal(image[..., 0], np.round(deep * 255 / 65_535))
    np.testing.assert_array_equal(decode_image(file.getvalue(), 3), image.repeat(3, axis=-1))
    assert decode_image(file.getvalue(), 1, 3).shape == (3, 3, 1)


@pytest.mark.parametrize("size", [None, 16, 64, 400])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_truncated_files_are_refused_at_any_size(kind, size):
    data = encoded(photo(400, 300), kind)
    for kept in (len(data) // 2, len(data) - 200):
        with pytest.raises(OSError, match="truncated"):
            decode_image(data[:kept], 3, size)


def test_no_image_and_too_deep_ones_are_refused():
    with pytest.raises(OSError, match="cannot identify"):
        decode_image(b"\xff\xd8\xff", 3, 16)
    with pytest.raises(ValueError, match="pixel format F has neither 8 nor 16 bits"):
        decode_image(encoded(Image.fromarray(np.zeros((20, 24), np.float32)), "TIFF"), 1, 16)
    for wrong in (-1, 65_536):
        with pytest.raises(ValueError, match=r"pixel format I: values from .* are not of 16 bits"):
            decode_image(encoded(Image.fromarray(np.array([[0, wrong]], np.int32)), "TIFF"), 1)


def a_jpeg(kind: str) -> bytes:
    options = {"subsampling": int(kind[-1])} if kind.startswith("4:") else {}
    if kind == "turned":
        options["exif"] = Image.Exif()
        options["exif"][0x0112] = 6
    options["progressive"] = kind == "progressive"
    if kind == "restarts":
        options["restart_marker_rows"] = 1
    return encoded(photo(301, 223, "L" if kind == "grey" else "CMYK" if kind == "cmyk" else "RGB"), **options)


KINDS = ("4:0", "4:1", "4:2", "restarts", "progressive", "grey", "cmyk", "turned")


@pytest.mark.parametrize("kind", KINDS)
def test_the_other_decoder_gives_the_same_pixels(kind, monkeypatch):
    simplejpeg = pytest.importorskip("simplejpeg")
    data, crops = a_jpeg(kind), PhotoCrops(0.2, seed=1)
    called = []
    decode = simplejpeg.decode_jpeg
    monkeypatch.setattr(simplejpeg, "decode_jpeg", lambda *given, **more: called.append(1) or decode(*given, **more))

    def views():
        yield from (decode_image(data, 3, size) for size in (200, 70, 30, 12))
        yield decode_image(data, 3, 60, crop_pct=0.8)
        for id_ in range(8):
            yield from (decode_image(data, 3, size, part=lambda *s, i=id_: crops.part(i, *s)) for size in (224, 40, 15))

    quick = list(views())
    assert bool(called) == (kind != "cmyk")
    monkeypatch.setattr(fast_jpeg, "simplejpeg", None)
    for one, other in zip(quick, views(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_rows_below_a_part_are_not_decoded():
    pytest.importorskip("simplejpeg")
    for kind, rows in {"4:0": 56, "4:1": 56, "4:2": 64, "restarts": 64, "grey": 56, "progressive": 223}.items():
        data = a_jpeg(kind)
        pixels = fast_jpeg.decoded(data, 301, 223, 1, bottom=50)
        assert pixels.shape == (rows, 301, 3)
        np.testing.assert_array_equal(pixels[:50], fast_jpeg.decoded(data, 301, 223, 1)[:50])
    assert fast_jpeg.decoded(data, 301, 223, 1, bottom=222).shape == (223, 301, 3)
    assert (
        fast_jpeg.decoded(a_jpeg("4:2")[:-300], 301, 223, 1, bottom=50) is None
    )  # for what it is worth, it is cut off


def test_what_the_other_decoder_cannot_read_is_pillows_to_say(tmp_path):
    pytest.importorskip("simplejpeg")
    data = encoded(photo(60, 40))
    with pytest.raises(OSError, match="truncated"):
        decode_image(data[:-200], 3, 20)
    (tmp_path / "a.jpg").write_bytes(data)
    np.testing.assert_array_equal(decode_image(tmp_path / "a.jpg", 3, 20), decode_image(data, 3, 20))
    assert fast_jpeg.size_of(data) == (60, 40)
    assert fast_jpeg.size_of(encoded(photo(60, 40), "PNG")) is None
