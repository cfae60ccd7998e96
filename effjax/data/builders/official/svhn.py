"""Street View House Numbers, cropped to one digit, from its MATLAB files."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
from PIL import Image

from effjax.data.builders.official.reading import reading

_DIGITS = 10  # 0 is stored as 10


def splits(archives: Mapping[str, Path], info: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
    """The examples of train, test and extra, with the keys and ids that TFDS gives them.

    Args:
      archives: by name, where they lie.
      info: TFDS's, of the dataset.
    """
    return {split: _examples(split, archives[f"{split}_32x32.mat"]) for split in ("train", "test", "extra")}


def _examples(split: str, path: Path) -> Iterator:
    with reading(path):
        found = scipy.io.loadmat(path)
        images, labels = np.asarray(found["X"]), np.asarray(found["y"]).ravel()
        if images.shape[:3] != (32, 32, 3) or images.shape[3:] != labels.shape or images.dtype != np.uint8:
            raise ValueError(f"images of the shape {images.shape} and labels of {labels.shape}")
        if labels.min() < 1 or labels.max() > _DIGITS:
            raise ValueError(f"labels from {labels.min()} to {labels.max()}")
    for index, label in enumerate(labels):
        image = Image.fromarray(np.ascontiguousarray(images[..., index]))
        yield index, {"image": image, "label": int(label) % _DIGITS, "id": f"{split}_{index:06d}"}
