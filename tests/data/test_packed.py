"""Images in WebDataset's shards and in saved Arrow datasets."""

import io
import json
import pickle
import tarfile

import numpy as np
import pyarrow
import pytest
from PIL import Image

from effjax.data import packed_source
from effjax.data.sources import load, split_names
from effjax.errors import UserError
from effjax.recipes.build.folders import contents


def encoded(seed, size=(12, 10)):
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue(), pixels


def shard(path, members):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in members:
            facts = tarfile.TarInfo(name)
            facts.size = len(data)
            archive.addfile(facts, io.BytesIO(data))
    return path


def examples(start, stop, label):
    for n in range(start, stop):
        yield f"{n:05}.png", encoded(n)[0]
        yield label(n)


def by_number(n):
    return f"{n:05}.cls", str(n % 3).encode()


def by_json(n):
    return f"{n:05}.json", json.dumps({"label": ("cat", "dog")[n % 2], "width": 12}).encode()


def saved(folder, start, stop, names=("cat", "dog")):
    """As datasets 4 writes it: a stream of batches, with what its columns are beside it."""
    folder.mkdir(parents=True)
    kind = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    schema = pyarrow.schema([("image", kind), ("label", pyarrow.int64())])
    with pyarrow.ipc.new_stream(str(folder / "data-00000-of-00001.arrow"), schema) as stream:
        for first in range(start, stop, 4):
            rows = range(first, min(first + 4, stop))
            images = [{"bytes": encoded(n)[0], "path": None} for n in rows]
            stream.write_batch(
                pyarrow.record_batch([pyarrow.array(images, kind), [n % 2 for n in rows]], schema=schema)
            )
    features = {"image": {"_type": "Image"}, "label": {"names": list(names), "_type": "ClassLabel"}}
    (folder / "dataset_info.json").write_text(json.dumps({"features": features}))
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}))


def test_shards_by_split(tmp_path):
    shard(tmp_path / "train-000000.tar", examples(0, 6, by_number))
    shard(tmp_path / "train-000001.tar", examples(6, 9, by_number))
    shard(tmp_path / "val-000000.tar", examples(9, 12, by_number))
    name = f"webdataset:{tmp_path}"
    assert split_names(name) == ["train", "validation"]
    source = load(name, "train")
    assert len(source) == 9
    assert source.info.class_names == ("0", "1", "2")
    assert source.info.image_shape == (10, 12, 3)
    again = pickle.loads(pickle.dumps(source))
    for row in (0, 5, 6, 8):
        np.testing.assert_array_equal(again[row]["image"], encoded(row)[1])
        assert int(again[row]["label"]) == row % 3
    np.testing.assert_array_equal(load(name, "validation")[2]["image"], encoded(11)[1])
    assert load(name, "val", image_size=8)[0]["image"].shape == (8, 8, 3)


def test_undivided_shards_in_folders_with_json(tmp_path):
    shard(tmp_path / "part" / "000.tar", examples(0, 10, by_json))
    name = f"webdataset:{tmp_path}"
    assert split_names(name) == ["train", "validation", "test"]
    parts = [load(name, split) for split in split_names(name)]
    assert [len(part) for part in parts] == [8, 1, 1]
    assert parts[0].info.class_names == ("cat", "dog")
    assert len({path for part in parts for path in part.paths}) == 10
    assert contents(parts[0]) != contents(parts[1])
    for part in parts:
        for row, path in enumerate(part.paths):
            np.testing.assert_array_equal(part[row]["image"], encoded(int(path.rpartition("/")[2]))[1])


def test_saved_datasets(tmp_path):
    for split, (start, stop) in {"train": (0, 10), "test": (10, 14)}.items():
        saved(tmp_path / "both" / split, start, stop)
    (tmp_path / "both" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    name = f"hf:{tmp_path / 'both'}"
    assert split_names(name) == ["train", "test"]
    source = pickle.loads(pickle.dumps(load(name, "train")))
    assert source.info.class_names == ("cat", "dog")
    for row in (0, 3, 4, 9):
        np.testing.assert_array_equal(source[row]["image"], encoded(row)[1])
        assert int(source[row]["label"]) == row % 2
    saved(tmp_path / "one", 0, 20, ("dog", "cat"))  # as the dataset orders them
    assert load(f"hf:{tmp_path / 'one'}", "validation").info.class_names == ("dog", "cat")


def test_what_was_read_is_remembered_while_the_files_stay(tmp_path, monkeypatch):
    path, looks = shard(tmp_path / "shards" / "train.tar", examples(0, 4, by_number)), []
    decode = packed_source.decode_image
    monkeypatch.setattr(packed_source, "decode_image", lambda *given, **more: looks.append(1) or decode(*given, **more))
    for expected in (4, 4):
        load(f"webdataset:{path.parent}", "train", tmp_path / "data")
        assert len(looks) == expected
    shard(path, examples(0, 5, by_number))
    load(f"webdataset:{path.parent}", "train", tmp_path / "data")
    assert len(looks) == 9


def test_everything_that_is_wrong_is_said(tmp_path):
    members = [*examples(0, 3, by_number), ("a.png", encoded(3)[0]), ("b.cls", b"1"), ("c.png", b"no"), ("c.cls", b"2")]
    shard(tmp_path / "train.tar", [*members, ("d.png", encoded(4)[0]), ("d.jpg", encoded(4)[0]), ("d.cls", b"0")])
    with pytest.raises(UserError, match=r"3 images cannot be used: .*a has no class.*b has no image.*d has 2 images"):
        load(f"webdataset:{tmp_path}", "train")
    shard(tmp_path / "train.tar", [*examples(0, 3, by_number), ("c.png", b"no"), ("c.cls", b"2")])
    with pytest.raises(UserError, match=r"1 images cannot be used: train.tar/c \(.*identif"):
        load(f"webdataset:{tmp_path}", "train")
    (tmp_path / "train.tar").write_bytes(b"\x1f\x8b no tar")
    with pytest.raises(UserError, match=r"train.tar cannot be read .*not compressed"):
        load(f"webdataset:{tmp_path}", "train")
    with pytest.raises(UserError, match="no tar file there"):
        load(f"webdataset:{tmp_path / 'none'}", "train")
    shard(tmp_path / "train.tar", examples(0, 3, by_number))
    shard(tmp_path / "extra.tar", examples(3, 4, by_number))
    with pytest.raises(UserError, match=r"beside train there are files of no split: extra.tar"):
        load(f"webdataset:{tmp_path}", "train")
    with pytest.raises(UserError, match="no dataset saved there with save_to_disk"):
        load(f"hf:{tmp_path}", "train")
    saved(tmp_path / "one", 0, 4)
    with pytest.raises(UserError, match=r"has no split 'tain'.*did you mean 'train'"):
        load(f"hf:{tmp_path / 'one'}", "tain")
    saved(tmp_path / "hidden", 0, 4, ("only",))  # a class beyond those that are named
    with pytest.raises(UserError, match="2 images cannot be used: hidden/00000001 has no class"):
        load(f"hf:{tmp_path / 'hidden'}", "train")
    (tmp_path / "one" / "data-00000-of-00001.arrow").write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"data-00000-of-00001.arrow cannot be read"):
        load(f"hf:{tmp_path / 'one'}", "train")
    (tmp_path / "one" / "dataset_info.json").write_text('{"features": {"text": {"_type": "Value"}}}')
    with pytest.raises(UserError, match="0 columns of images among text"):
        load(f"hf:{tmp_path / 'one'}", "train")
