"""Tables that list images with their classes: as people write them, and what is wrong with them."""

import csv
import pickle

import numpy as np
import pyarrow
import pytest
from PIL import Image
from pyarrow import parquet

from effjax.data.base import Subset
from effjax.data.sources import load, split_names
from effjax.errors import UserError
from effjax.recipes.build.folders import contents


def picture(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (10, 12, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


@pytest.fixture
def photos(tmp_path):
    """Twenty pictures, and what they are of."""
    rows = [(f"images/{n:02}.png", ("cat", "dog")[n % 2]) for n in range(20)]
    pixels = [picture(tmp_path / path, n) for n, (path, _) in enumerate(rows)]
    return tmp_path, rows, pixels


def write(path, rows, header=("path", "label"), separator=","):
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file, delimiter=separator).writerows([header, *rows])
    return path


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_is_divided_by_shares(photos, separator):
    root, rows, pixels = photos
    name = f"csv:{write(root / 'labels.csv', rows, ('filename', 'Class'), separator)}"
    assert split_names(name) == ["train", "validation", "test"]
    whole = load(name, "all")
    assert whole.info.class_names == ("cat", "dog")
    assert whole.info.image_shape == (10, 12, 3)
    np.testing.assert_array_equal(whole[7]["image"], pixels[7])  # ids follow the table
    assert int(whole[7]["label"]) == 1
    parts = [load(name, split) for split in split_names(name)]
    assert [len(part) for part in parts] == [16, 2, 2]
    assert sorted(path for part in parts for path in part.paths) == [path for path, _ in rows]
    assert all({0, 1} == set(part.column("label").tolist()) for part in parts)
    part = load(name, "train[:50%]")
    assert isinstance(part, Subset)
    again = pickle.loads(pickle.dumps(part))
    assert again.column("label").tolist().count(0) == 4
    assert contents(part) == contents(load(name, "train")) != contents(load(name, "validation"))


def test_a_column_says_the_split_and_numbers_are_in_order(photos):
    root, rows, _ = photos
    named = [(path, str(9 + n % 3), ("train", "val")[n % 5 == 0]) for n, (path, _) in enumerate(rows)]
    name = f"csv:{write(root / 'labels.csv', named, ('image', 'target', 'split'))}"
    assert split_names(name) == ["train", "validation"]
    found = load(name, "validation")
    assert found.info.class_names == ("9", "10", "11")
    assert found.paths == [path for path, _, split in named if split == "val"]
    assert load(name, "val").paths == found.paths
    with pytest.raises(UserError, match=r"has no split 'test'"):
        load(name, "test")


def test_a_folder_of_tables_and_parquet(photos):
    root, rows, pixels = photos
    for split, part in (("train", rows[:14]), ("val", rows[14:])):
        columns = {
            "image_path": [path for path, _ in part],
            "label": [label for _, label in part],
            "score": [0.5] * len(part),
        }
        parquet.write_table(pyarrow.table(columns), root / f"{split}.parquet")
    name = f"parquet:{root}"
    assert split_names(name) == ["train", "validation"]
    found = load(name, "validation", image_size=8)
    assert found.info.image_shape == (8, 8, 3)
    assert int(found[0]["label"]) == 0
    write(root / "train.csv", rows[:14])
    write(root / "val.csv", rows[14:])
    assert load(f"csv:{root}", "validation").paths == found.paths
    np.testing.assert_array_equal(load(f"csv:{root}", "validation")[0]["image"], pixels[14])


def test_everything_that_is_wrong_is_said_at_once(photos):
    root, rows, _ = photos
    bad = [*rows[:4], ("", "cat"), (rows[5][0], ""), ("https://x.org/a.jpg", "dog"), (f"./{rows[0][0]}", "dog")]
    table = write(root / "labels.csv", bad)
    with pytest.raises(UserError, match="4 lines cannot be used") as refused:
        load(f"csv:{table}", "train")
    for said in ("image 5: no path", "has no class", "nothing is downloaded", "listed twice, as cat and as dog"):
        assert said in str(refused.value)
    write(root / "labels.csv", [*rows[:4], ("gone.png", "cat"), ("too.png", "dog")])
    with pytest.raises(UserError, match=r"2 images cannot be read.*gone.png.*too.png"):
        load(f"csv:{table}", "train")
    write(root / "labels.csv", rows, ("photo", "label"))
    with pytest.raises(UserError, match="no column of paths among photo, label; call it 'path'"):
        load(f"csv:{table}", "train")
    write(root / "labels.csv", [*rows, ("a.png", "cat", "more")])
    with pytest.raises(UserError, match="line 22 has 3 values, the first line names 2 columns"):
        load(f"csv:{table}", "train")
    table.write_bytes(b"path,label\n\xff\xfe,cat\n")
    with pytest.raises(UserError, match=r"labels.csv cannot be read: .*utf-8"):
        load(f"csv:{table}", "train")
    table.write_bytes(b"")
    with pytest.raises(UserError, match="no column of paths among none"):
        load(f"csv:{table}", "train")
    (root / "broken.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"broken.parquet cannot be read"):
        load(f"parquet:{root}/broken.parquet", "train")
    with pytest.raises(UserError, match=r"there is no such file, and no folder with files \.parquet"):
        load(f"parquet:{root}/images", "train")
    with pytest.raises(UserError, match="a table of images has labels only"):
        load(f"csv:{table}", "train", padded={"objects": 3})
