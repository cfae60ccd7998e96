"""MNIST and what is published as it is, from its four files."""

import gzip
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from effjax.data.builders.official.reading import reading
from effjax.errors import UserError

_UINT8 = 8  # what the format calls it
_SPLITS = {"train": "train", "test": "t10k"}


def splits(archives: Mapping[str, Path], info: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
    """The examples of train and test, with the keys that TFDS gives them.

    Args:
      archives: by name, where they lie.
      info: TFDS's, of the dataset.

    Raises:
      UserError: if a file is not what it must be.
    """
    found = {}
    for split, name in _SPLITS.items():
        images = read_idx(archives[f"{name}-images-idx3-ubyte.gz"], 3)
        labels = read_idx(archives[f"{name}-labels-idx1-ubyte.gz"], 1)
        if len(images) != len(labels):
            raise UserError(f"{archives[f'{name}-images-idx3-ubyte.gz']}: {len(images)} images, {len(labels)} labels")
        found[split] = _examples(images, labels)
    return found


def read_idx(path: Path, axes: int) -> np.ndarray:
    """Reads an array of bytes in the IDX format.

    Args:
      path: of the file, packed by gzip.
      axes: how many the array has.

    Raises:
      UserError: if it is something else.

    References:
      LeCun, `The MNIST database <http://yann.lecun.com/exdb/mnist/>`_ (the format).
    """
    with reading(path), gzip.open(path) as file:
        contents = file.read()
        start = 4 + 4 * axes
        if contents[:4] != bytes([0, 0, _UINT8, axes]) or len(contents) < start:
            raise ValueError(f"it does not begin as an array of bytes of {axes} axes does")
        shape = np.frombuffer(contents[4:start], ">u4").tolist()
        if len(contents) - start != int(np.prod(shape)):
            raise ValueError(f"{len(contents) - start:,} bytes are no array of the shape {shape}")
        return np.frombuffer(contents, np.uint8, offset=start).reshape(shape)


def _examples(images: np.ndarray, labels: np.ndarray) -> Iterator:
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        yield index, {"image": Image.fromarray(image), "label": int(label)}
