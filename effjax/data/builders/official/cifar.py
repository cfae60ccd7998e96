"""CIFAR-10 and CIFAR-100, from their binary archives."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from effjax.data.builders.official.reading import member
from effjax.errors import UserError

SIDE = 32
_PIXELS = 3 * SIDE * SIDE
#: By archive, its folder, the files of the splits, and by label, in the order of a record's bytes, its names' file.
_LAYOUTS = {
    "cifar-10-binary.tar.gz": (
        "cifar-10-batches-bin",
        {"train": [f"data_batch_{number}.bin" for number in range(1, 6)], "test": ["test_batch.bin"]},
        {"label": "batches.meta.txt"},
    ),
    "cifar-100-binary.tar.gz": (
        "cifar-100-binary",
        {"train": ["train.bin"], "test": ["test.bin"]},
        {"coarse_label": "coarse_label_names.txt", "label": "fine_label_names.txt"},
    ),
}


def splits(archives: Mapping[str, Path], info: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
    """The examples of train and test, with the keys and ids that TFDS gives them.

    Args:
      archives: by name, where they lie.
      info: TFDS's, of the dataset; its classes get their names.

    Raises:
      UserError: if an archive is not laid out as it must be.
    """
    ((archive, path),) = archives.items()
    folder, files, labels = _LAYOUTS[archive]
    wanted = {
        f"{folder}/{name}" for name in (*labels.values(), *(name for several in files.values() for name in several))
    }
    found = member(path, wanted)
    for label, name in labels.items():
        names = [line for line in found[f"{folder}/{name}"].decode().splitlines() if line]
        if len(names) != info.features[label].num_classes:
            raise UserError(f"{path}: {name} has {len(names)} names of {info.features[label].num_classes} classes")
        info.features[label].names = names
    return {
        split: _examples(split, path, [found[f"{folder}/{name}"] for name in several], tuple(labels))
        for split, several in files.items()
    }


def _examples(split: str, path: Path, batches: list[bytes], labels: tuple[str, ...]) -> Iterator:
    record = len(labels) + _PIXELS
    index = 0
    for batch in batches:
        if len(batch) % record:
            raise UserError(f"{path}: a file of {split} has {len(batch):,} bytes, which are no records of {record}")
        for row in np.frombuffer(batch, np.uint8).reshape(-1, record):
            said = {label: int(value) for label, value in zip(labels, row, strict=False)}
            pixels = row[len(labels) :].reshape(3, SIDE, SIDE).transpose(1, 2, 0)
            yield index, {**said, "id": f"{split}_{index:05d}", "image": Image.fromarray(pixels)}
            index += 1
