"""Images and classes in parquet files, as the Hugging Face hub has them."""

import io
import json
import pickle

import numpy as np
import pyarrow
import pytest
import skimage.data
from PIL import Image
from pyarrow import parquet

from effjax.data import image_parquet
from effjax.data.feeds import StreamFeed
from effjax.data.photo_crops import PhotoCrops
from effjax.data.sources import load, split_names
from effjax.errors import UserError
from effjax.recipes.build.folders import contents

CLASSES = ("cat", "dog", "owl")
STRUCT = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])


def pixels(n, size=(12, 10)):
    return np.random.default_rng(n).integers(0, 256, (size[1], size[0], 3), np.uint8)


def encoded(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def png(n):
    return encoded(pixels(n))


def shard(path, rows, *, names=CLASSES, label="label", labels=None, images=None, kind=STRUCT, group=3, also=None):
    """A file as the library writes it: image ``n`` and class ``n % 3`` of each row, its columns noted beside them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = [png(n) for n in rows] if images is None else images
    if pyarrow.types.is_struct(kind):
        paths = [f"{n}.png" for n in rows]
        data = [
            {"bytes": one, "path": path} if isinstance(one, bytes) else one
            for one, path in zip(data, paths, strict=True)
        ]
    labels = [n % 3 for n in rows] if labels is None else labels
    table = pyarrow.table({"image": pyarrow.array(data, kind), label: labels, **(also or {})})
    if names:
        features = {"image": {"_type": "Image"}, label: {"names": list(names), "_type": "ClassLabel"}}
        told = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": told})
    parquet.write_table(table, path, row_group_size=group)
    return path


def hub(root, counts=(7, 5), test=4):
    """A dataset of shards, among what else lies in such a folder."""
    start = 0
    for number, count in enumerate(counts):
        shard(root / "data" / f"train-{number:05}-of-{len(counts):05}.parquet", range(start, start + count))
        start += count
    shard(root / "data" / "test-00000-of-00001-0a1b2c3d4e5f6071.parquet", range(start, start + test))
    (root / "README.md").write_text("# A dataset")
    (root / ".cache" / "huggingface").mkdir(parents=True)
    (root / ".cache" / "huggingface" / "train-00000-of-00009.parquet").write_bytes(b"half a download")
    return f"hf:{root}"


def check(source, first, count):
    assert len(source) == count
    for row in [*range(count)[::-1], 0, count - 1]:  # against the order in which they lie
        np.testing.assert_array_equal(source[row]["image"], pixels(first + row))
        assert (int(source[row]["label"]), int(source[row]["id"])) == ((first + row) % 3, row)


def test_shards_of_row_groups(tmp_path):
    name = hub(tmp_path)
    assert split_names(name) == ["train", "test"]
    source = load(name, "train")
    assert source.info.class_names == CLASSES
    assert source.info.image_shape == (10, 12, 3)
    check(source, 0, 12)
    check(pickle.loads(pickle.dumps(source)), 0, 12)
    check(load(name, "test"), 12, 4)
    np.testing.assert_array_equal(source.column("label"), np.arange(12) % 3)
    assert source.paths[7] == "train-00001-of-00002.parquet/00000000"
    assert contents(source) != contents(load(name, "test"))


@pytest.mark.parametrize(
    "files",
    [
        ("train.parquet", "test.parquet"),
        ("train/0000.parquet", "test/0000.parquet"),
        ("default/train/0000.parquet", "default/test/0000.parquet"),
        ("plain/train-00000-of-00001.parquet", "plain/val-00000-of-00001.parquet"),
        ("train/part-00000-of-00001.parquet", "valid/part-00000-of-00001.parquet"),
    ],
)
def test_files_say_their_split_or_their_folder_does(tmp_path, files):
    for number, file in enumerate(files):
        shard(tmp_path / file, range(4 * number, 4 * number + 4))
    other = "test" if "test" in files[1] else "validation"
    assert split_names(f"hf:{tmp_path}") == ["train", other]
    check(load(f"hf:{tmp_path}", "train"), 0, 4)
    check(load(f"hf:{tmp_path}", other), 4, 4)


def test_undivided_files_are_drawn_into_parts(tmp_path):
    shard(tmp_path / "birds" / "data-00000-of-00002.parquet", range(10))
    alone = shard(tmp_path / "birds" / "data-00001-of-00002.parquet", range(10, 20))
    for name, count in ((f"hf:{tmp_path}", 20), (f"hf:{alone}", 10)):
        assert split_names(name) == ["train", "validation", "test"]
        parts = [load(name, split) for split in split_names(name)]
        assert sum(map(len, parts)) == len({path for part in parts for path in part.paths}) == count
    check(load(f"hf:{alone}", "all"), 10, 10)


@pytest.mark.parametrize(
    ("options", "classes"),
    [
        ({"kind": pyarrow.binary()}, CLASSES),
        ({"kind": pyarrow.large_binary(), "names": ()}, ("0", "1", "2")),
        ({"names": (), "labels": ["owl", "cat", "owl", "dog"]}, CLASSES),
        ({"label": "fine", "also": {"coarse": [0, 0, 0, 0], "embedding": [[1.0]] * 4}}, CLASSES),
        ({"label": "target", "names": (), "labels": [7, 10, 7, 8]}, ("7", "8", "10")),
    ],
)
def test_columns_of_other_forms(tmp_path, options, classes):
    shard(tmp_path / "train.parquet", range(4), **options)
    source = load(f"hf:{tmp_path}", "train")
    assert source.info.class_names == classes
    np.testing.assert_array_equal(source[3]["image"], pixels(3))


def test_a_large_dataset_is_never_in_memory_whole(tmp_path, monkeypatch):
    name, read = hub(tmp_path, (9, 6)), []
    monkeypatch.setattr(image_parquet, "_KEPT", 2 * 3 * len(png(0)) + 500)  # two of five row groups
    source = pickle.loads(pickle.dumps(load(name, "train")))
    assert len(source._packed._columns) == 15
    groups = source._packed._columns._recent
    own = image_parquet._Recent._read
    monkeypatch.setattr(image_parquet._Recent, "_read", lambda *given: read.append(given[1:3]) or own(*given))
    for row in (0, 1, 8, 2, 7, 14, 12, 6):  # of the groups 0, 0, 2, 0, 2, 4, 4, 2
        np.testing.assert_array_equal(source[row]["image"], pixels(row))
        assert len(groups._columns) <= 2
    assert [group for _, group in read] == [0, 2, 1]  # of the second file, the second
    again = pickle.loads(pickle.dumps(source))
    assert not again._packed._columns._recent._columns


def test_batches_are_the_same_from_any_step_and_any_reader(tmp_path):
    source = load(hub(tmp_path), "train")

    def batches(start, **options):
        feed = StreamFeed({"train": source}, 5, **options)
        return [block["image"].tobytes() for block in feed.blocks({}, 3, start, 6, 1)]

    whole = batches(0)
    assert len(set(whole)) == 6
    assert batches(2) == whole[2:]
    assert batches(0, num_threads=4) == whole
    assert batches(3, num_workers=2) == whole[3:]


def test_parts_of_photos_are_cut_as_those_of_files(tmp_path):
    photos = [Image.fromarray(skimage.data.chelsea()).resize((80 + 9 * n, 60 + n)) for n in range(3)]
    for n, photo in enumerate(photos):
        (tmp_path / "files" / "train" / CLASSES[n]).mkdir(parents=True)
        photo.save(tmp_path / "files" / "train" / CLASSES[n] / "0.jpg", quality=90)
    data = [(tmp_path / "files" / "train" / name / "0.jpg").read_bytes() for name in CLASSES]
    shard(tmp_path / "train.parquet", range(3), images=data)
    inside, beside = (
        load(f"hf:{tmp_path}", "train", image_size=24),
        load(f"folder:{tmp_path}/files", "train", image_size=24),
    )
    crops = PhotoCrops(0.1, seed=1, step=2)
    for row in range(3):
        np.testing.assert_array_equal(inside.cut(row, crops)["image"], beside.cut(row, crops)["image"])
        np.testing.assert_array_equal(inside.at_size(12)[row]["image"], beside.at_size(12)[row]["image"])


def refused(name, message, split="train"):
    with pytest.raises(UserError, match=message) as caught:
        load(name, split)
    assert "\n" not in str(caught.value)


def test_files_that_are_missing_or_do_not_belong_are_refused(tmp_path):
    name = hub(tmp_path / "whole", (2, 2, 2, 2, 2))
    for number in (1, 3):
        (tmp_path / "whole" / "data" / f"train-{number:05}-of-00005.parquet").unlink()
    refused(name, r"data: train lacks 2 of its 5 shards: train-00001-of-00005.parquet, train-00003-of-00005.parquet; f")
    name = hub(tmp_path / "beside")
    shard(tmp_path / "beside" / "data" / "old.parquet", range(2))
    refused(name, r"beside test, train there are files of no split: data/old.parquet; call it by its split")
    name = hub(tmp_path / "two")
    shard(tmp_path / "two" / "small" / "train-00000-of-00001.parquet", range(2))
    refused(name, r"two: train in several folders: data, small; name one of them, as hf:/.*two/data")
    name = hub(tmp_path / "forms")
    shard(tmp_path / "forms" / "data" / "train.parquet", range(2))
    refused(name, r"train is there in several forms: .*train.parquet; remove")
    (tmp_path / "forms" / "data" / "train.parquet").unlink()
    shard(tmp_path / "forms" / "data" / "train-00002-of-00003.parquet", range(2))  # a neighbour's
    refused(name, r"train is there in several forms: .*train-00002-of-00003.parquet; remove")
    name = hub(tmp_path / "twice")
    shard(tmp_path / "twice" / "data" / "train-00001-of-00002-0123456789abcdef.parquet", range(2))
    refused(
        name, r"train has 3 shards of 2: .*00001-of-00002-0123456789abcdef.parquet, train-00001-of-00002.parquet; re"
    )
    name = hub(tmp_path / "classes")
    shard(
        tmp_path / "classes" / "data" / "test-00000-of-00001-0a1b2c3d4e5f6071.parquet", range(3), names=("a", "b", "c")
    )
    refused(
        name, r"test-0.*parquet: its classes are not those of train-00000-of-00002.parquet; it is of another dataset"
    )
    refused(f"hf:{tmp_path / 'none'}", "no parquet files there, and no dataset saved there with save_to_disk")
    refused(hub(tmp_path / "split"), r"has no split 'tain'; .*did you mean 'train'", "tain")


def test_columns_that_are_missing_or_of_another_kind_are_refused(tmp_path):
    path = tmp_path / "train.parquet"

    def written(columns, message):
        parquet.write_table(pyarrow.table(columns), path)
        refused(f"hf:{path}", message, "all")

    written({"text": ["a"], "label": [1]}, r"train.parquet: 0 columns of images among text, label; keep one")
    written({"image": [png(0)], "caption": ["a"]}, r"no column of classes among image, caption; keep one")
    written({"image": [png(0)], "mask": [png(0)], "label": [1]}, r"2 columns of images among image, mask, label")
    written(
        {"image": [png(0)], "label": [0.5]}, r"train.parquet: its column 'label' is double; classes are numbers or t"
    )
    path.write_bytes(b"PAR1 damaged")
    refused(f"hf:{path}", r"train.parquet cannot be read: ", "all")
    hub(tmp_path / "other")
    shard(tmp_path / "other" / "data" / "train-00001-of-00002.parquet", range(2), label="kind")
    refused(
        f"hf:{tmp_path / 'other'}", r"00001-of-00002.parquet: its images and classes are 'image' and 'kind', those of"
    )
    refused(
        f"parquet:{tmp_path / 'other' / 'data'}", r"its column 'image' has the images themselves: say hf:/.*other/data"
    )


def test_images_and_classes_that_cannot_be_are_all_named(tmp_path):
    at = "train.parquet/0000000"
    images = [png(0), None, {"bytes": None, "path": "far/1.png"}, b"no image", png(4)[:60], b""]
    shard(tmp_path / "train.parquet", range(6), images=images)
    refused(
        f"hf:{tmp_path}",
        rf"5 images cannot be used: {at}1 \(it has no bytes\); {at}2 \(not in the file itself, but at far/1.png: embed "
        rf"the images\); {at}3 \(cannot identify .*; {at}4 \(.*\); {at}5 \(not in the file itself, but at 5.png: .*\)$",
    )
    shard(tmp_path / "train.parquet", range(5), labels=[0, 3, -1, None, -2])
    refused(
        f"hf:{tmp_path}",
        rf"4 images cannot be used: {at}1 has class 3, but there are names of 3; {at}2 has no class; {at}3 has no "
        rf"class; {at}4 has class -2, but there are names of 3$",
    )
