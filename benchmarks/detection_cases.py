"""The detectors that are timed here and in PyTorch: numbers alone, for PyTorch's environment reads them, too."""

from typing import NamedTuple

OBJECTS = 8  # boxes of an image
OVERLAP, MOST, CANDIDATES = 0.6, 100, 3  # of the suppression of doubles, as effjax.tasks.detection has them


class Case(NamedTuple):
    """A detector, as :class:`effjax.models.fcos.Fcos` has it, and what it is shown."""

    label: str
    backbone: str
    stem: str
    strides: tuple[int, ...]
    channels: int
    convs: int
    shape: tuple[int, int, int]
    classes: int
    steps: int


CASES = {
    "one_level": Case("ResNet-8, one level, 64 px", "resnet8", "halving", (4,), 32, 1, (64, 64, 1), 1, 30),
    "five_levels": Case(
        "ResNet-18, five levels, 128 px", "resnet18", "imagenet", (8, 16, 32, 64, 128), 128, 2, (128, 128, 3), 20, 8
    ),
}
