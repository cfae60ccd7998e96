"""Boxes in random parts of photos: they stay around their pixels through crop, resize, turn and flip."""

import io
import json
import pickle
import types

import jax
import numpy as np
import pytest
from coco_files_here import write_plain
from PIL import Image

from effjax.data.feeds import StreamFeed
from effjax.data.photo_boxes import SeenPart, turned
from effjax.data.photo_crops import Part, PhotoCrops
from effjax.data.prepare import prepare
from effjax.data.sources import load
from effjax.errors import UserError
from effjax.images import resized_crop_matrices
from effjax.images.targets import Boxes, follow
from effjax.steps import Flip, View

SIZE = 48
MOVES = {"objects/bbox": Boxes(valid="objects/valid", least=0.25)}
ROOM = {"objects": 2}
# What brings an upright picture to how a camera stores it, held so that EXIF notes this orientation.
STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def drawn(number):
    """A photo with one bright red rectangle, and another that is blue, with their boxes in pixels."""
    draw = np.random.default_rng(number)
    height, width = 90 + 7 * number, 200 - 6 * number
    pixels, boxes = np.full((height, width, 3), 30, np.uint8), []
    for channel, start in ((0, 0), (2, width // 2)):
        h, w = draw.integers(20, height // 2), draw.integers(20, width // 3)
        y, x = draw.integers(0, height - h + 1), start + draw.integers(0, width // 2 - w + 1)
        pixels[y : y + h, x : x + w, channel] = 230
        boxes.append((y, x, y + h, x + w))
    return Image.fromarray(pixels), boxes


def write_coco(root, kinds=("png", "jpeg", *STORED)):
    """Photos of every orientation that can be told, and files of which each is decoded in another way."""
    images, annotations = [], []
    for number, kind in enumerate(kinds):
        image, boxes = drawn(number)
        width, height = image.size
        name, options = f"{number}.{'jpg' if kind != 'png' else 'png'}", {}
        if isinstance(kind, int):
            options["exif"] = Image.Exif()
            options["exif"][0x0112] = kind
            image = image.transpose(STORED[kind]) if STORED[kind] is not None else image
        image.save(root / name, **({"quality": 96, "subsampling": 0} if kind != "png" else {}), **options)
        images.append({"id": number, "file_name": name, "width": width, "height": height})
        for category, (y0, x0, y1, x1) in enumerate(boxes):
            box = [int(side) for side in (x0, y0, x1 - x0, y1 - y0)]
            annotations.append({"id": len(annotations), "image_id": number, "category_id": category, "bbox": box})
    categories = [{"id": 0, "name": "red"}, {"id": 1, "name": "blue"}]
    told = {"images": images, "annotations": annotations, "categories": categories}
    (root / "annotations.json").write_text(json.dumps(told))
    return f"coco:{root}"


# Pictures that are mirrored or upside down (2 to 4) do not tell by their size what their boxes are of: refused.
KINDS = ("png", "jpeg", 1, 5, 6, 7, 8)


@pytest.fixture(scope="module")
def coco(tmp_path_factory):
    return load(write_coco(tmp_path_factory.mktemp("coco"), KINDS), "all", image_size=SIZE, padded=ROOM)


@pytest.fixture(scope="module")
def tfds_home(tmp_path_factory):
    import tensorflow_datasets as tfds

    class DrawnPhotos(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            entry = {"bbox": tfds.features.BBoxFeature(), "label": tfds.features.ClassLabel(names=["red", "blue"])}
            features = {
                "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
                "objects": tfds.features.Sequence(entry),
                "frame": tfds.features.BBoxFeature(),
            }
            features = tfds.features.FeaturesDict(features)
            return tfds.core.DatasetInfo(builder=self, features=features, disable_shuffling=True)

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            for number in range(5):
                image, boxes = drawn(number)
                image.save(file := io.BytesIO(), "png")
                sides = np.tile(image.size[::-1], 2)
                parts = [tfds.features.BBox(*(np.array(box) / sides)) for box in boxes]
                objects = [{"bbox": part, "label": label} for label, part in enumerate(parts)]
                yield number, {"image": file.getvalue(), "objects": objects, "frame": parts[0]}

    path = tmp_path_factory.mktemp("drawn_photos")
    prepare("drawn_photos", path, download=True)
    return path


@pytest.fixture(scope="module")
def tfds(tfds_home):
    return load("drawn_photos", "train", tfds_home, image_size=SIZE, padded=ROOM)


def bright(image, label):
    """Where the rectangle of a class is seen: its box in parts of the image, and how many pixels it has."""
    rows, columns = np.nonzero(image[..., 2 * label].astype(int) - image[..., 1] > 100)
    if not rows.size:
        return np.zeros(4), 0
    return np.array([rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]) / SIZE, rows.size


def check(example, photo=None, share=0.0):
    """Whether boxes are around their pixels, and those that are lost had few; returns how many there are.

    Args:
      example: of a source.
      photo: which it is of; None leaves what is lost.
      share: of the photo that is seen.
    """
    valid = example["objects/valid"].astype(bool)
    labels = example["objects/label"][valid].tolist()
    for box, label in zip(example["objects/bbox"][valid], labels, strict=True):
        seen, count = bright(example["image"], label)
        if count > 30:  # else half of it may be at the rim, darker
            np.testing.assert_allclose(box * SIZE, seen * SIZE, atol=1.3)
    if photo is not None:
        image, boxes = drawn(photo)
        for label, (y0, x0, y1, x1) in enumerate(boxes):
            whole = (y1 - y0) * (x1 - x0) / (image.width * image.height)
            left = bright(example["image"], label)[1] / SIZE**2 * share / whole
            assert left < 0.3 if label not in labels else left > 0.2
    return len(labels)


@pytest.mark.parametrize("kind", ["coco", "tfds"])
def test_boxes_are_around_their_pixels_through_crop_resize_and_flip(kind, request):
    source, view = request.getfixturevalue(kind), View(ops=(Flip(),), moves=MOVES)
    found, seen = [], []
    for step in range(25):
        crops = PhotoCrops(0.1, seed=3, step=step, box_least=0.25)
        for row in range(len(source)):
            example = source.cut(row, crops)
            assert example["image"].shape == (SIZE, SIZE, 3)
            assert {name: array.shape for name, array in example.items()} == {
                name: spec.shape for name, spec in source.info.features.items()
            }
            size = drawn(row)[0].size
            is_on_its_side = kind == "coco" and KINDS[row] in (5, 6, 7, 8)
            part = crops.part(row, *(size[::-1] if is_on_its_side else size))
            share = (part.right - part.left) * (part.bottom - part.top) / (size[0] * size[1])
            found.append(check(example, row, share))
            seen.append(example)
    assert {0, 1, 2} == {*found}
    batch = {name: np.stack([example[name] for example in seen]) for name in seen[0]}
    keys = jax.random.split(jax.random.key(0), len(seen))
    flipped = jax.tree.map(np.asarray, dict(jax.jit(view.see)(batch, keys)))
    flipped["image"] = (255 * flipped["image"]).round().astype(np.uint8)
    changed = 0
    for row in range(len(seen)):
        assert check({name: array[row] for name, array in flipped.items()}) == found[row]
        changed += not np.array_equal(flipped["image"][row], batch["image"][row])
    assert 0.3 < changed / len(seen) < 0.7


def test_what_is_lost_is_what_a_crop_within_the_step_loses():
    """The same rectangle, cut out on the host and by a matrix in the step: the same boxes, to rounding."""
    draw = np.random.default_rng(0)
    corners = np.sort(draw.random((500, 2, 2)), axis=1)
    boxes = np.concatenate([corners[:, 0], corners[:, 1]], axis=-1).astype(np.float32)
    for number, key in enumerate(jax.random.split(jax.random.key(1), 6)):
        (matrix,) = np.asarray(resized_crop_matrices(key[None], (80, 120), scale=(0.05, 0.6)))
        left, top = matrix[:, 2]
        part = Part(left, top, left + 120 * matrix[0, 0], top + 80 * matrix[1, 1], alone=True)
        least = (0.1, 0.25, 0.5)[number % 3]

        seen = SeenPart(types.SimpleNamespace(part=lambda *_, part=part: part, box_least=least), 0)
        seen(120, 80)
        found, kept = seen.moved(boxes)
        fields = {"boxes": boxes, "valid": np.ones(500, bool)}
        within = follow(fields, {"boxes": Boxes(least=least)}, matrix[None], (80, 120))
        assert 20 < kept.sum() < 480
        assert (kept != np.asarray(within["valid"])).sum() <= 1  # of those that are left to a rounding's breadth
        both = kept & np.asarray(within["valid"])
        np.testing.assert_allclose(found[both], np.asarray(within["boxes"])[both], atol=2e-5)


def test_rectangles_turn_as_pictures_do():
    marked = np.zeros((20, 40), np.uint8)
    marked[3:8, 7:30] = 1  # symmetric in no direction
    for orientation, stored in STORED.items():
        image = Image.fromarray(marked)
        pixels = np.asarray(image.transpose(stored) if stored is not None else image)
        rows, columns = np.nonzero(pixels)
        sides = pixels.shape
        box = (
            rows.min() / sides[0],
            columns.min() / sides[1],
            (rows.max() + 1) / sides[0],
            (columns.max() + 1) / sides[1],
        )
        np.testing.assert_allclose(turned(box, orientation), (3 / 20, 7 / 40, 8 / 20, 30 / 40))


def test_what_shows_just_enough_is_kept_and_what_has_no_area_is_not():
    seen = SeenPart(types.SimpleNamespace(part=lambda *_: Part(0, 0, 8, 16), box_least=0.25), 0)
    whole, shows = seen.moved(np.array([[0.5, 0.25, 0.75, 1.0]]))  # of a photo of which no part was asked for
    assert (whole.tolist(), shows.tolist()) == ([[0.5, 0.25, 0.75, 1.0]], [True])
    seen(16, 16)
    assert seen.moved(np.array([[0.5, 0.375, 0.75, 0.875], [0.25, 0.25, 0.25, 0.5]]))[1].tolist() == [True, False]
    every = SeenPart(types.SimpleNamespace(part=lambda *_: Part(0, 0, 8, 16), box_least=0.0), 0)
    every(16, 16)
    assert every.moved(np.array([[0.25, 0.75, 0.5, 1.0], [0.25, 0.25, 0.5, 0.5]]))[1].tolist() == [False, True]


def test_boxes_without_room_are_not_read_and_room_is_needed_for_all(coco, tfds_home):
    name = coco.info.name
    assert set(load(name, "all", image_size=SIZE).cut(0, PhotoCrops())) == {"image", "id"}
    narrow = load(name, "all", image_size=SIZE, padded=ROOM)
    assert narrow.box_names == ["objects/bbox"]
    narrow._room = 1  # as of a folder whose centre squares show no more
    with pytest.raises(UserError, match=r"padded.objects=1: 0.png has 2 boxes: .* image, of which parts may show all"):
        narrow.cut(0, PhotoCrops())
    few = load("drawn_photos", "train", tfds_home, image_size=SIZE, padded={"objects": 1})
    with pytest.raises(UserError, match=r"config.data.padded.objects: .* of example 0 .*: 2 are there, 1 fit"):
        few.cut(0, PhotoCrops(0.01))


def test_one_box_of_each_photo_is_never_lost(tfds):
    for step in range(8):
        example = tfds.cut(2, PhotoCrops(0.1, seed=3, step=step))
        assert example["frame"].shape == (4,)
        if 0 in example["objects/label"]:
            np.testing.assert_array_equal(example["frame"], example["objects/bbox"][0])


def test_images_are_as_without_boxes_and_examples_as_before(coco):
    """A part is that of a folder's photo of the same id; what nobody cuts is the centre square, as ever."""
    crops = PhotoCrops(0.2, seed=1)
    again = pickle.loads(pickle.dumps(coco))
    for row in range(len(coco)):
        one, other = coco.cut(row, crops), again.cut(row, crops)
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])
        small = coco.at_size(16).cut(row, crops)
        np.testing.assert_array_equal(small["objects/bbox"], one["objects/bbox"])
        assert small["image"].shape == (16, 16, 3)
        check(coco[row])


def test_a_run_draws_the_same_from_any_step(coco):
    names = ("image", "id", *coco.info.features.keys() - {"image", "id"})
    feed = StreamFeed({"train": coco}, 3, features=names, crops=PhotoCrops(0.1, box_least=0.25), num_workers=1)
    whole = list(feed.blocks({}, 7, 0, 6, 1))
    for later, block in zip(feed.blocks({}, 7, 4, 6, 1), whole[4:], strict=True):
        for name in names:
            np.testing.assert_array_equal(later[name], block[name])
    steps = [block["objects/bbox"] for block in whole]
    assert not np.array_equal(steps[0], steps[1])


def test_of_the_usual_forms(tmp_path):
    write_plain(tmp_path)
    source = load(f"coco:{tmp_path}", "all", image_size=28, padded={"objects": 3})
    for row in range(len(source)):
        whole = source._whole.of(row)[0]
        example = source.cut(row, PhotoCrops(1.0))  # all of it, but for what is not of an allowed shape
        assert example["objects/valid"].sum() <= len(whole)
        assert ((example["objects/bbox"] >= 0) & (example["objects/bbox"] <= 1)).all()
