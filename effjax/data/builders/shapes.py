"""The shapes of the curriculum-learning paper as two datasets: the easy one and the whole one."""

from collections.abc import Iterator

import tensorflow_datasets as tfds
from PIL import Image

from effjax.data.builders import shapes_generator

SEED = 0
COUNTS = {"train": 10_000, "validation": 5_000, "test": 5_000}


class _Shapes(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    VERSION = tfds.core.Version("1.0.0")
    variant: str

    def _info(self) -> tfds.core.DatasetInfo:
        size = shapes_generator.SIZE
        return tfds.core.DatasetInfo(
            builder=self,
            description=f"Grey rectangles, ellipses and triangles, the {self.variant} set, drawn from a seed.",
            citation="Bengio et al., Curriculum learning, ICML 2009, https://dl.acm.org/doi/10.1145/1553374.1553380",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(size, size, 1), encoding_format="png"),
                    "label": tfds.features.ClassLabel(names=list(shapes_generator.CLASSES)),
                }
            ),
            disable_shuffling=True,  # a record's position is its global id
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        return {split: self._generate_examples(split, count) for split, count in COUNTS.items()}

    def _generate_examples(self, split: str, count: int) -> Iterator:
        for index in range(count):
            shape = shapes_generator.draw(self.variant, SEED, split, index)
            yield index, {"image": Image.fromarray(shape.image), "label": shape.label}


class ShapesBasic(_Shapes):
    """Squares, circles and isosceles triangles as high as wide; 32×32×1; 10,000 / 5,000 / 5,000."""

    variant = "basic"


class ShapesGeom(_Shapes):
    """Rectangles, ellipses and triangles of any elongation and peak; 32×32×1; 10,000 / 5,000 / 5,000."""

    variant = "geom"
