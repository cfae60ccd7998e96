"""A folder of images, good and bad."""

import json
import pickle
import re

import numpy as np
import pytest
from PIL import Image

from effjax.data import checked_files
from effjax.data.sources import load, split_names
from effjax.errors import UserError


def _picture(width=24, height=20, seed=0, mode="RGB") -> Image.Image:
    shape = (height, width, 3) if mode == "RGB" else (height, width)
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, np.uint8))


@pytest.fixture
def folder(tmp_path):
    """Two splits of two classes, three 24×20 pictures each."""
    root = tmp_path / "photos"
    for split in ("train", "val"):
        for label, name in enumerate(("cat", "dog")):
            (root / split / name).mkdir(parents=True)
            for index, extension in enumerate(("jpg", "PNG", "webp")):
                _picture(seed=10 * label + index).save(root / split / name / f"{index}.{extension}")
    return root


def test_reads_in_the_order_of_sorted_paths(folder):
    (folder / "train" / "cat" / ".DS_Store").write_text("no image")
    (folder / "train" / "notes.txt").write_text("no class")
    (folder / ".git").mkdir()
    source = load(f"folder:{folder}", "train")
    assert source.info.class_names == ("cat", "dog")
    assert source.info.image_shape == (20, 24, 3)
    assert len(source) == source.info.num_examples == 6
    assert [int(example["label"]) for example in source] == [0, 0, 0, 1, 1, 1] == source.column("label").tolist()
    assert [int(example["id"]) for example in source] == list(range(6))
    assert source[0]["label"].dtype == source[0]["id"].dtype == np.int32
    np.testing.assert_array_equal(source[4]["image"], np.asarray(_picture(seed=11)))  # dog/1.PNG is lossless
    assert split_names(f"folder:{folder}") == ["train", "val"]


def test_parts_and_pickles_work(folder):
    part = pickle.loads(pickle.dumps(load(f"folder:{folder}", "train[2:4]")))
    assert [int(example["id"]) for example in part] == part.ids().tolist()
    assert sorted(part.column("label").tolist()) == [0, 1]


def test_grey_images_have_one_channel(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "train" / name).mkdir(parents=True)
        _picture(mode="L").save(tmp_path / "train" / name / "0.png")
    assert load(f"folder:{tmp_path}", "train").info.image_shape == (20, 24, 1)
    _picture().save(tmp_path / "train" / "b" / "1.png")
    mixed = load(f"folder:{tmp_path}", "train")
    assert mixed.info.image_shape == mixed[0]["image"].shape == (20, 24, 3)


def test_unusual_pixel_formats_are_converted(tmp_path):
    (tmp_path / "train" / "a").mkdir(parents=True)
    (tmp_path / "train" / "b").mkdir()
    _picture().convert("CMYK").save(tmp_path / "train" / "a" / "cmyk.jpg")
    _picture().convert("P").save(tmp_path / "train" / "a" / "palette.gif")
    palette = _picture().convert("P")
    palette.info["transparency"] = bytes(range(256))
    palette.save(tmp_path / "train" / "b" / "transparent.png")
    source = load(f"folder:{tmp_path}", "train")
    assert [example["image"].shape for example in source] == [(20, 24, 3)] * 3


def test_all_broken_files_are_listed_at_once(folder):
    jpeg = folder / "train" / "cat" / "0.jpg"
    jpeg.write_bytes(jpeg.read_bytes()[:-200])
    with Image.open(jpeg) as image:
        image.verify()  # finds nothing: only decoding does
    png = folder / "train" / "dog" / "1.PNG"
    png.write_bytes(png.read_bytes()[:400])
    (folder / "train" / "dog" / "text.png").write_text("not an image")
    (folder / "train" / "dog" / "empty.jpeg").write_bytes(b"")
    Image.fromarray(np.zeros((20, 24), np.float32)).save(folder / "train" / "cat" / "deep.tif")
    with pytest.raises(UserError, match=r"^5 images cannot be read") as error:
        load(f"folder:{folder}", "train")
    message = str(error.value)
    for name in ("cat/0.jpg (", "dog/1.PNG (", "dog/text.png (", "dog/empty.jpeg (", "cat/deep.tif (pixel format F"):
        assert str(folder / "train" / name.split(" ")[0]) in message
        assert name in message
    assert "\n" not in message
    assert len(load(f"folder:{folder}", "val")) == 6  # the other split is whole


def test_very_many_broken_files_are_counted(folder):
    for index in range(30):
        (folder / "train" / "cat" / f"broken{index}.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(UserError, match=r"^30 images cannot be read.* and 10 more$"):
        load(f"folder:{folder}", "train")


def test_empty_class_folders_are_listed_at_once(folder):
    for name in ("bird", "fish"):
        for split in ("train", "val"):
            (folder / split / name).mkdir()
    (folder / "train" / "fish" / "notes.txt").write_text("no image")
    with pytest.raises(UserError, match="no images in class folders bird, fish"):
        load(f"folder:{folder}", "train")


def test_splits_must_have_the_same_classes(folder):
    (folder / "val" / "dog").rename(folder / "val" / "dgo")
    with pytest.raises(UserError, match="'train' and 'val' have different classes: only one of them has dgo, dog"):
        load(f"folder:{folder}", "train")


def test_a_missing_split_or_folder_is_named(folder):
    with pytest.raises(UserError, match=r"no split 'vla'; allowed: train, val \(did you mean 'val'\?\)"):
        load(f"folder:{folder}", "vla")
    for root in (folder / "nothing", folder / "train" / "cat"):
        with pytest.raises(
            UserError, match=re.escape(f"{root} holds no images laid out as {root}/SPLIT/CLASS/*.jpg or")
        ):
            load(f"folder:{root}", "train")


def test_sizes_that_differ_need_an_image_size(folder):
    _picture(width=60, height=30).save(folder / "train" / "dog" / "large.png")
    with pytest.raises(UserError, match=r"\S+ is 24×20, \S+large.png is 60×30\): set image_size"):
        load(f"folder:{folder}", "train")
    source = load(f"folder:{folder}", "train", image_size=16)
    assert source.info.image_shape == (16, 16, 3)
    assert {example["image"].shape for example in source} == {(16, 16, 3)}
    with pytest.raises(UserError, match="image_size is 0"):
        load(f"folder:{folder}", "train", image_size=0)


def test_files_already_checked_are_not_read_again(folder, tmp_path, monkeypatch):
    data_dir = tmp_path / "data"
    first = load(f"folder:{folder}", "train", data_dir)
    read = []
    decode = checked_files.decode_image

    def record(path, channels):
        read.append(path)
        return decode(path, channels)

    monkeypatch.setattr(checked_files, "decode_image", record)
    assert load(f"folder:{folder}", "train", data_dir).info == first.info
    assert read == []
    changed = folder / "train" / "dog" / "0.jpg"
    changed.write_bytes(changed.read_bytes()[:-200])
    with pytest.raises(UserError, match=r"^1 images cannot be read.*dog/0\.jpg"):
        load(f"folder:{folder}", "train", data_dir)
    assert read == [str(changed)]


def test_a_damaged_record_of_checks_is_written_anew(folder, tmp_path):
    data_dir = tmp_path / "data"
    load(f"folder:{folder}", "train", data_dir)
    (record,) = (data_dir / "checked_folders").iterdir()
    written = record.read_bytes()
    assert len(json.loads(written)["value"]) == 6
    height = written.index(b", 20, 24, ") + 2
    for damaged in (b"{", b"[]", b"", written.replace(b", 20, 24, ", b", 21, 24, "), b"[" * 100_000, b"\xff" + written):
        record.write_bytes(damaged)
        assert load(f"folder:{folder}", "train", data_dir).info.image_shape == (20, 24, 3)
        assert record.read_bytes() == written
    for place in {height, *range(0, len(written), 7)}:
        record.write_bytes(written[:place] + bytes([written[place] ^ 4]) + written[place + 1 :])
        assert load(f"folder:{folder}", "train", data_dir).info.image_shape == (20, 24, 3)


def test_a_file_that_goes_away_while_training_is_named(folder):
    source = load(f"folder:{folder}", "train")
    (folder / "train" / "dog" / "1.PNG").write_bytes(b"")
    (folder / "train" / "dog" / "0.jpg").unlink()
    for row, name in ((3, "0.jpg"), (4, "1.PNG")):
        with pytest.raises(UserError, match=rf"dog/{name} can no longer be read \(.*put it back") as error:
            source[row]
        assert "\n" not in str(error.value)
