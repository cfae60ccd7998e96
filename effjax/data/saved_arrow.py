"""Datasets that Hugging Face's ``datasets`` has saved to disk: Arrow files, read in place, without that library."""

import functools
import json
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from effjax.data.folder_layout import usual_name
from effjax.errors import UserError
from effjax.files import home_expanded


class SavedTable(NamedTuple):
    """What is known of a saved dataset.

    Attributes:
      files: its Arrow files, in order.
      image: the column of images.
      label: the column of classes.
      classes: their names, where the dataset says them.
    """

    files: tuple[pathlib.Path, ...]
    image: str
    label: str
    classes: tuple[str, ...] | None


def is_saved(root: str | pathlib.Path) -> bool:
    """Whether ``save_to_disk`` wrote a folder."""
    return any((home_expanded(root) / name).is_file() for name in ("dataset_dict.json", "state.json"))


def saved_splits(root: str | pathlib.Path) -> dict[str, pathlib.Path]:
    """The folder of each split that ``DatasetDict.save_to_disk`` wrote; of a single ``Dataset``, its own under ``""``.

    Args:
      root: the folder.

    Raises:
      UserError: if there is neither.
    """
    root = home_expanded(root).absolute()
    if (root / "dataset_dict.json").is_file():
        names = _json(root / "dataset_dict.json").get("splits", [])
        return {usual_name(str(name)): root / str(name) for name in names}
    if (root / "state.json").is_file():
        return {"": root}
    raise UserError(
        f"hf:{root}: no parquet files there, and no dataset saved there with save_to_disk (no dataset_dict.json, no "
        "state.json)"
    )


def saved_table(folder: pathlib.Path) -> SavedTable:
    """What a folder says of its columns.

    Raises:
      UserError: if it has no column of images, or none of classes.
    """
    features = _json(folder / "dataset_info.json").get("features") or {}
    files = tuple(folder / str(one["filename"]) for one in _json(folder / "state.json").get("_data_files", []))
    return SavedTable(files, *image_and_label(features, folder))


def image_and_label(features: Mapping[str, Any], where: pathlib.Path) -> tuple[str, str, tuple[str, ...] | None]:
    """Which columns are the images and their classes.

    Args:
      features: by column, what the library notes of it.
      where: for messages.

    Returns:
      The column of images, that of classes, and the classes' names where they are said.

    Raises:
      UserError: if there is no column of images, or several, or none of classes.
    """
    kinds = {name: kind.get("_type") for name, kind in features.items() if isinstance(kind, dict)}
    images = [name for name, kind in kinds.items() if kind == "Image"]
    labels = [name for name, kind in kinds.items() if kind == "ClassLabel"]
    labels += [name for name in ("label", "labels", "class", "target") if name in kinds and name not in labels]
    if len(images) != 1 or not labels:
        what = f"{len(images)} columns of images" if len(images) != 1 else "no column of classes"
        raise UserError(f"{where}: {what} among {', '.join(features) or 'none'}; keep one Image and one ClassLabel")
    names = features[labels[0]].get("names")
    return images[0], labels[0], tuple(map(str, names)) if names else None


class ArrowColumns:
    """The images and classes of Arrow files, mapped into memory; each process maps them for itself.

    Args:
      table: what is read.

    Raises:
      UserError: if a file cannot be read.
    """

    def __init__(self, table: SavedTable):
        self.table = table
        self._starts = np.cumsum([0, *(len(chunk) for chunk in self._columns[0])])

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_columns"}

    def __len__(self) -> int:
        return int(self._starts[-1])

    @functools.cached_property
    def _columns(self) -> tuple[list[Any], list[Any]]:
        import pyarrow

        images, labels = [], []
        for file in self.table.files:
            try:
                mapped = pyarrow.memory_map(str(file))
                batches = list(pyarrow.ipc.open_stream(mapped))
            except (OSError, pyarrow.ArrowException) as error:
                raise UserError(f"{file} cannot be read: {' '.join(str(error).split())}") from error
            images += [batch.column(self.table.image) for batch in batches]
            labels += [batch.column(self.table.label) for batch in batches]
        return images, labels

    def labels(self) -> list[str]:
        """The class of each row, empty where it is not known; of numbers, the name where the dataset says it."""
        values = [value for chunk in self._columns[1] for value in chunk.to_pylist()]
        names = self.table.classes
        if names is None:
            return ["" if value is None else str(value) for value in values]
        # The library writes -1 where a label is not known, as in test sets that others measure.
        return ["" if value is None or not 0 <= value < len(names) else names[value] for value in values]

    def image(self, row: int) -> bytes:
        """The bytes of an image file.

        Raises:
          ValueError: if the row has a path in their place.
        """
        chunk = int(np.searchsorted(self._starts, row, side="right")) - 1
        found = self._columns[0][chunk][row - int(self._starts[chunk])].as_py() or {}
        if not found.get("bytes"):
            raise ValueError(f"not in the dataset itself, but at {found.get('path')}: embed the images before saving")
        return found["bytes"]


def _json(path: pathlib.Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    return found if isinstance(found, dict) else {}
