"""Photos of solar cells, good and broken, graded by an expert."""

import importlib.resources
from collections.abc import Iterator
from importlib.resources.abc import Traversable
from typing import NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from effjax.data.builders.stratify import stratified_split

SEED = 0
# Two questions were put to the expert: is the cell defective, and are you sure? The four answers read as the
# probability of a defect: 0, 1/3, 2/3, 1.
GRADES = ("functional", "likely_functional", "likely_defective", "defective")
CELL_TYPES = ("mono", "poly")


class Cell(NamedTuple):
    """One line of the package's ``labels.csv``."""

    path: str
    probability: float
    cell_type: str

    @property
    def grade(self) -> int:
        return round(self.probability * 3)


def package_data() -> Traversable:
    """The data folder of the installed package ``elpv-dataset``."""
    return importlib.resources.files("elpv_dataset") / "data"


def read_cells() -> list[Cell]:
    """Reads the list of the 2,624 photos, in the package's order."""
    lines = (package_data() / "labels.csv").read_text("ascii").splitlines()
    return [Cell(path, float(prob), kind) for path, prob, kind in (line.split() for line in lines if line)]


def split_indices(cells: list[Cell]) -> dict[str, np.ndarray]:
    """The fixed split, 70 / 10 / 20 % of every (grade, cell type).

    Args:
      cells: as ``read_cells`` returns them.

    Returns:
      ``{"train": [1836], "validation": [263], "test": [525]}`` positions in ``cells``.
    """
    strata = np.array([2 * cell.grade + CELL_TYPES.index(cell.cell_type) for cell in cells])
    return stratified_split(strata, lambda n: {"validation": round(0.1 * n), "test": round(0.2 * n)}, SEED)


class SolarCells(tfds.core.GeneratorBasedBuilder):
    """300×300×1 electroluminescence photos of solar cells, with defect probability and cell type."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="2,624 solar cells cut from photos of 44 modules; an expert's probability of a defect.",
            homepage="https://github.com/zae-bayern/elpv-dataset",
            citation=(
                "Deitsch et al., Automatic classification of defective photovoltaic module cells in "
                "electroluminescence images, Solar Energy 185 (2019), https://arxiv.org/abs/1807.02894"
            ),
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(300, 300, 1), encoding_format="png"),
                    "label": tfds.features.ClassLabel(names=list(GRADES)),
                    "probability": np.float32,
                    "cell_type": tfds.features.ClassLabel(names=list(CELL_TYPES)),
                }
            ),
            disable_shuffling=True,  # a record's position is its global id
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        cells = read_cells()
        return {split: _examples([cells[row] for row in rows]) for split, rows in split_indices(cells).items()}

    def _generate_examples(self) -> Iterator:
        raise NotImplementedError  # _split_generators returns the generators themselves


def _examples(cells: list[Cell]) -> Iterator:
    for position, cell in enumerate(cells):
        yield (
            position,
            {
                "image": (package_data() / cell.path).read_bytes(),
                "label": cell.grade,
                "probability": cell.probability,
                "cell_type": cell.cell_type,
            },
        )
