"""What people see: whole photos, upright, with a frame around what a network sees, each over its number."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from effjax.data.pool_files import Numbers
from effjax.data.unlabelled_folder import UnlabelledFolder
from effjax.recipes.active.shown import LEAST, MOST, path_of, photo_of, words_of
from effjax.reports.numbered_sheet import enlarged, framed, numbered_sheet

RED, GREY = (200, 20, 20), (128, 128, 128)


def save(path, size, orientation=0):
    """A grey photo whose upper left corner, as it is stored, is red."""
    image = Image.new("RGB", size, GREY)
    image.paste(RED, (0, 0, size[0] // 8, size[1] // 8))
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, exif=exif, quality=95)


def folder(root):
    return UnlabelledFolder(root, image_size=8, channels=3, class_names=("a", "b"))


def near(pixel, colour):
    return np.abs(pixel.astype(int) - colour).max() < 30


@pytest.mark.parametrize(("orientation", "corner"), [(0, (2, 2)), (6, (2, -3)), (3, (-3, -3))])
def test_photos_are_whole_and_upright(tmp_path, orientation, corner):
    save(tmp_path / "wide.jpg", (400, 200), orientation)
    shown = photo_of(folder(tmp_path), 0, least=LEAST)
    assert sorted(shown.shape[:2]) == [400, 800]  # enlarged by two, so that there are 512
    assert near(shown[corner], RED)
    inside = shown[shown.shape[0] // 2, shown.shape[1] // 2]
    assert near(inside, GREY)
    across = shown[:, shown.shape[1] // 2] if orientation == 6 else shown[shown.shape[0] // 2]
    frame = np.flatnonzero((across == 255).all(-1))
    assert frame.min() in range(195, 206)  # the centre square: from 200 to 600
    assert frame.max() in range(594, 605)


def test_large_ones_are_made_smaller_and_what_cannot_be_read_is_black(tmp_path):
    save(tmp_path / "a" / "large.jpg", (3000, 2000))
    (tmp_path / "b\x1b.jpg").write_bytes(b"no image")
    pool = folder(tmp_path)
    assert max(photo_of(pool, 0).shape) == MOST
    assert photo_of(pool, 1, least=LEAST).max() == 0
    assert [path_of(pool, id_) for id_ in (0, 1)] == ["a/large.jpg", "b\\x1b.jpg"]  # a terminal obeys none
    gone = pool.numbered(Numbers(pool.paths, [2], frozenset({0})))
    assert photo_of(gone, 0).max() == gone[0]["image"].max() == 0
    assert len(gone) == 2


def test_frames_and_squares():
    grey = np.full((60, 100, 3), 128, np.uint8)
    assert framed(grey, (0, 0, 100, 60)) is grey
    drawn = framed(grey, (20, 0, 80, 60))
    assert (drawn[30, 20] == 255).all()
    assert (drawn[30, 21] == 0).all()
    assert (drawn[30, 24:76] == 128).all()
    assert enlarged(np.arange(6, dtype=np.uint8).reshape(2, 3, 1), 8).shape == (6, 9, 1)


def test_a_number_stands_under_every_picture():
    pictures = [np.full((20, 30, 1), 255, np.uint8)] * 5
    sheet = np.asarray(numbered_sheet(pictures, range(5), ["a.jpg", "", "c" * 80, "", ""], cell=64, columns=4))
    paper = sheet[0, 0]
    for place in range(5):
        left, top = 8 + place % 4 * 72, 8 + place // 4 * (64 + 36 + 8)
        number, path = sheet[top + 64 : top + 84, left : left + 64], sheet[top + 84 : top + 100, left : left + 64]
        assert (number != paper).any()
        assert (path != paper).any() == (place in (0, 2))
    gaps = [sheet[:, 8 + 72 * column - 8 : 8 + 72 * column] for column in range(4)]
    assert all((gap == paper).all() for gap in gaps)  # a long path keeps to its own


def test_of_a_question_its_words_are_said():
    info = SimpleNamespace(names={"question": ["", "is", "it", "red\x1b"]}, features={"question": None})
    columns = {"question": np.array([[1, 2, 3, 0], [2, 1, 0, 0]])}
    source = SimpleNamespace(info=info, ids=lambda: np.array([7, 4]), column=columns.__getitem__)
    say = words_of(source)
    assert [say(7), say(np.int32(4))] == ["is it red\\x1b", "it is"]
    bare = SimpleNamespace(info=SimpleNamespace(names={}, features={}), paths=["one.jpg", "two.jpg"])
    assert words_of(bare)(1) == "two.jpg"
