"""Questions about grids of real digits; its configs differ in the share that cannot be learnt."""

from collections.abc import Iterator
from typing import ClassVar, cast

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from effjax.data.builders import digit_grids
from effjax.data.builders.digits import read_digits, split_indices

SEED = 0
COUNTS = {"train": 20_000, "validation": 1_000, "test": 3_000}
PERCENT = (30, 0, 15, 45)  # the first is what is prepared where none is named


class DigitQuestions(tfds.core.GeneratorBasedBuilder):
    """42×42×1 grids of digits, each with a question and its answer; 20,000 / 1,000 / 3,000.

    No digit of one split is in another. ``question`` is padded with 0; ``answered`` is the answer of an annotator who
    says where there is none. ``type`` and ``kind`` are for reports: what is asked for, and whether it can be learnt.
    """

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS: ClassVar[list[tfds.core.BuilderConfig]] = [
        tfds.core.BuilderConfig(
            name=f"unlearnable_{percent}", description=f"{percent} % of the questions cannot be learnt to answer."
        )
        for percent in PERCENT
    ]

    def _info(self) -> tfds.core.DatasetInfo:
        side = digit_grids.SIDE * digit_grids.CELL
        answers = list(digit_grids.ANSWERS)
        return tfds.core.DatasetInfo(
            builder=self,
            description="Questions about 2×2 to 3×3 of MNIST's digits, some of which the image does not answer.",
            citation="Karamcheti et al., Mind Your Outliers!, ACL 2021, https://arxiv.org/abs/2107.02331 (the idea)",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(side, side, 1), encoding_format="png"),
                    "question": tfds.features.Sequence(
                        tfds.features.ClassLabel(names=list(digit_grids.WORDS)), length=digit_grids.LENGTH
                    ),
                    "label": tfds.features.ClassLabel(names=answers),
                    "answered": tfds.features.ClassLabel(names=answers),
                    "type": tfds.features.ClassLabel(names=list(digit_grids.TYPES)),
                    "kind": tfds.features.ClassLabel(names=list(digit_grids.KINDS)),
                }
            ),
            disable_shuffling=True,  # a record's position is its global id
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        images, labels = read_digits()
        halved = images.reshape(-1, digit_grids.CELL, 2, digit_grids.CELL, 2).mean((2, 4)).astype(np.uint8)
        config = cast(tfds.core.BuilderConfig, self.builder_config)  # which TFDS sets to the first, where none is named
        share = int(config.name.rpartition("_")[2]) / 100
        return {
            split: _examples(share, split, COUNTS[split], halved[rows], labels[rows])
            for split, rows in split_indices(labels).items()
        }

    def _generate_examples(self) -> Iterator:
        raise NotImplementedError  # _split_generators returns the generators themselves


def _examples(share: float, split: str, count: int, images: np.ndarray, labels: np.ndarray) -> Iterator:
    for index in range(count):
        one = digit_grids.draw(share, SEED, split, index, images, labels)
        answered = one.answer if one.kind == "learnable" else digit_grids.UNANSWERABLE
        yield (
            index,
            {
                "image": Image.fromarray(one.image),
                "question": one.tokens,
                "label": one.label,
                "answered": digit_grids.ANSWERS.index(answered),
                "type": one.type,
                "kind": one.kind,
            },
        )
