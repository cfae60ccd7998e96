"""The contact sheet and the launcher that draws it."""

import dataclasses
import shutil
import subprocess

import numpy as np
import pytest
from coco_files_here import write_plain
from conftest import ArraySource
from PIL import Image
from processes import start

from effjax.data.builders import shapes_generator
from effjax.reports.contact_sheet import contact_sheet
from effjax.reports.dataset_sheet import dataset_sheet
from effjax.specs import Spec


def _launch(*arguments) -> subprocess.CompletedProcess:
    process = start("launch.data", *arguments)
    out, err = process.communicate(timeout=120)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def test_contact_sheet_shows_every_image_in_its_row():
    drawn = [shapes_generator.draw("geom", 0, "train", index) for index in range(40)]
    rows = {
        name: [shape.image[..., None] for shape in drawn if shape.label == label][:4]
        for label, name in enumerate(shapes_generator.CLASSES)
    }
    sheet = np.asarray(contact_sheet(rows, cell=64))
    assert sheet.shape[0] == 3 * 68 + 4
    left = sheet.shape[1] - 4 - 4 * 68
    for row, images in enumerate(rows.values()):
        assert (sheet[4 + row * 68 : 68 + row * 68, : left - 4] < 100).any()  # the caption's ink
        for column, image in enumerate(images):
            top, start = 4 + row * 68, left + column * 68
            cell = sheet[top : top + 64, start : start + 64]
            np.testing.assert_array_equal(cell[..., 0], image[..., 0].repeat(2, axis=0).repeat(2, axis=1))


def test_contact_sheet_takes_any_size_and_no_examples():
    rows = {"wide": [np.zeros((10, 100, 3), np.uint8)], "none": [], "large": [np.full((200, 200, 3), 9, np.uint8)]}
    assert contact_sheet(rows, cell=50).height == 3 * 54 + 4


def test_launcher_describes_and_draws(data_dir, tmp_path):
    result = _launch("--dataset=digits", f"--data_dir={data_dir}", f"--contact_sheet={tmp_path / 'sheet.png'}")
    assert result.returncode == 0, result.stderr
    assert "train: 3,500 examples, 28×28×1, 10 classes: 0 350, 1 350" in result.stdout
    assert "test: 1,000 examples" in result.stdout
    assert "MiB" in result.stdout
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.height > 10 * 60


@pytest.mark.parametrize(
    ("dataset", "message"),
    [("digts", "did you mean 'digits'?"), ("cifar10", "--download"), ("folder:/nowhere", "/nowhere/SPLIT/CLASS/*.jpg")],
)
def test_launcher_says_in_one_line_what_is_wrong(tmp_path, dataset, message):
    result = _launch(f"--dataset={dataset}", f"--data_dir={tmp_path}")
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert message in result.stderr


def _photos(root, size=8):
    for label, name in enumerate(("cat", "dog")):
        for i in range(10):
            path = root / name / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((size + i, size, 3), 10 * i + 100 * label, np.uint8)).save(path)
    return root


def test_launcher_describes_photos_of_any_size_and_draws_them(tmp_path):
    root, data_dir = _photos(tmp_path / "photos"), tmp_path / "data"
    result = _launch(f"--dataset=folder:{root}", f"--data_dir={data_dir}")
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert "images differ in size" in result.stderr
    sheets = [f"--contact_sheet={tmp_path / 'a.jpg'}", f"--augmentation_sheet={tmp_path / 'b.png'}"]
    result = _launch(f"--dataset=folder:{root}", f"--data_dir={data_dir}", "--image_size=16", *sheets)
    assert result.returncode == 0, result.stderr
    assert "train: 16 examples, 16×16×3, 2 classes: cat 8, dog 8\n  validation: 2 examples" in result.stdout
    assert result.stdout.endswith(f"  {tmp_path / 'a.jpg'}\n  {tmp_path / 'b.png'}\n")
    for name in ("a.jpg", "b.png"):
        with Image.open(tmp_path / name) as sheet:
            assert sheet.width > 100


def test_launcher_says_what_cannot_be_trained_on(tmp_path):
    root = _photos(tmp_path / "photos")
    shutil.rmtree(root / "dog")
    result = _launch(f"--dataset=folder:{root}", f"--data_dir={tmp_path}", "--image_size=16")
    assert result.returncode == 0, result.stderr
    assert "has one class only (cat)" in result.stdout


def test_a_terminal_obeys_no_name_of_a_file(tmp_path):
    root = _photos(tmp_path / "photos")
    (root / "cat" / "a\x1b[2J\nb.png").write_bytes(b"no image")
    result = _launch(f"--dataset=folder:{root}", f"--data_dir={tmp_path}", "--image_size=16")
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert r"a\x1b[2J\nb.png" in result.stderr
    (root / "cat" / "a\x1b[2J\nb.png").rename(root / "cat" / "a\x1b[2J\nb.txt")
    result = _launch(f"--dataset=folder:{root}", f"--data_dir={tmp_path}", "--image_size=16")
    assert result.returncode == 0, result.stderr
    assert "\x1b" not in result.stderr + result.stdout
    assert r"passed over: cat/a\x1b[2J" in result.stderr


def test_launcher_says_what_is_measured_by_and_trained_on_whatever_splits_are_called(tmp_path):
    root = tmp_path / "photos"
    _photos(root / "Training")
    _photos(root / "val", size=9)
    shutil.copy(root / "Training" / "cat" / "0.png", root / "val" / "cat" / "same.png")
    result = _launch(f"--dataset=folder:{root}", f"--data_dir={tmp_path}", "--image_size=16")
    assert result.returncode == 0, result.stderr
    assert "1 of the images of train are in val too" in result.stderr
    assert "Training/cat/0.png = val/cat/same.png" in result.stderr


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--contact_sheet=sheet.txt", "--contact_sheet=sheet.txt: a name that ends as a picture's does"),
        ("--augmentation_sheet=sheet", "--augmentation_sheet=sheet: a name that ends as a picture's does"),
        ("--image_size=99999", "99999 is not an integer in the range [0, 16384]"),
    ],
)
def test_flags_are_checked_before_any_work(data_dir, flag, said):
    result = _launch("--dataset=digits", f"--data_dir={data_dir}", flag)
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert said in result.stderr


def test_a_version_that_is_not_made_here_is_refused(tmp_path):
    result = _launch("--dataset=digits:9.9.9", f"--data_dir={tmp_path}")
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert "dataset 'digits:9.9.9': version 1.0.0 is what can be prepared: leave the version out" in result.stderr


def test_boxes_are_drawn_where_they_are():
    image = np.full((20, 40, 1), 100, np.uint8)
    boxes = {"dog": [np.array([[0.5, 0.25, 1, 0.75], [0, 0, 0.01, 0.01]]), np.zeros((0, 4))]}
    sheet = np.asarray(contact_sheet({"dog": [image, image]}, cell=40, boxes=boxes))
    left, top = sheet.shape[1] - 4 - 2 * 44, 4 + 10  # of the picture, which is 40×20
    drawn = (sheet[top : top + 20, left : left + 40] == (255, 80, 0)).all(axis=-1)
    expected = np.zeros((20, 40), bool)
    expected[10:20, 10:30] = True
    expected[11:19, 11:29] = False
    expected[0, 0] = True  # next to nothing is still to be seen
    np.testing.assert_array_equal(drawn, expected)
    assert not (sheet[:, left + 44 :] == (255, 80, 0)).all(axis=-1).any()


def test_boxes_that_reach_the_last_pixel_or_less_stay_on_the_picture():
    image = np.full((20, 40, 1), 100, np.uint8)
    boxes = {"dog": [np.array([[1, 1, 1, 1], [0.999, 0.0, 1, 0.001]])]}
    sheet = np.asarray(contact_sheet({"dog": [image]}, cell=40, boxes=boxes))
    left, top = sheet.shape[1] - 4 - 44, 4 + 10
    places = np.argwhere((sheet == (255, 80, 0)).all(axis=-1)) - (top, left)
    assert places.tolist() == [[19, 0], [19, 39]]


class _Objects(ArraySource):
    """Images with a class each, and objects besides: as they are stored, or padded but without boxes."""

    def __init__(self, features):
        super().__init__(6, (8, 8, 1))
        self.info = dataclasses.replace(self.info, features={**self.info.features, **features})


@pytest.mark.parametrize(
    "features",
    [
        {"objects/bbox": Spec(np.float32, (None, 4)), "objects/label": Spec(np.int32, (None,))},
        {"objects/valid": Spec(np.bool_, (3,), False), "objects/label": Spec(np.int32, (3,), -1)},
    ],
)
def test_images_whose_boxes_are_not_read_are_drawn_without_them(features):
    drawn, plain = (dataset_sheet(source, classes=2) for source in (_Objects(features), ArraySource(6, (8, 8, 1))))
    assert drawn.tobytes() == plain.tobytes()


def test_launcher_counts_and_draws_objects(tmp_path):
    write_plain(tmp_path / "photos")
    result = _launch(
        f"--dataset=coco:{tmp_path / 'photos'}", f"--data_dir={tmp_path}", f"--contact_sheet={tmp_path}/a.png"
    )
    assert result.returncode == 0, result.stderr
    assert "train: 6 examples, images of several sizes, 3 classes of objects: dog " in result.stdout
    assert "\n  at most 3 objects in an image: config.data.padded.objects=3\n" in result.stdout
    with Image.open(tmp_path / "a.png") as sheet:
        assert (np.asarray(sheet) == (255, 80, 0)).all(axis=-1).sum() > 200
