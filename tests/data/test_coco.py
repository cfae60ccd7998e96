"""COCO's JSON in a folder: boxes around what they are of, whatever the photos; all mistakes said at once."""

import json
import pickle
import re

import numpy as np
import pytest
from coco_files_here import BACKGROUND, BOXES, CATEGORIES, CLASSES, INK, PHOTOS, write_official, write_plain
from PIL import Image

from effjax.data.base import Subset
from effjax.data.feeds import ResidentFeed, StreamFeed
from effjax.data.sources import load, split_names
from effjax.errors import UserError
from effjax.recipes.build.folders import contents, drawn
from effjax.specs import Spec

ROOM = {"objects": 3}


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    write_plain(root := tmp_path_factory.mktemp("plain"))
    return root


@pytest.fixture(scope="module")
def official(tmp_path_factory):
    write_official(root := tmp_path_factory.mktemp("official"))
    return root


def expected(name):
    """What an image has, by hand: boxes in parts of it as annotated, classes, crowds."""
    (width, height), _ = PHOTOS[name]
    found = [(np.array([y, x, y + h, x + w]), category, crowd) for (x, y, w, h), category, crowd in BOXES[name]]
    boxes = [np.clip(box / (height, width, height, width), 0, 1) for box, _, _ in found]
    return np.reshape(boxes, (-1, 4)), [CLASSES.index(CATEGORIES[c]) for _, c, _ in found], [bool(c) for *_, c in found]


def test_boxes_are_in_parts_of_the_image_and_classes_in_the_order_of_ids(plain):
    source = load(f"coco:{plain}", "all", padded=ROOM)
    assert source.info.class_names == CLASSES
    assert source.info.image_shape is None
    assert source.info.features == {
        "image": Spec(np.uint8, (None, None, 3)),
        "id": Spec(np.int32),
        "objects/bbox": Spec(np.float32, (3, 4), 0),
        "objects/label": Spec(np.int32, (3,), -1),
        "objects/is_crowd": Spec(np.bool_, (3,), False),
        "objects/valid": Spec(np.bool_, (3,), False),
    }
    for example, name in zip(source, PHOTOS, strict=True):
        boxes, labels, crowds = expected(name)
        there = example["objects/valid"]
        assert there.tolist() == [True] * len(boxes) + [False] * (3 - len(boxes))
        np.testing.assert_allclose(example["objects/bbox"][there], boxes, atol=1e-6)
        assert not example["objects/bbox"][~there].any()
        assert example["objects/label"].tolist() == labels + [-1] * (3 - len(labels))
        assert example["objects/is_crowd"][there].tolist() == crowds
        assert example["image"].shape[:2] == PHOTOS[name][0][::-1]
        assert example["id"] == list(PHOTOS).index(name)
        for key, spec in source.info.features.items():
            assert example[key].dtype == spec.dtype
    for name in source.info.features.keys() - {"image"}:
        np.testing.assert_array_equal(source.column(name), [example[name] for example in source])
    with pytest.raises(UserError, match="has no column 'label'"):
        source.column("label")


@pytest.mark.parametrize("image_size", [None, 24])
def test_the_first_box_of_each_image_is_around_what_is_bright(plain, image_size):
    source = load(f"coco:{plain}", "all", padded=ROOM, image_size=image_size)
    seen = 0
    for example, name in zip(source, PHOTOS, strict=True):
        if not BOXES[name]:
            continue
        red = example["image"][..., 0].astype(int)
        y0, x0, y1, x1 = example["objects/bbox"][0] * (*red.shape, *red.shape)
        ys, xs = np.mgrid[: red.shape[0], : red.shape[1]] + 0.5
        inside = (y0 + 2 < ys) & (ys < y1 - 2) & (x0 + 2 < xs) & (xs < x1 - 2)
        outside = (ys < y0 - 2) | (ys > y1 + 2) | (xs < x0 - 2) | (xs > x1 + 2)
        assert inside.any()
        assert np.abs(red[inside] - INK).max() < 12, name
        assert np.abs(red[outside] - BACKGROUND).max(initial=0) < 12, name
        seen += 1
    assert seen == 7


def test_what_the_centre_square_does_not_show_is_gone(plain):
    source = load(f"coco:{plain}", "all", padded=ROOM)
    small = source.at_size(24)
    assert small.info.image_shape == (24, 24, 3)
    assert small.entries("objects").tolist() == [2, 2, 1, 1, 1, 0, 1, 1]  # a box of b.png is beside its square
    assert source.entries("objects").tolist() == [2, 3, 1, 1, 1, 0, 1, 1]
    np.testing.assert_allclose(
        small[1]["objects/bbox"][:2], [[1 / 3, 1 / 6, 2 / 3, 5 / 6], [0, 0, 1, 1 / 6]], atol=1e-6
    )
    assert small[1]["objects/label"].tolist() == [0, 1, -1]
    again = load(f"coco:{plain}", "all", padded={"objects": 2}, image_size=24)
    np.testing.assert_array_equal(again.column("objects/bbox"), small.column("objects/bbox")[:, :2])
    part = pickle.loads(pickle.dumps(Subset(small, [6, 1])))
    assert [int(example["id"]) for example in part] == [6, 1]
    np.testing.assert_array_equal(part[1]["objects/bbox"], small[1]["objects/bbox"])


def test_the_official_layout_has_its_splits(official):
    assert split_names(f"coco:{official}") == ["train", "validation"]
    train, validation = (load(f"coco:{official}", split, padded=ROOM) for split in ("train", "val"))
    assert train.paths == [f"train2017/{name}" for name in list(PHOTOS)[:5]]
    assert validation.paths == [f"val2017/{name}" for name in list(PHOTOS)[5:]]
    assert train.info.class_names == validation.info.class_names == CLASSES
    np.testing.assert_allclose(validation[2]["objects/bbox"][0], expected("h.jpg")[0][0])
    assert load(f"coco:{official}", "train[1:3]", padded=ROOM).ids().tolist() == [1, 2]
    with pytest.raises(UserError, match="has no split 'test'; allowed: train, validation"):
        load(f"coco:{official}", "test")


def test_one_file_is_divided_by_shares(plain, tmp_path):
    name = f"coco:{plain}"
    assert split_names(name, shares=(50, 0, 50)) == ["train", "test"]
    found = {split: load(name, split, shares=(50, 25, 25)).paths for split in ("train", "validation", "test")}
    assert [len(paths) for paths in found.values()] == [4, 2, 2]
    assert sorted([*found["train"], *found["validation"], *found["test"]]) == sorted(PHOTOS)
    with pytest.raises(UserError, match=r"the split validation has no image: see config.data.split"):
        load(name, "validation", shares=(50, 0, 50))
    with pytest.raises(UserError, match="has no split 'val3'"):
        load(name, "val3")
    write_plain(tmp_path, "_annotations.coco.json", "images")
    other = load(f"coco:{tmp_path}", "train", shares=(50, 25, 25))
    assert sorted(other.paths) == other.paths
    assert all(path.startswith("images/") for path in other.paths)


def test_a_folder_of_splits_has_a_file_in_each(tmp_path):
    for split in ("train", "valid"):
        write_plain(tmp_path / split, "_annotations.coco.json")
    assert split_names(f"coco:{tmp_path}") == ["train", "validation"]
    assert load(f"coco:{tmp_path}", "validation").paths[0] == "valid/a.jpg"


def test_grey_images_have_one_channel(tmp_path):
    keep = {"e.png"}

    def change(data):
        data["images"] = [one for one in data["images"] if one["file_name"] in keep]
        data["annotations"] = [one for one in data["annotations"] if one["image_id"] == 50]

    write_plain(tmp_path, change=change)
    source = load(f"coco:{tmp_path}", "all", padded=ROOM)
    assert source.info.image_shape == (32, 32, 1)
    assert source[0]["image"].shape == (32, 32, 1)


def test_a_version_of_the_tfds_dataset_is_no_folder(tmp_path):
    for name in ("coco:1.1.0", "coco:1.*.*"):
        with pytest.raises(UserError, match=rf"'{re.escape(name)}' is not prepared in "):
            load(name, "train", tmp_path)
    with pytest.raises(UserError, match=r"coco:\S+/photos: no annotations are there"):
        load("coco:photos", "train", tmp_path)


def test_room_for_boxes_must_be_made(plain):
    source = load(f"coco:{plain}", "all")
    assert source.info.features["objects/bbox"] == Spec(np.float32, (None, 4))
    assert set(source[0]) == {"image", "id"}
    with pytest.raises(UserError, match="has no column"):
        source.column("objects/bbox")
    with pytest.raises(UserError, match=r"config.data.padded.objects=2: b.png has 3 boxes: make room"):
        load(f"coco:{plain}", "all", padded={"objects": 2})
    with pytest.raises(UserError, match=r"config.data.padded.boxes: coco:\S+ has no such feature; allowed: objects"):
        load(f"coco:{plain}", "all", padded={"boxes": 2})


def test_everything_that_is_wrong_is_said_at_once(tmp_path):
    def change(data):
        of = {one["file_name"]: one for one in data["images"]}
        first, *rest = data["annotations"]
        first["category_id"] = 8
        rest[0].update(bbox=[50, 0, 5, 5])  # a.jpg has 40 pixels
        rest[1].update(bbox=[1, 1, 0, 4])
        rest[2].update(bbox=[1, 1, 5])
        rest[3].update(image_id=5)
        rest[4].update(id=rest[5]["id"])
        rest[6]["bbox"] = None
        del rest[7]["category_id"]
        of["e.png"].update(width=33)
        of["f.jpg"].update(file_name="h.jpg")
        of["sub/g.png"].update(id="seven")
        data["images"].append({"id": 95, "file_name": "none.jpg", "width": 5, "height": 5})
        data["images"].append({"id": 96, "file_name": "../none.jpg", "width": 5, "height": 5})
        data["images"].append({"id": 97, "file_name": "broken.jpg", "width": 5, "height": 5})
        data["categories"].append({"id": 1, "name": "cat"})

    (tmp_path / "broken.jpg").write_bytes(b"no image")
    write_plain(tmp_path, change=change)
    with pytest.raises(UserError) as error:
        load(f"coco:{tmp_path}", "train")
    lines = str(error.value).splitlines()
    assert all(line.startswith(f"{tmp_path}/annotations.json: ") for line in lines)
    number = 900_100_000_000
    for said in (
        f"annotation {number} of image 10 (a.jpg): there is no category 8",
        f"annotation {number + 1} of image 10 (a.jpg): its box [50, 0, 5, 5] lies outside the image of 40×40 pixels",
        f"annotation {number + 2} of image 20 (b.png): its box [1, 1, 0, 4] has no area",
        f"annotation {number + 3} of image 20, number 4 in the file: its bbox [1, 1, 5] is not [x, y, width, height]",
        f"annotation {number + 4} of image 5: there is no such image",
        f"annotation {number + 6} of image 40 is there twice",
        f"annotation {number + 7} of image 50, number 8 in the file: its bbox None is not [x, y, width, height]",
        f"annotation {number + 8} of image 70, number 9 in the file: it has no 'category_id'",
        "image 50 (e.png): it has 32×32 pixels, not 33×32",
        "image 60 (h.jpg): image 80 is of the same file",
        "image seven of file 'sub/g.png', number 2 in the file: its id is 'seven', no whole number",
        "image 95 (none.jpg): it is not there",
        "image 96 of file '../none.jpg', number 10 in the file: its file_name '../none.jpg' is no path below",
        "image 97 (broken.jpg): cannot identify",
        "category 'cat' is there twice",
    ):
        assert any(said in line for line in lines), (said, lines)


@pytest.mark.parametrize("orientation", [2, 3, 4, 6])
def test_a_turned_photo_that_may_be_either_is_refused(tmp_path, orientation):
    write_plain(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (40, 40)).save(tmp_path / "a.jpg", exif=exif)
    with pytest.raises(UserError, match=rf"image 10 \(a.jpg\): EXIF says .*orientation {orientation}.*save it upright"):
        load(f"coco:{tmp_path}", "train")


def test_many_mistakes_are_counted(tmp_path):
    write_plain(tmp_path, change=lambda data: data["images"].extend({"id": 100 + i} for i in range(30)))
    with pytest.raises(UserError, match=r"annotations\.json: and 10 more") as error:
        load(f"coco:{tmp_path}", "train")
    assert len(str(error.value).splitlines()) == 21


def test_boxes_without_an_area_in_official_files_are_left_out_aloud(official, tmp_path, caplog):
    write_official(tmp_path)
    file = tmp_path / "annotations" / "instances_train2017.json"
    data = json.loads(file.read_text())
    data["annotations"][0]["bbox"][3] = 0.0
    file.write_text(json.dumps(data))
    source = load(f"coco:{tmp_path}", "train", padded=ROOM)
    assert source.entries("objects").tolist() == [1, 3, 1, 1, 1]
    assert "boxes without an area are left out: annotation 900100000000 of image 10 (a.jpg)" in caplog.text


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda root: (root / "annotations.json").unlink(),
            "no annotations are there; allowed: annotations/instances_",
        ),
        (lambda root: (root / "annotations.json").write_text("{"), "annotations.json .*export it again"),
        (lambda root: (root / "annotations.json").write_text("[]"), "not in COCO's form: it has no list 'images'"),
        (lambda root: (root / "_annotations.coco.json").write_text("{}"), "are both there"),
    ],
)
def test_what_is_no_such_folder_is_refused(tmp_path, spoil, message):
    write_plain(tmp_path)
    spoil(tmp_path)
    with pytest.raises(UserError, match=message):
        load(f"coco:{tmp_path}", "train")


@pytest.mark.parametrize("num_workers", [None, 0])
def test_from_the_files_to_the_batch(plain, num_workers):
    source = load(f"coco:{plain}", "all", padded=ROOM, image_size=24)
    names = ("image", "id", "objects/bbox", "objects/label", "objects/valid", "objects/is_crowd")
    if num_workers is None:
        feed = ResidentFeed({"train": source}, 4, features=names)
        (block,) = feed.blocks({}, 0, 0, 2, 2)
        batches = {name: array[block["row"]] for name, array in feed.resident.items()}
    else:
        (batches,) = StreamFeed({"train": source}, 4, features=names, num_workers=num_workers).blocks({}, 0, 0, 2, 2)
    assert sorted(np.ravel(batches["id"]).tolist()) == list(range(8))
    for name in names[2:]:
        assert batches[name].shape == (2, 4, *source.info.features[name].shape)
        np.testing.assert_array_equal(batches[name], source.column(name)[batches["id"]])
    with pytest.raises(UserError, match=r"has as many 'objects/bbox' .* config.data.padded.objects="):
        StreamFeed({"train": load(f"coco:{plain}", "all", image_size=24)}, 4, features=names)


def test_shares_make_a_run_what_it_is_where_one_file_is_divided(plain, official):
    data = {"also": {}, "train": "train", "validation": "validation", "split": (50, 25, 25), "pool": ""}
    assert drawn({**data, "name": f"coco:{plain}"}) == {"split": (50, 25, 25)}
    assert drawn({**data, "name": f"coco:{official}"}) == {}
    assert drawn({**data, "name": "coco:1.*.*"}) == {}


def test_a_run_knows_when_boxes_or_images_have_changed(tmp_path):
    write_plain(tmp_path)
    before = contents(load(f"coco:{tmp_path}", "all"))
    assert contents(load(f"coco:{tmp_path}", "all", tmp_path / "cache")) == before != {}
    assert len(list((tmp_path / "cache" / "checked_folders").iterdir())) == 1
    assert contents(load(f"coco:{tmp_path}", "all", tmp_path / "cache")) == before
    write_plain(tmp_path, change=lambda data: data["annotations"][0].update(bbox=[4, 8, 20, 13]))
    assert contents(load(f"coco:{tmp_path}", "all")) != before
