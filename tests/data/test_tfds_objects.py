"""VOC 2007 and COCO 2017 as TFDS lays them out: written here without TensorFlow, with their features, and read."""

import io

import numpy as np
import pytest
from PIL import Image

from effjax.data.sources import load
from effjax.errors import UserError
from effjax.specs import Spec

COCO_CLASSES = tuple(f"class {number}" for number in range(80))
#: Of a photo: (width, height), boxes in parts of it and their classes.
PHOTOS = (
    ((50, 40), [(0.25, 0.2, 0.75, 0.8), (0.0, 0.0, 0.5, 0.5)], [14, 0]),
    ((40, 80), [(0.0, 0.0, 0.2, 1.0), (0.5, 0.5, 0.75, 1.0)], [6, 19]),
    ((30, 30), [], []),
)


def jpeg(size) -> bytes:
    Image.new("RGB", size, (90, 20, 30)).save(file := io.BytesIO(), "jpeg")
    return file.getvalue()


def voc_features(tfds):
    """Those of TFDS's own description of VOC."""
    return tfds.builder_cls("voc")(config="2007", data_dir="/nowhere").info.features


def coco_features(tfds):
    """Those of TFDS's own description of COCO, which cannot be opened without TensorFlow."""
    return tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(encoding_format="jpeg"),
            "image/filename": tfds.features.Text(),
            "image/id": np.int64,
            "objects": tfds.features.Sequence(
                {
                    "id": np.int64,
                    "area": np.int64,
                    "bbox": tfds.features.BBoxFeature(),
                    "label": tfds.features.ClassLabel(names=list(COCO_CLASSES)),
                    "is_crowd": np.bool_,
                }
            ),
        }
    )


def voc_example(number, boxes, labels):
    objects = [
        {"bbox": box, "label": label, "pose": "unspecified", "is_truncated": False, "is_difficult": bool(place)}
        for place, (box, label) in enumerate(zip(boxes, labels, strict=True))
    ]
    return {"labels": sorted({*labels}), "labels_no_difficult": labels[:1], "objects": objects}


def coco_example(number, boxes, labels):
    objects = [
        # A crowd's id has twelve digits.
        {"bbox": box, "label": label, "id": 900_100_000_000 + place, "area": 30 * place, "is_crowd": bool(place)}
        for place, (box, label) in enumerate(zip(boxes, labels, strict=True))
    ]
    return {"image/id": 9 + number, "objects": objects}


def write(dataset, config, version, features, example, data_dir):
    """Writes a dataset of TFDS's name, as array_record, where ``load`` looks for it."""
    import tensorflow_datasets as tfds

    with tfds.core.registered.skip_registration():

        class Written(tfds.core.GeneratorBasedBuilder):
            name = dataset
            VERSION = tfds.core.Version(version)
            BUILDER_CONFIGS = (tfds.core.BuilderConfig(name=config),)

            def _info(self):
                return tfds.core.DatasetInfo(builder=self, features=features(tfds))

            def _split_generators(self, dl_manager):
                return {"train": self._generate_examples(), "validation": self._generate_examples()}

            def _generate_examples(self):
                for number, (size, boxes, labels) in enumerate(PHOTOS):
                    found = example(number, [tfds.features.BBox(*box) for box in boxes], labels)
                    yield number, {"image": jpeg(size), "image/filename": f"{number}.jpg", **found}

    Written(data_dir=data_dir, config=config).download_and_prepare(file_format="array_record")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    path = tmp_path_factory.mktemp("objects")
    write("voc", "2007", "4.0.0", voc_features, voc_example, path)
    write("coco", "2017", "1.1.0", coco_features, coco_example, path)
    return path


def by_size(source):
    """Examples by what they are of, for TFDS mixes them."""
    sizes = [(width, height) for (width, height), _, _ in PHOTOS]
    found = {example["image"].shape[1::-1]: example for example in source}
    return [found[size] for size in sizes]


@pytest.mark.parametrize("name", ["voc/2007", "coco/2017", "coco:1.*.*"])
def test_objects_are_read_as_they_were_written(home, name):
    source = load(name, "train", home, padded={"objects": 3})
    features = source.info.features
    assert features["objects/bbox"] == Spec(np.float32, (3, 4), 0)
    assert features["objects/label"] == Spec(np.int32, (3,), -1)
    assert features["objects/valid"] == Spec(np.bool_, (3,), False)
    assert source.info.num_classes == (20 if name == "voc/2007" else 80)
    for example, (_, boxes, labels) in zip(by_size(source), PHOTOS, strict=True):
        there = example["objects/valid"]
        assert there.tolist() == [True] * len(boxes) + [False] * (3 - len(boxes))
        np.testing.assert_allclose(example["objects/bbox"][there], np.reshape(boxes, (-1, 4)))
        assert example["objects/label"].tolist() == labels + [-1] * (3 - len(labels))
    assert sorted(source.entries("objects").tolist()) == [0, 2, 2]
    np.testing.assert_array_equal(source.column("objects/bbox"), [example["objects/bbox"] for example in source])


def test_what_else_is_known_of_objects(home):
    coco = load("coco/2017", "validation", home, padded={"objects": 2})
    assert coco.info.features["objects/is_crowd"] == Spec(np.bool_, (2,), 0)
    assert by_size(coco)[0]["objects/is_crowd"].tolist() == [False, True]
    assert "objects/id" not in coco.info.features  # numbers of 64 bits
    assert "image/id" in coco.info.features
    voc = load("voc/2007", "validation", home, padded={"objects": 2})
    assert voc.info.class_names[14] == "person"
    assert by_size(voc)[1]["objects/is_difficult"].tolist() == [False, True]


@pytest.mark.parametrize("name", ["voc/2007", "coco/2017"])
def test_boxes_follow_photos_to_one_size(home, name):
    source = load(name, "train", home, padded={"objects": 2}, image_size=16)
    found = {tuple(example["objects/label"].tolist()): example["objects/bbox"] for example in source}
    assert set(found) == {(14, 0), (19, -1), (-1, -1)}  # the bus is above the square
    np.testing.assert_allclose(found[14, 0], [[0.25, 0.125, 0.75, 0.875], [0, 0, 0.5, 0.5]], atol=1e-6)
    np.testing.assert_allclose(found[19, -1][0], [0.5, 0.5, 1, 1], atol=1e-6)


def test_the_fullest_image_decides_on_the_room(home):
    with pytest.raises(UserError, match=r"config.data.padded.objects: .* in voc/2007/train: 2 are there, 1 fit"):
        load("voc/2007", "train", home, padded={"objects": 1}).column("objects/bbox")
