"""EuroSAT's photos from space in red, green and blue, from its zip."""

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from effjax.data.builders.official.reading import as_file, reading


def splits(archives: Mapping[str, Path], info: Any) -> dict[str, Iterator[tuple[str, dict[str, Any]]]]:
    """The one split, with the keys that TFDS gives its examples.

    Args:
      archives: by name, where they lie.
      info: TFDS's, of the dataset.
    """
    return {"train": _examples(archives["EuroSAT.zip"])}


def _examples(path: Path) -> Iterator:
    with reading(path), zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            file = name.rpartition("/")[2]
            if name.startswith("2750/") and file:
                label = file.partition("_")[0]
                record = {"image": as_file(archive.read(name)), "label": label, "filename": file}
                yield f"{label}_{file}", record
