"""A TFDS dataset that is not ours: JPEGs of several sizes and colours, further features, strings."""

import io

import numpy as np
import pytest
from PIL import Image

from effjax.data.prepare import prepare
from effjax.data.sources import load
from effjax.errors import UserError


def _jpeg(size, mode) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, (250, 10, 10)).convert(mode).save(file, "jpeg")
    return file.getvalue()


@pytest.fixture(scope="module")
def foreign_dir(tmp_path_factory):
    import tensorflow_datasets as tfds

    class ForeignPhotos(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("2.1.0")

        def _info(self):
            features = {
                "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
                "label": tfds.features.ClassLabel(names=["no", "yes"]),
                "file_name": tfds.features.Text(),
                "weight": np.float64,
                "count": np.int64,
                "boxes": tfds.features.Sequence(tfds.features.Tensor(shape=(4,), dtype=np.float32)),
            }
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            for index, (size, mode) in enumerate([((40, 30), "RGB"), ((30, 50), "L"), ((30, 30), "CMYK")]):
                yield (
                    index,
                    {
                        "image": _jpeg(size, mode),
                        "label": index % 2,
                        "file_name": f"{index}.jpg",
                        "weight": index / 2,
                        "count": index,
                        "boxes": np.zeros((index, 4), np.float32),
                    },
                )

    class ForeignText(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = tfds.features.FeaturesDict({"text": tfds.features.Text()})
            return tfds.core.DatasetInfo(builder=self, features=features)

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            yield 0, {"text": "words"}

    path = tmp_path_factory.mktemp("foreign")
    with pytest.raises(UserError, match="must be downloaded"):
        prepare("foreign_photos", path)
    prepare("foreign_photos", path, download=True)
    prepare("foreign_text", path, download=True)
    return path


def test_photos_of_any_kind_are_read(foreign_dir):
    source = load("foreign_photos:2.*.*", "train", foreign_dir)
    assert source.info.image_shape is None
    assert source.info.class_names == ("no", "yes")
    examples = {int(example["count"]): example for example in source}
    assert [examples[index]["image"].shape for index in range(3)] == [(30, 40, 3), (50, 30, 3), (30, 30, 3)]
    assert np.abs(examples[0]["image"].astype(int) - (250, 10, 10)).max() < 10
    assert {name: value.dtype.name for name, value in examples[1].items()} == {
        "image": "uint8", "label": "int32", "id": "int32", "weight": "float32", "count": "int32",
    }  # fmt: skip
    assert [float(examples[index]["weight"]) for index in range(3)] == [0, 0.5, 1]
    assert source.column("label").tolist() == [int(example["label"]) for example in source]
    assert [int(example["id"]) for example in source] == [0, 1, 2]


def test_one_size_is_made_of_all(foreign_dir):
    source = load("foreign_photos", "train", foreign_dir, image_size=16)
    assert source.info.image_shape == (16, 16, 3)
    assert {example["image"].shape for example in source} == {(16, 16, 3)}


def test_a_dataset_without_images_is_refused(foreign_dir):
    with pytest.raises(UserError, match="'foreign_text' has no image and class label, only: text"):
        load("foreign_text", "train", foreign_dir)
    with pytest.raises(UserError, match=r"'foreign_text:2\.0\.0' is not prepared"):
        load("foreign_text:2.0.0", "train", foreign_dir)
