"""Modules composed of real photos of solar cells, whose defective cells are to be found."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from effjax.data import draws
from effjax.data.builders import boxes
from effjax.data.builders.solar_cells import CELL_TYPES, SEED, Cell, package_data, read_cells, split_indices
from effjax.data.decode import decode_image

ROWS, COLUMNS = 4, 4  # of cells in a module
SIDE = 32  # pixels of a cell
#: How often each cell of a split is laid into a module, each time beside others.
PASSES = {"train": 8, "validation": 4, "test": 4}
DEFECTIVE = 0.5  # the least probability of a cell that is to be found


class Module(NamedTuple):
    """Which cells lie in a module.

    Attributes:
      cell_type: one of ``CELL_TYPES``, that of all.
      rows: positions of its cells in the package's list, row by row, ``[16]``.
    """

    cell_type: str
    rows: np.ndarray


def compose(cells: Sequence[Cell], split: str) -> list[Module]:
    """Divides the cells of a split into modules, as often as ``PASSES`` says, each time in another way.

    Args:
      cells: as ``solar_cells.read_cells`` returns them.
      split: one of ``PASSES``.

    Returns:
      The modules, in random order. No cell is twice in one; of each pass, what does not fill a module is left over.
    """
    size, found = ROWS * COLUMNS, []
    rows = np.sort(split_indices(list(cells))[split])
    for number, kind in enumerate(CELL_TYPES):
        of_kind = np.array([row for row in rows if cells[row].cell_type == kind], np.int64)
        for turn in range(PASSES[split]):
            stream = (list(PASSES).index(split) * len(CELL_TYPES) + number) * 2**32 + turn
            mixed = of_kind[draws.permutation((SEED, stream), len(of_kind))]
            found += [Module(kind, mixed[start : start + size]) for start in range(0, len(mixed) - size + 1, size)]
    order = draws.permutation((SEED, (len(PASSES) * len(CELL_TYPES) + list(PASSES).index(split)) * 2**32), len(found))
    return [found[place] for place in order]


class SolarModules(tfds.core.GeneratorBasedBuilder):
    """128×128×1 modules of 4×4 cells with boxes around the defective ones: 904 train, 60 validation, 128 test.

    Real are the photos of the cells, each scaled from 300 to 32 pixels a side, and the expert's probability of a
    defect; a cell of 1/2 or more is an object. Composed are the modules: which cells of one type lie beside one
    another is drawn, so that nothing can be learnt from a cell's neighbours, and boxes lie on a grid. No cell is in
    two splits, and none twice in a module; a cell is in up to eight modules of the training split, four of others.
    """

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="Photos of solar cells, composed to modules; boxes are around the defective cells.",
            homepage="https://github.com/zae-bayern/elpv-dataset",
            citation=(
                "Deitsch et al., Automatic classification of defective photovoltaic module cells in "
                "electroluminescence images, Solar Energy 185 (2019), https://arxiv.org/abs/1807.02894"
            ),
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(ROWS * SIDE, COLUMNS * SIDE, 1), encoding_format="png"),
                    "objects": boxes.feature(["defective"]),
                    "cell_type": tfds.features.ClassLabel(names=list(CELL_TYPES)),
                }
            ),
            disable_shuffling=True,  # a record's position is its global id
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        cells = read_cells()
        pixels = [decode_image((package_data() / cell.path).read_bytes(), 1, SIDE)[..., 0] for cell in cells]
        return {split: _examples(compose(cells, split), cells, pixels) for split in PASSES}

    def _generate_examples(self) -> Iterator:
        raise NotImplementedError  # _split_generators returns the generators themselves


def _examples(modules: list[Module], cells: list[Cell], pixels: list[np.ndarray]) -> Iterator:
    for position, module in enumerate(modules):
        tiles = np.stack([pixels[row] for row in module.rows]).reshape(ROWS, COLUMNS, SIDE, SIDE)
        image = tiles.swapaxes(1, 2).reshape(ROWS * SIDE, COLUMNS * SIDE)
        broken = [place for place, row in enumerate(module.rows) if cells[row].probability >= DEFECTIVE]
        corners = SIDE * np.array([divmod(place, COLUMNS) for place in broken]).reshape(-1, 2)
        objects = boxes.stored(np.hstack([corners, corners + SIDE]), np.zeros(len(broken), int), image.shape)
        yield position, {"image": Image.fromarray(image), "objects": objects, "cell_type": module.cell_type}
