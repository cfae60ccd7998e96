"""Boxes in photos that are not square, where the centre is cut out: they stay around what they are of."""

import io
import pickle

import numpy as np
import pytest
from PIL import Image

from effjax.data.centre_squares import boxes_in_square
from effjax.data.prepare import prepare
from effjax.data.sources import load
from effjax.errors import UserError

# Photos, height and width, with boxes in pixels y0, x0, y1, x1; each is filled with its own grey.
PHOTOS = (
    ((40, 80), [(10, 30, 30, 50), (0, 0, 20, 15), (10, 10, 30, 30), (4, 59, 8, 79)]),
    ((80, 40), [(0, 0, 19, 40), (50, 5, 70, 15)]),
    ((30, 30), [(3, 6, 9, 30)]),
    ((20, 60), []),
    ((20, 60), [(0, 0, 10, 10)]),
)
# By photo: which of them are left, in parts of the centre square.
LEFT = (
    {0: (0.25, 0.25, 0.75, 0.75), 2: (0.25, 0, 0.75, 0.25)},
    {1: (0.75, 0.125, 1, 0.375)},
    {0: (0.1, 0.2, 0.3, 1)},
    {},
    {},
)


def photo(index):
    (height, width), boxes = PHOTOS[index]
    pixels = np.zeros((height, width), np.uint8)
    for number, (y0, x0, y1, x1) in enumerate(boxes):
        pixels[y0:y1, x0:x1] = 60 * (number + 1)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    import tensorflow_datasets as tfds

    class OddPhotos(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            box = tfds.features.BBoxFeature()
            features = {
                "image": tfds.features.Image(shape=(None, None, 1), encoding_format="png"),
                "objects": tfds.features.Sequence(
                    {"bbox": box, "label": tfds.features.ClassLabel(num_classes=4), "word": tfds.features.Text()}
                ),
                "boxes": tfds.features.Sequence(box),
                "scene": {"frame": box, "light": np.float32},
                "places": tfds.features.Sequence(tfds.features.Tensor(shape=(4,), dtype=np.float32)),
            }
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features), disable_shuffling=True
            )

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            for index, ((height, width), found) in enumerate(PHOTOS):
                parts = [np.array(one) / (height, width, height, width) for one in found]
                yield (
                    index,
                    {
                        "image": photo(index),
                        "objects": [{"bbox": part, "label": number, "word": "x"} for number, part in enumerate(parts)],
                        "boxes": parts,
                        "scene": {"frame": tfds.features.BBox(0.0, 0.0, 1.0, 0.5), "light": 0.5},
                        "places": np.array(parts, np.float32).reshape(-1, 4),
                    },
                )

    path = tmp_path_factory.mktemp("odd_photos")
    prepare("odd_photos", path, download=True)
    return path


def there(example, group="objects"):
    return example[f"{group}/valid"]


def test_boxes_follow_the_centre_square_by_hand():
    boxes, kept = boxes_in_square(np.array([[0, 0, 1, 1], [0, 0, 0.5, 0.25], [0.25, 0.375, 0.75, 0.625]]), 40, 80)
    np.testing.assert_allclose(boxes, [[0, 0, 1, 1], [0, 0, 0.5, 0], [0.25, 0.25, 0.75, 0.75]])
    assert kept.tolist() == [True, False, True]
    same, kept = boxes_in_square(np.array([0.1, 0.2, 0.1, 0.9]), 7, 7)
    np.testing.assert_array_equal(same, np.float32([0.1, 0.2, 0.1, 0.9]))
    assert kept


def test_a_box_is_lost_where_less_than_a_tenth_of_it_is_left():
    for inside, kept in ((11, False), (12, True)):  # of the 100 pixels beside the square and these
        assert boxes_in_square(np.array([0, 0, 1, (100 + inside) / 400]), 200, 400)[1] == kept
    assert not boxes_in_square(np.zeros(4), 200, 400)[1]


def test_boxes_of_photos_of_any_shape_are_around_the_same_pixels(home):
    padded = {"objects": 4, "boxes": 4, "places": 4}
    source = load("odd_photos", "train", home, image_size=20, padded=padded)
    for example, left, (_, boxes) in zip(source, LEFT, PHOTOS, strict=True):
        assert example["objects/label"][there(example)].tolist() == list(left)
        for group in ("objects/bbox", "boxes"):
            valid = there(example, group.partition("/")[0])
            np.testing.assert_allclose(example[group][valid], np.reshape(list(left.values()), (-1, 4)), atol=1e-6)
        assert there(example, "places").sum() == len(boxes)  # nobody says that these are boxes
        for label, (y0, x0, y1, x1) in left.items():
            y, x = int(10 * (y0 + y1)), int(10 * (x0 + x1))
            assert abs(int(example["image"][y, x, 0]) - 60 * (label + 1)) < 3


def test_columns_are_those_of_examples_at_every_size(home):
    whole = load("odd_photos", "train", home, padded={"objects": 4, "boxes": 4})
    assert whole.column("objects/valid").sum(axis=1).tolist() == [len(boxes) for _, boxes in PHOTOS]
    for source in (whole, whole.at_size(20), pickle.loads(pickle.dumps(whole.at_size(10)))):
        for name in ("objects/bbox", "objects/valid", "objects/label", "boxes", "scene/frame", "scene/light"):
            np.testing.assert_array_equal(source.column(name), [example[name] for example in source])
    small = whole.at_size(20)
    assert small.column("objects/valid").sum(axis=1).tolist() == [len(left) for left in LEFT]
    np.testing.assert_allclose(small[0]["scene/frame"], [0, 0, 1, 0.5])  # one that every image has is never lost
    np.testing.assert_allclose(small[1]["scene/frame"], [0, 0, 1, 0.5])


def test_room_is_needed_for_what_is_left(home):
    with pytest.raises(UserError, match=r"config.data.padded.objects: .* of example 0 .*: 4 are there, 3 fit"):
        load("odd_photos", "train", home, padded={"objects": 3}).column("objects/bbox")
    assert load("odd_photos", "train", home, image_size=20, padded={"objects": 2}).column("objects/bbox").any()
