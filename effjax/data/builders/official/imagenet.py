"""ImageNet (ILSVRC 2012), from the two archives that people get after they have registered."""

import io
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
from PIL import Image

from effjax.data.builders.official.reading import as_file, members, reading
from effjax.errors import UserError

_VALIDATION = "datasets/imagenet2012/validation_labels.txt"  # of TFDS, in the order of the photos' names


def splits(archives: Mapping[str, Path], info: Any) -> dict[str, Iterator[tuple[str, dict[str, Any]]]]:
    """The examples of train and validation, with the keys that TFDS gives them.

    Some photos of train are in four colours, and one is a PNG: they are written anew, as JPEG in three.

    Args:
      archives: by name, where they lie.
      info: TFDS's, of the dataset.

    Raises:
      UserError: if an archive is not laid out as it must be.
    """
    train, validation = archives["ILSVRC2012_img_train.tar"], archives["ILSVRC2012_img_val.tar"]
    return {"train": _train(train, set(info.features["label"].names)), "validation": _validation(validation)}


def _train(path: Path, classes: set[str]) -> Iterator:
    for name, contents in members(path, lambda name: name.endswith(".tar")):
        label = name.rpartition("/")[2].removesuffix(".tar")
        if label not in classes:
            raise UserError(f"{path}: {name} is of no class of ImageNet: get it anew")
        with reading(path), tarfile.open(fileobj=io.BytesIO(contents)) as photos:
            for photo in photos:
                file = photos.extractfile(photo)
                if photo.isfile() and file is not None:
                    yield photo.name, {"file_name": photo.name, "image": _jpeg(file.read()), "label": label}


def _validation(path: Path) -> Iterator:
    labels = tfds.core.tfds_path(_VALIDATION).read_text().split()
    with reading(path), tarfile.open(path) as archive:
        names = sorted(member.name.removeprefix("./") for member in archive if member.isfile())
    if len(names) != len(labels):
        raise UserError(f"{path} has {len(names):,} photos, not {len(labels):,}: get it anew")
    label_of = dict(zip(names, labels, strict=True))
    for name, contents in members(path, label_of.__contains__):
        yield name, {"file_name": name, "image": _jpeg(contents), "label": label_of[name]}


def _jpeg(contents: bytes) -> io.BytesIO:
    """A photo as a JPEG in three colours or grey; one that is that stays as it is."""
    with Image.open(io.BytesIO(contents)) as image:
        if image.format == "JPEG" and image.mode in ("RGB", "L"):
            return as_file(contents)
        written = io.BytesIO()
        image.convert("RGB").save(written, "JPEG", quality=95)
        return as_file(written.getvalue())
