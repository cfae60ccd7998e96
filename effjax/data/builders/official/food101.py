"""Food-101, from its archive, which is read three times as a stream: what is where is said anywhere in it."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from effjax.data.builders.official.reading import as_file, member, members
from effjax.errors import UserError

_META = {"train": "food-101/meta/train.json", "validation": "food-101/meta/test.json"}


def splits(archives: Mapping[str, Path], info: Any) -> dict[str, Iterator[tuple[str, dict[str, Any]]]]:
    """The examples of train and of what the authors call test, TFDS validation, with the keys that it gives them.

    Args:
      archives: by name, where they lie.
      info: TFDS's, of the dataset.

    Raises:
      UserError: if an image is missing.
    """
    path = archives["food-101.tar.gz"]
    meta = member(path, set(_META.values()))
    return {split: _examples(path, json.loads(meta[name])) for split, name in _META.items()}


def _examples(path: Path, said: Mapping[str, list[str]]) -> Iterator:
    label_of = {f"food-101/images/{name}.jpg": (name, label) for label, names in said.items() for name in names}
    for file, contents in members(path, label_of.__contains__):
        name, label = label_of.pop(file)
        yield name, {"image": as_file(contents), "label": label}
    if label_of:
        raise UserError(f"{path}: {len(label_of):,} images are missing, the first {min(label_of)}: get it anew")
