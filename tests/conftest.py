"""What the tests share: datasets prepared once in a folder that outlives the session, and sources in memory."""

import os
import pathlib

import numpy as np
import pytest

from effjax.data.base import DatasetInfo
from effjax.data.prepare import prepare

_REPOSITORY = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="session")
def data_dir() -> pathlib.Path:
    """Holds ``digits``, prepared. ``prepare`` lets one process work while others wait, so that -n 2 does too."""
    path = pathlib.Path(os.environ.get("EFFJAX_TEST_DATA", _REPOSITORY / ".cache" / "test_data"))
    prepare("digits", path)
    return path


class ArraySource:
    """A source in memory, whose image at row r is full of r."""

    def __init__(self, num_examples: int, shape: tuple[int, int, int] = (2, 3, 1)):
        self.info = DatasetInfo("memory", "train", num_examples, ("even", "odd"), shape)

    def __len__(self):
        return self.info.num_examples

    def __getitem__(self, row):
        if not 0 <= row < len(self):
            raise IndexError(row)
        return {
            "image": np.full(self.info.image_shape, row % 256, np.uint8),
            "label": np.asarray(row % 2, np.int32),
            "id": np.asarray(row, np.int32),
        }

    def labels(self):
        return (np.arange(len(self)) % 2).astype(np.int32)


class RaggedSource(ArraySource):
    """Images of two sizes."""

    def __getitem__(self, row):
        example = super().__getitem__(row)
        return {**example, "image": np.zeros((4 + row % 2, 4, 1), np.uint8)}


@pytest.fixture
def array_source():
    return ArraySource


@pytest.fixture
def ragged_source():
    return RaggedSource
