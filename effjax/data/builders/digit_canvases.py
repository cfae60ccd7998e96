"""Canvases of real digits to be found, some classes of which are rare to train on."""

from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from effjax.data.builders import boxes, canvas_generator
from effjax.data.builders.digits import read_digits, split_indices

SEED = 0
COUNTS = {"train": 2_000, "validation": 200, "test": 500}
TAIL = 0.7  # each class is so many times as frequent as the one before, where networks train
FREQUENCIES = {
    "train": TAIL ** np.arange(canvas_generator.CLASSES),
    "validation": np.ones(canvas_generator.CLASSES),
    "test": np.ones(canvas_generator.CLASSES),
}


class DigitCanvases(tfds.core.GeneratorBasedBuilder):
    """64×64×1 canvases of one to six digits among fragments of digits; 2,000 / 200 / 500.

    No digit of one split is in another. In the training split digit k is 0.7^k times as frequent as 0; in the others
    all are equally frequent.
    """

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        side = canvas_generator.SIZE
        return tfds.core.DatasetInfo(
            builder=self,
            description="MNIST's digits strewn over noisy canvases, with their boxes and classes.",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(side, side, 1), encoding_format="png"),
                    "objects": boxes.feature([str(digit) for digit in range(canvas_generator.CLASSES)]),
                }
            ),
            disable_shuffling=True,  # a record's position is its global id
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        images, labels = read_digits()
        return {
            split: _examples(split, COUNTS[split], FREQUENCIES[split], images[rows], labels[rows])
            for split, rows in split_indices(labels).items()
        }

    def _generate_examples(self) -> Iterator:
        raise NotImplementedError  # _split_generators returns the generators themselves


def _examples(split: str, count: int, frequencies: Sequence[float], images: np.ndarray, labels: np.ndarray) -> Iterator:
    for index in range(count):
        one = canvas_generator.draw(frequencies, SEED, split, index, images, labels)
        objects = boxes.stored(one.boxes, one.labels, one.image.shape)
        yield index, {"image": Image.fromarray(one.image), "objects": objects}
