"""Stanford Cars: 196 models, each with its box."""

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import scipy.io
import tensorflow_datasets as tfds
from PIL import Image

from effjax.data.builders.official.reading import as_file, member, members, reading
from effjax.errors import UserError

_TRAIN = "devkit/cars_train_annos.mat"


def splits(archives: Mapping[str, Path], info: Any) -> dict[str, Iterator[tuple[str, dict[str, Any]]]]:
    """The examples of train and test, with the keys that TFDS gives them.

    Args:
      archives: by name, where they lie.
      info: TFDS's, of the dataset.

    Raises:
      UserError: if something is missing, or cannot be read.
    """
    train = member(archives["car_devkit.tgz"], {_TRAIN})[_TRAIN]
    test = archives["cars_test_annos_withlabels.mat"].read_bytes()
    names = info.features["label"].names
    return {
        "train": _examples(archives["cars_train.tgz"], archives["car_devkit.tgz"], train, names),
        "test": _examples(archives["cars_test.tgz"], archives["cars_test_annos_withlabels.mat"], test, names),
    }


def _examples(photos: Path, notes: Path, contents: bytes, names: list[str]) -> Iterator:
    with reading(notes):
        rows = scipy.io.loadmat(io.BytesIO(contents))["annotations"][0]
        # x0, y0, x1, y1, the class from 1, the file.
        said = {row[-1].item(): ([float(row[side].item()) for side in range(4)], int(row[4].item())) for row in rows}
    folder = f"{photos.name.partition('.')[0]}/"
    for file, photo in members(photos, lambda name: name.removeprefix(folder) in said):
        (x0, y0, x1, y1), number = said.pop(file.removeprefix(folder))
        with Image.open(io.BytesIO(photo)) as image:
            width, height = image.size
        name = file.removeprefix(folder).partition(".")[0]
        box = tfds.features.BBox(y0 / height, x0 / width, y1 / height, x1 / width)
        yield name, {"label": names[number - 1], "image": as_file(photo), "bbox": box, "id": name}
    if said:
        raise UserError(f"{photos}: {len(said):,} photos are missing, the first {min(said)}: get it anew")
