"""Random resized crops of whole photos, and what evaluation sees of them, against independent references."""

import io
import itertools
import pickle

import imports_seen
import numpy as np
import pytest
import skimage.data
from coco_files_here import write_plain
from PIL import Image

from effjax.data.base import Subset
from effjax.data.decode import decode_image
from effjax.data.feeds import StreamFeed
from effjax.data.joined import JoinedSource
from effjax.data.noise import noisy_labels
from effjax.data.photo_crops import PhotoCrops, centre_part
from effjax.data.pipeline import train_batches
from effjax.data.sampler import Sampler
from effjax.data.sources import load
from effjax.errors import UserError

DRAWS = 6000
BICUBIC = Image.Resampling.BICUBIC


def reference(width: int, height: int, draw: np.random.Generator, least: float = 0.08) -> tuple[int, int, int, int]:
    """Left, top, width and height as torchvision's ``RandomResizedCrop`` draws them, by its description."""
    for _ in range(10):
        area = draw.uniform(least, 1.0) * width * height
        ratio = np.exp(draw.uniform(np.log(3 / 4), np.log(4 / 3)))
        w, h = round(np.sqrt(area * ratio)), round(np.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            return draw.integers(0, width - w + 1), draw.integers(0, height - h + 1), w, h
    if width / height < 3 / 4:
        w, h = width, round(width / (3 / 4))
    elif width / height > 4 / 3:
        w, h = round(height * (4 / 3)), height
    else:
        w, h = width, height
    return (width - w) // 2, (height - h) // 2, w, h


def drawn(width: int, height: int, least: float = 0.08, count: int = DRAWS) -> np.ndarray:
    """Left, top, width and height of ours, ``[count, 4]``."""
    crops = PhotoCrops(least, seed=3)
    parts = [crops.of_step(step).part(id_, width, height) for step, id_ in np.ndindex(count // 100, 100)]
    assert all(part.alone for part in parts)
    return np.array([(p.left, p.top, p.right - p.left, p.bottom - p.top) for p in parts])


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference of two empirical distributions (Kolmogorov and Smirnov)."""
    places = np.union1d(a, b)
    one, other = (np.searchsorted(np.sort(x), places, "right") / len(x) for x in (a, b))
    return float(np.abs(one - other).max())


@pytest.mark.parametrize(("width", "height"), [(500, 375), (375, 500), (333, 500), (640, 200)])
def test_parts_are_distributed_as_torchvisions(width, height):
    draw = np.random.default_rng(0)
    theirs, ours = np.array([reference(width, height, draw) for _ in range(DRAWS)]), drawn(width, height)
    assert (ours[:, :2] >= 0).all()
    assert (ours[:, :2] + ours[:, 2:] <= (width, height)).all()
    facts = {
        "area": lambda x: x[:, 2] * x[:, 3],
        "shape": lambda x: x[:, 2] / x[:, 3],
        "left": lambda x: x[:, 0] / np.maximum(width - x[:, 2], 1),
        "top": lambda x: x[:, 1] / np.maximum(height - x[:, 3], 1),
    }
    for name, of in facts.items():
        assert distance(of(ours), of(theirs)) < 0.036, name  # by chance in one of 1,000
    for size in (160, 224):
        enlarged = [(x[:, 2:].min(1) < size).mean() for x in (ours, theirs)]
        assert abs(enlarged[0] - enlarged[1]) < 0.03


#: Of 200,000 draws of torchvision 0.29's ``RandomResizedCrop.get_params``, by photo: the deciles of the parts' share of
#: the area and of width over height, and how many have a side below 224 pixels.
TORCHVISION = {
    (500, 375): (
        (0.149, 0.218, 0.286, 0.354, 0.422, 0.490, 0.558, 0.632, 0.735),
        (0.811, 0.870, 0.930, 0.989, 1.046, 1.104, 1.162, 1.219, 1.276),
        0.3326,
    ),
    (333, 500): (
        (0.140, 0.199, 0.259, 0.319, 0.378, 0.438, 0.498, 0.564, 0.655),
        (0.784, 0.820, 0.860, 0.904, 0.954, 1.011, 1.075, 1.148, 1.232),
        0.4488,
    ),
}


@pytest.mark.parametrize("photo_size", TORCHVISION)
def test_deciles_and_enlarged_views_are_those_of_torchvision(photo_size):
    areas, shapes, enlarged = TORCHVISION[photo_size]
    ours, tenths = drawn(*photo_size, count=10_000), np.arange(1, 10) / 10
    sides = ours[:, 2:]
    below = np.searchsorted(np.sort(sides.prod(1) / np.prod(photo_size)), areas) / len(ours)
    np.testing.assert_allclose(below, tenths, atol=0.02)
    np.testing.assert_allclose(
        np.searchsorted(np.sort(sides[:, 0] / sides[:, 1]), shapes) / len(ours), tenths, atol=0.02
    )
    assert abs((sides.min(1) < 224).mean() - enlarged) < 0.02


def test_of_a_square_that_was_decoded_all_views_are_enlarged():
    assert (drawn(224, 224)[:, 2:].min(1) < 224).mean() > 0.99


def test_a_strip_gives_its_middle_with_an_allowed_shape():
    assert drawn(1000, 10, 0.9, 100).tolist() == [[493, 0, 13, 10]] * 100
    assert drawn(10, 1000, 0.9, 100).tolist() == [[0, 493, 10, 13]] * 100


def test_a_part_is_a_matter_of_seed_step_and_id_alone():
    parts = {
        PhotoCrops(0.08, seed, step).part(id_, 500, 375)
        for seed, step, id_ in itertools.product((0, 1, 2**32 - 1), (0, 1, 2**31 - 1), (0, 1, 2**31 - 1))
    }
    assert len(parts) == 27
    assert PhotoCrops(0.08, 5, 9).part(7, 500, 375) == PhotoCrops(0.08, 5, 9, first_id=3).part(4, 500, 375)
    assert PhotoCrops(0.08, 5).part(1, 500, 375)[:5] == (5, 241, 175, 375, True)  # on every machine


def photo(width: int, height: int) -> Image.Image:
    image = Image.fromarray(skimage.data.chelsea())  # 451×300
    return image.resize((width, height), Image.Resampling.LANCZOS)


def encoded(image: Image.Image, kind: str = "JPEG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_part_is_cut_out_and_then_resized_as_pillow_does(kind):
    data = encoded(photo(321, 243), kind)
    whole = Image.open(io.BytesIO(data)).convert("RGB")
    crops = PhotoCrops(0.08, seed=1)
    for id_ in range(8):
        part = crops.part(id_, 321, 243)
        cut = whole.crop(part[:4])
        for size in (224, 97):
            expected = np.asarray(cut.resize((size, size), BICUBIC)).astype(int)
            found = decode_image(data, 3, size, part=lambda *whole, id_=id_: crops.part(id_, *whole)).astype(int)
            if kind == "PNG" or min(cut.size) < 2 * size:
                np.testing.assert_array_equal(found, expected)


def test_a_part_of_a_reduced_jpeg_is_the_part_of_the_whole():
    data = encoded(photo(640, 480), quality=95)
    whole, crops = Image.open(io.BytesIO(data)), PhotoCrops(0.3, seed=2)
    for id_ in range(12):
        part = crops.part(id_, 640, 480)
        expected = np.asarray(whole.crop(part[:4]).resize((48, 48), BICUBIC)).astype(float)
        found = decode_image(data, 3, 48, part=lambda *size, id_=id_: crops.part(id_, *size))
        assert np.abs(found - expected).mean() < 2.5  # of 255 levels


def test_what_a_camera_turned_is_cut_and_then_turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    data, plain = (encoded(photo(90, 60), exif=given) for given in (exif, Image.Exif()))
    crops = PhotoCrops(0.2, seed=4)
    cut = [decode_image(one, 3, 40, part=lambda *size: crops.part(0, *size)) for one in (data, plain)]
    np.testing.assert_array_equal(cut[0], np.rot90(cut[1], -1))


@pytest.mark.parametrize(("width", "height"), [(500, 375), (375, 500), (333, 281), (256, 256), (120, 901)])
@pytest.mark.parametrize(("size", "crop_pct"), [(224, 0.875), (160, 0.95), (33, 0.9)])
def test_evaluation_resizes_the_shorter_side_and_cuts_the_middle_out(width, height, size, crop_pct):
    data = encoded(photo(width, height), "PNG")
    shorter = int(size / crop_pct)
    scale = shorter / min(width, height)
    resized = photo(width, height).resize(
        (shorter, int(shorter * height / width)) if width <= height else (int(shorter * width / height), shorter),
        BICUBIC,
    )
    assert abs(resized.width - width * scale) < 1
    left, top = round((resized.width - size) / 2), round((resized.height - size) / 2)
    expected = np.asarray(resized.crop((left, top, left + size, top + size))).astype(int)
    away = np.abs(decode_image(data, 3, size, crop_pct=crop_pct) - expected)
    assert away.max() <= 2  # of 255 levels, where an axis is rounded the other way
    assert (away > 1).mean() < 1e-3


def test_all_of_the_shorter_side_is_seen_without_it():
    assert centre_part(451, 300, 224) == (75.5, 0, 375.5, 300, False, "pillow")


@pytest.fixture
def photos(tmp_path):
    """A folder of twelve JPEGs, each of another size, opened at 24 pixels."""
    for index, label in enumerate("abc" * 4):
        path = tmp_path / "train" / label
        path.mkdir(parents=True, exist_ok=True)
        photo(61 + 7 * index, 83 - 3 * index).save(path / f"{index}.jpg")
    return load(f"folder:{tmp_path}", "train", image_size=24)


def images(source, crops, start=0, stop=4, batch=6, **options) -> dict[tuple[int, int], bytes]:
    """By step and id, the images of a run."""
    found = {}
    with train_batches(source, Sampler(len(source), batch, seed=1), start, stop, crops=crops, **options) as batches:
        for step, read in zip(range(start, stop), batches, strict=True):
            found.update({(step, int(id_)): one.tobytes() for id_, one in zip(read["id"], read["image"], strict=True)})
    return found


def test_whoever_reads_a_step_sees_the_same(photos):
    crops = PhotoCrops(0.08, seed=5)
    whole = images(photos, crops)
    assert len(whole) == len(set(whole.values())) == 24
    assert {(step, id_): image for (step, id_), image in whole.items() if step > 1} == images(photos, crops, 2)
    for options in ({"num_threads": 0}, {"num_threads": 3}, {"num_workers": 2}):
        assert images(photos, crops, **options) == whole
    halves = [images(photos, crops, process_index=index, process_count=2) for index in range(2)]
    assert halves[0] | halves[1] == whole
    for (step, id_), image in whole.items():
        assert photos.cut(id_, crops.of_step(step))["image"].tobytes() == image


def test_reading_processes_import_neither_jax_nor_grain(photos):
    with train_batches(photos, Sampler(12, 4, seed=0), 0, 2, num_workers=1, transform=imports_seen.note) as batches:
        assert not np.concatenate([batch["label"] for batch in batches]).any()


def test_ids_say_what_is_seen_in_parts_and_joined_sets(photos):
    crops = PhotoCrops(0.08, 5, 3)
    noisy = noisy_labels(photos, 0.5)
    part, joined = Subset(noisy, [7, 2]), JoinedSource([photos, photos])
    assert part.cut(0, crops)["label"] == noisy[7]["label"]
    np.testing.assert_array_equal(part.cut(0, crops)["image"], photos.cut(7, crops)["image"])
    np.testing.assert_array_equal(joined.cut(7, crops)["image"], photos.cut(7, crops)["image"])
    second = joined.cut(12 + 7, crops)
    assert second["id"] == 19
    assert not np.array_equal(second["image"], photos.cut(7, crops)["image"])
    np.testing.assert_array_equal(second["image"], photos.cut(7, crops.of_ids_from(12))["image"])
    again = pickle.loads(pickle.dumps(joined))
    np.testing.assert_array_equal(again.cut(19, crops)["image"], second["image"])


def test_a_stage_of_small_images_decodes_small_parts(photos):
    feed = StreamFeed({"train": photos}, 4, resize=True, crops=PhotoCrops(0.5))
    for size in (12, 24):
        (block,) = feed.blocks({"image_size": size}, 9, 0, 2, 2)
        assert block["image"].shape == (2, 4, size, size, 3)
        first, id_ = block["image"][1, 2], int(block["id"][1, 2])
        of_step = PhotoCrops(0.5, seed=9, step=1)
        np.testing.assert_array_equal(first, photos.at_size(size).cut(id_, of_step)["image"])
    (other,) = feed.blocks({"image_size": 24}, 8, 0, 2, 2)
    assert not np.array_equal(other["image"], block["image"])  # of another seed


def test_evaluation_of_a_folder(photos):
    middle = load(photos.info.name, "train", image_size=24, crop_pct=0.5)
    half = load(photos.info.name, "train[:50%]", image_size=24, crop_pct=0.5).at_size(12)
    path = photos.root / photos.paths[3]
    np.testing.assert_array_equal(middle[3]["image"], decode_image(path, 3, 24, crop_pct=0.5))
    assert not np.array_equal(middle[3]["image"], photos[3]["image"])
    id_ = int(half.ids()[0])
    np.testing.assert_array_equal(half[0]["image"], decode_image(photos.root / photos.paths[id_], 3, 12, crop_pct=0.5))


def energy_above(image: np.ndarray, size: int) -> float:
    """The share of an image's energy, but for its mean, above the frequencies that ``size`` pixels have."""
    spectrum = np.abs(np.fft.fft2(image - image.mean((0, 1)), axes=(0, 1))) ** 2
    frequencies = np.abs(np.fft.fftfreq(len(image), 1 / len(image)))
    low = frequencies <= size / 2
    return 1 - spectrum[np.ix_(low, low)].sum() / spectrum.sum()


def test_as_much_is_above_the_low_frequencies_as_in_torchvisions_views():
    data, draw = encoded(photo(500, 375), quality=90), np.random.default_rng(1)
    whole, crops = Image.open(io.BytesIO(data)), PhotoCrops(0.08, seed=6)
    ours, theirs, before = [], [], []
    square = Image.fromarray(decode_image(data, 3, 64))
    for id_ in range(60):
        left, top, w, h = reference(500, 375, draw)
        view = whole.crop((left, top, left + w, top + h)).resize((64, 64), BICUBIC)
        theirs.append(energy_above(np.asarray(view).astype(float), 40))
        ours.append(energy_above(decode_image(data, 3, 64, part=lambda *size, i=id_: crops.part(i, *size)) * 1.0, 40))
        left, top, w, h = reference(64, 64, draw)
        view = square.crop((left, top, left + w, top + h)).resize((64, 64), BICUBIC)
        before.append(energy_above(np.asarray(view).astype(float), 40))
    assert 0.8 < np.mean(ours) / np.mean(theirs) < 1.25
    assert np.mean(before) < 0.7 * np.mean(theirs)  # enlarged views have little there


def test_what_would_not_follow_is_refused(tmp_path, data_dir):
    source = load("digits", "validation", data_dir, image_size=28)
    assert source.cut(3, PhotoCrops(0.5))["image"].shape == (28, 28, 1)
    write_plain(tmp_path)
    with pytest.raises(
        UserError, match=r"config.data.crop_pct=0.5: what coco:.* knows of places .* not follow: say 1.0"
    ):
        load(f"coco:{tmp_path}", "all", image_size=28, crop_pct=0.5)
