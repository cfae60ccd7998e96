"""Prepared data that is damaged, or was made to harm: one line, no other numbers, and nothing in it runs."""

import hashlib
import json
import random
import shutil

import numpy as np
import pytest

from effjax.data.prepare import prepare
from effjax.data.prepared_files import DIGESTS_FILE
from effjax.data.sources import load, split_names
from effjax.errors import UserError


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A data_dir with 40 shapes."""
    from effjax.data.builders import shapes

    path = tmp_path_factory.mktemp("prepared")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shapes, "COUNTS", {"train": 30, "validation": 5, "test": 5})
        prepare("shapes_basic", path)
    return path


@pytest.fixture
def data_dir(prepared, tmp_path):
    return shutil.copytree(prepared, tmp_path / "data")


def everything(data_dir) -> str:
    """All that is read of a dataset, in a word; or why it is refused."""
    digest = hashlib.sha256()
    try:
        for split in split_names("shapes_basic", data_dir):
            source = load("shapes_basic", split, data_dir)
            digest.update(repr((split, source.info, source.column("label"))).encode())
            for example in source:
                digest.update(b"".join(np.ascontiguousarray(example[key]).tobytes() for key in sorted(example)))
    except UserError as error:
        message = str(error)
    else:
        return digest.hexdigest()
    assert "\n" not in message
    return f"refused: {message}"


def damages(whole: bytes, few: int):
    """Some bits flipped, some bytes cut off, one more."""
    draw = random.Random(len(whole))
    filled = [place for place, byte in enumerate(whole) if byte]  # records are padded with zeros
    for place in draw.sample(filled, min(few, len(filled))) + draw.sample(range(len(whole)), min(few // 2, len(whole))):
        yield whole[:place] + bytes([whole[place] ^ 1 << draw.randrange(8)]) + whole[place + 1 :]
    for end in (0, 1, len(whole) // 2, len(whole) - 1, *range(65_536, len(whole), 65_536)):
        yield whole[:end]
    yield whole + b"0"
    yield whole + whole


def test_every_file_is_what_was_prepared_or_refused(data_dir):
    directory = data_dir / "shapes_basic" / "1.0.0"
    right, refused = everything(data_dir), 0
    for path in sorted(directory.iterdir()):
        whole = path.read_bytes()
        for damaged in damages(whole, 24 if path.suffix in (".json", ".txt") else 60):
            path.write_bytes(damaged)
            found = everything(data_dir)
            if found != right:
                assert found.startswith(f"refused: {directory / path.name} is damaged")
                assert f"remove {directory}, then run: python -m launch.data --dataset=shapes_basic" in found
                refused += 1
        path.unlink()
        # Without its list of what was prepared, as those before it was written, a dataset is read all the same.
        assert everything(data_dir) == right or path.name != DIGESTS_FILE
        assert everything(data_dir).startswith("refused") or path.name == DIGESTS_FILE
        path.write_bytes(whole)
    assert everything(data_dir) == right
    assert refused > 200


def test_what_others_have_prepared_is_compared_from_its_first_look_on(data_dir):
    directory = data_dir / "shapes_basic" / "1.0.0"
    noted = (directory / DIGESTS_FILE).read_bytes()
    (directory / DIGESTS_FILE).unlink()
    (directory / "contact_sheet.png").write_bytes(b"a picture")
    prepare("shapes_basic", data_dir)
    assert (directory / DIGESTS_FILE).read_bytes() == noted
    (directory / "contact_sheet.png").write_bytes(b"another")
    assert len(load("shapes_basic", "train", data_dir)) == 30
    (directory / "label.labels.txt").write_text("a\nb\nc\n")
    prepare("shapes_basic", data_dir)
    with pytest.raises(UserError, match=r"label\.labels\.txt is damaged"):
        load("shapes_basic", "train", data_dir)


def test_descriptions_without_digests_give_one_line_too(data_dir):
    directory = data_dir / "shapes_basic" / "1.0.0"
    (directory / DIGESTS_FILE).unlink()
    for path in sorted(directory.iterdir()):
        if path.suffix in (".json", ".txt"):
            whole = path.read_bytes()
            for damaged in damages(whole, 60):
                path.write_bytes(damaged)
                everything(data_dir)  # which fails for any other error
            path.write_bytes(whole)


def test_damaged_records_name_their_file(data_dir):
    path = data_dir / "shapes_basic" / "1.0.0" / "shapes_basic-train.array_record-00000-of-00001"
    whole = bytearray(path.read_bytes())
    whole[200] ^= 1
    path.write_bytes(whole)
    with pytest.raises(
        UserError, match=r"shapes_basic-train\.array_record\S+ is damaged .*hash mismatch.*remove "
    ) as error:
        list(load("shapes_basic", "train", data_dir))
    assert f"python -m launch.data --dataset=shapes_basic --data_dir={data_dir}" in str(error.value)
    assert len(list(load("shapes_basic", "validation", data_dir))) == 5


FEATURES = "tensorflow_datasets.core.features"


def _legacy(name: str) -> dict:
    image = {"type": name, "content": {"shape": [32, 32, 1], "dtype": "uint8", "encoding_format": "png"}}
    return {"type": f"{FEATURES}.features_dict.FeaturesDict", "content": {"image": image}}


def _nested(name: str) -> dict:
    return {
        "pythonClassName": f"{FEATURES}.text_feature.Text",
        "jsonFeature": {"json": json.dumps({"feature": _legacy(name)})},
    }


@pytest.mark.parametrize(
    "description",
    [
        lambda name: {"pythonClassName": name, "featuresDict": {"features": {}}},
        lambda name: {"python_class_name": name, "json_feature": {"json": "{}"}},
        _legacy,
        _nested,
    ],
)
@pytest.mark.parametrize(
    "name",
    ["harm.Feature", "tensorflow_datasets.scripts.cli.main.Feature", f"{FEATURES}.x/../harm.F"],
)
def test_a_description_that_names_other_classes_is_refused_unread(data_dir, tmp_path, monkeypatch, description, name):
    (tmp_path / "harm.py").write_text(f"open({str(tmp_path / 'harmed')!r}, 'w')")
    monkeypatch.syspath_prepend(tmp_path)
    directory = data_dir / "shapes_basic" / "1.0.0"
    (directory / DIGESTS_FILE).unlink()
    (directory / "features.json").write_text(json.dumps(description(name)))
    with pytest.raises(UserError, match=r"features\.json: refused: it names the class .*would import") as error:
        load("shapes_basic", "train", data_dir)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "harmed").exists()


def test_the_module_that_a_dataset_was_made_by_is_not_imported(data_dir, tmp_path, monkeypatch):
    (tmp_path / "harm.py").write_text(f"open({str(tmp_path / 'harmed')!r}, 'w')")
    monkeypatch.syspath_prepend(tmp_path)
    directory = data_dir / "shapes_basic" / "1.0.0"
    (directory / DIGESTS_FILE).unlink()
    path = directory / "dataset_info.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "moduleName": "harm"}))
    assert len(load("shapes_basic", "train", data_dir)) == 30
    assert not (tmp_path / "harmed").exists()


def test_features_of_older_datasets_are_read(data_dir):
    directory = data_dir / "shapes_basic" / "1.0.0"
    whole = everything(data_dir)
    (directory / DIGESTS_FILE).unlink()
    described = _legacy(f"{FEATURES}.image_feature.Image")
    label = f"{FEATURES}.class_label_feature.ClassLabel"
    described["content"]["label"] = {"type": label, "content": {"num_classes": 3}}
    (directory / "features.json").write_text(json.dumps(described))
    assert everything(data_dir) == whole


def test_a_dataset_that_lacks_its_description_is_not_taken_for_whole(data_dir):
    (data_dir / "shapes_basic" / "1.0.0" / "dataset_info.json").unlink()
    with pytest.raises(UserError, match="is not whole: remove it"):
        prepare("shapes_basic", data_dir)


def test_what_tfds_needs_is_said_in_one_line(tmp_path):
    import tensorflow_datasets as tfds

    class NeedsTensorflow(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {"image": tfds.features.Image(shape=(4, 4, 1)), "label": tfds.features.ClassLabel(num_classes=2)}
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            yield 0, {"image": np.zeros((4, 4, 1), np.uint8), "label": 0}  # which TFDS encodes by TensorFlow

    with pytest.raises(UserError, match="TFDS needs TensorFlow to prepare it, which is not here") as error:
        prepare("needs_tensorflow", tmp_path, download=True)
    message = str(error.value)
    assert "\n" not in message
    assert f"tfds build needs_tensorflow --file_format=array_record --data_dir={tmp_path}" in message
    assert "Prepared without TensorFlow: digits, solar_cells" in message


def test_a_download_that_fails_is_one_line(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    def fail(*_, **__):
        raise tfds.download.DownloadError("Failed to get url\nHTTP code: 404.")

    monkeypatch.setattr(tfds.core.GeneratorBasedBuilder, "download_and_prepare", fail)
    with pytest.raises(UserError, match=r"'cats_vs_dogs' cannot be prepared by TFDS: Failed to get url HTTP code: 404"):
        prepare("cats_vs_dogs", tmp_path, download=True)
