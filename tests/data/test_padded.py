"""Boxes, of which every image has as many as it happens to have: padded from the records to the batch."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from effjax.data.base import Subset
from effjax.data.feeds import ResidentFeed, StreamFeed
from effjax.data.pipeline import eval_batches
from effjax.data.prepare import prepare
from effjax.data.resident import nbytes
from effjax.data.sources import load
from effjax.errors import UserError
from effjax.specs import Spec

COUNTS = (2, 0, 3, 1, 1)
CLASSES = ("car", "bus", "tram")
PADDED = {"boxes": 3, "classes": 3, "parts": 4}
NAMES = ("image", "id", "boxes", "boxes/valid", "classes", "parts/box", "parts/class", "parts/valid")


def boxes_of(index: int) -> np.ndarray:
    return np.random.default_rng(index).random((COUNTS[index], 4), np.float32)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    import tensorflow_datasets as tfds

    classes = tfds.features.ClassLabel(names=list(CLASSES))

    class Crossings(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {
                "image": tfds.features.Image(shape=(8, 8, 1), encoding_format="png"),
                "boxes": tfds.features.Tensor(shape=(None, 4), dtype=np.float32),
                "classes": tfds.features.Sequence(classes),
                "parts": tfds.features.Sequence({"box": tfds.features.BBoxFeature(), "class": classes}),
                "words": tfds.features.Sequence(np.int64),
                "crowded": np.bool_,
                "scene": {"light": np.float64, "name": tfds.features.Text()},
            }
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features), disable_shuffling=True
            )

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            for index, count in enumerate(COUNTS):
                part = {"box": tfds.features.BBox(0.0, 0.25, 0.5, 1.0), "class": 2}
                yield (
                    index,
                    {
                        "image": Image.fromarray(np.full((8, 8), index, np.uint8)),
                        "boxes": boxes_of(index),
                        "classes": [(index + i) % 3 for i in range(count)],
                        "parts": [part] * (3 - count),
                        "words": [index] * index,
                        "crowded": count > 1,
                        "scene": {"light": index / 2, "name": "street"},
                    },
                )

    path = tmp_path_factory.mktemp("crossings")
    prepare("crossings", path, download=True)
    return path


def test_what_a_source_says_of_its_features(home):
    source = load("crossings", "train", home, padded=PADDED)
    assert source.info.class_names == CLASSES
    assert source.info.features == {
        "image": Spec(np.uint8, (8, 8, 1)),
        "id": Spec(np.int32),
        "boxes": Spec(np.float32, (3, 4), 0),
        "boxes/valid": Spec(np.bool_, (3,), False),
        "classes": Spec(np.int32, (3,), -1),
        "classes/valid": Spec(np.bool_, (3,), False),
        "parts/box": Spec(np.float32, (4, 4), 0),
        "parts/class": Spec(np.int32, (4,), -1),
        "parts/valid": Spec(np.bool_, (4,), False),
        "words": Spec(np.int32, (None,)),
        "crowded": Spec(np.bool_),
        "scene/light": Spec(np.float32),
    }
    assert set(source[0]) == {name for name, spec in source.info.features.items() if not spec.is_ragged}
    for name, spec in source.info.features.items():
        if not spec.is_ragged:
            assert (source[1][name].dtype, source[1][name].shape) == (spec.dtype, spec.shape)
    assert source[2]["scene/light"] == 1


def test_examples_and_columns_are_padded_alike(home):
    source = load("crossings", "train", home, padded=PADDED)
    for row, count in enumerate(COUNTS):
        example = source[row]
        np.testing.assert_array_equal(example["boxes"], np.r_[boxes_of(row), np.zeros((3 - count, 4))])
        assert example["classes"].tolist() == [(row + i) % 3 for i in range(count)] + [-1] * (3 - count)
        assert (
            example["boxes/valid"].tolist()
            == example["classes/valid"].tolist()
            == [True] * count + [False] * (3 - count)
        )
        assert example["parts/valid"].sum() == 3 - count  # none at all, of one
        assert (example["parts/class"] == 2).tolist() == example["parts/valid"].tolist()
    part = Subset(source, [4, 2])
    for name in ("boxes", "classes", "parts/valid", "crowded", "id"):
        np.testing.assert_array_equal(source.column(name), [source[row][name] for row in range(len(COUNTS))])
        np.testing.assert_array_equal(part.column(name), source.column(name)[[4, 2]])
    with pytest.raises(UserError, match=r"'crossings' has no column 'clases'; .*did you mean 'classes'"):
        source.column("clases")


def batches_of(source, batch_size, steps, num_workers, features=NAMES):
    """The batches of a feed, ``[steps, B, …]``: of one on the device (num_workers=None), or of one that streams."""
    if num_workers is None:
        feed = ResidentFeed({"train": source}, batch_size, features=features)
    else:
        feed = StreamFeed({"train": source}, batch_size, features=features, num_workers=num_workers)
    for name, array in feed.example().items():
        assert array.shape == (batch_size, *source.info.features[name].shape)
    (block,) = feed.blocks({}, 0, 0, steps, steps)
    return {name: array[block["row"]] for name, array in feed.resident.items()} if "row" in block else block


@pytest.mark.parametrize("num_workers", [None, 0, 2])
def test_from_the_records_to_the_batch(home, num_workers):
    source = load("crossings", "train", home, padded=PADDED)
    batches = batches_of(source, 2, 5, num_workers)
    assert set(batches) == set(NAMES)
    assert sorted(batches["id"].ravel().tolist()) == sorted([*range(5)] * 2)
    for name, array in batches.items():
        spec = source.info.features[name]
        assert (array.dtype, array.shape) == (spec.dtype, (5, 2, *spec.shape))
        np.testing.assert_array_equal(array, source.column(name)[batches["id"]] if name != "image" else array)
    np.testing.assert_array_equal(batches["image"][..., 0, 0, 0], batches["id"])
    evaluated = list(eval_batches(source, 3))
    assert evaluated[1]["boxes/valid"].tolist() == [[True, False, False], [True, False, False], [False] * 3]
    assert evaluated[1]["mask"].tolist() == [True, True, False]


@pytest.mark.parametrize("num_workers", [None, 0, 1])
def test_what_does_not_fit_is_refused_by_name(home, num_workers):
    source = load("crossings", "train", home, padded={"boxes": 2})
    message = r"config.data.padded.boxes: 'boxes' of example 2 in crossings/train: 3 are there, 2 fit"
    with pytest.raises(UserError, match=message):
        source.column("boxes")
    with pytest.raises(UserError, match=message):
        batches_of(source, 5, 1, num_workers, NAMES[:3])


def test_what_nobody_has_made_room_for_is_not_left_out_in_silence(home):
    source = load("crossings", "train", home, padded={"boxes": 3})
    for name in ("words", "parts/box"):
        message = rf"'crossings' \(train\) has as many '{name}' .* config.data.padded.{name.split('/')[0]}="
        with pytest.raises(UserError, match=message):
            StreamFeed({"train": source}, 2, features=("image", name))
    with pytest.raises(UserError, match="has no feature 'label'"):
        StreamFeed({"train": source}, 2)
    with pytest.raises(UserError, match=r"padded.boxs: 'crossings' has no .*did you mean 'boxes'"):
        load("crossings", "train", home, padded={"boxs": 3})
    with pytest.raises(UserError, match=r"padded.crowded: 'crossings' has no feature"):
        load("crossings", "train", home, padded={"crowded": 3})


def test_what_lives_on_the_device_is_counted_with_its_boxes(home):
    source = load("crossings", "train", home, padded=PADDED)
    assert nbytes(source) == 5 * 64
    assert nbytes(source, ("image", "boxes", "crowded")) == 5 * (64 + 48 + 1)
    assert nbytes(source, ("image", "words")) == float("inf")
    assert dataclasses.replace(source.info, name="x").image_shape == (8, 8, 1)
