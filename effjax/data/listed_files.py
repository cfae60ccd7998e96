"""Tables that say which image has which class: CSV, or Parquet, with a line for each image."""

import csv
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from effjax.data.folder_layout import usual_name
from effjax.data.image_parquet import holds_images
from effjax.errors import UserError, nearest
from effjax.files import home_expanded

#: By the kind that a dataset's name begins with, how its files end.
KINDS = {"csv": (".csv", ".tsv", ".txt"), "parquet": (".parquet",)}
# What people call the columns, the likeliest first.
_PATHS = ("path", "image", "file", "filename", "file_name", "filepath", "file_path", "image_path", "img", "img_path")
_LABELS = ("label", "class", "class_name", "category", "target", "labels", "label_name", "species", "diagnosis")
_SPLITS = ("split", "set", "subset", "partition", "fold")
_MISTAKES = 5  # named in one message; more are counted


class ListedFiles(NamedTuple):
    """What tables say.

    Attributes:
      root: the folder that paths are relative to.
      paths: of the images, as listed.
      labels: theirs, ``[N]`` numbers of ``classes``.
      classes: the names, in order: of numbers, by value.
      splits: by split, the rows of its images; None where nothing divides them.
    """

    root: pathlib.Path
    paths: list[str]
    labels: np.ndarray
    classes: list[str]
    splits: dict[str, np.ndarray] | None


def listed_files(name: str) -> ListedFiles:
    """Reads a table, or a folder of one table for each split, as ``train.csv`` and ``val.csv``.

    A table has a column of paths, relative to its folder, one of classes, and maybe one of splits.

    Args:
      name: ``csv:/path`` or ``parquet:/path``.

    Raises:
      UserError: if there is no such file, no such column, or a line that cannot be (all of them in one message).
    """
    kind, _, where = name.partition(":")
    path = home_expanded(where).absolute()
    tables = _tables(path, kind)
    rows: list[tuple[str, str]] = []
    names: list[str] = []
    mistakes: list[str] = []
    for file, split in tables.items():
        columns = _read(file, kind)
        paths, labels = (
            _column(columns, known, what, file) for known, what in ((_PATHS, "paths"), (_LABELS, "classes"))
        )
        own = next((columns[key] for key in columns if key.lower() in _SPLITS), None) if split is None else None
        for number, (image, label) in enumerate(zip(paths, labels, strict=True)):
            if wrong := _mistake(image, label):
                mistakes.append(f"{file.name}, image {number + 1}: {wrong}")
            rows.append((image, label))
            names.append(split if split is not None else "" if own is None else own[number])
    _refuse(mistakes + _twice(rows), path)
    if not rows:
        raise UserError(f"{path}: no image is listed")
    found, classes = [label for _, label in rows], ordered({label for _, label in rows})
    numbers = {label: number for number, label in enumerate(classes)}
    divided = np.array([usual_name(split) for split in names])
    splits = {split: np.flatnonzero(divided == split) for split in dict.fromkeys(divided.tolist()) if split}
    root = path if path.is_dir() else path.parent
    labels = np.array([numbers[label] for label in found], np.int32)
    return ListedFiles(root, [image for image, _ in rows], labels, classes, splits or None)


def _tables(path: pathlib.Path, kind: str) -> dict[pathlib.Path, str | None]:
    """The tables to read, each with the split that its name says."""
    if path.is_file():
        return {path: None}
    found = sorted(file for file in path.iterdir() if file.suffix.lower() in KINDS[kind]) if path.is_dir() else []
    if not found:
        raise UserError(f"{kind}:{path}: there is no such file, and no folder with files {', '.join(KINDS[kind])}")
    return {file: usual_name(file.stem) for file in found} if len(found) > 1 else {found[0]: None}


def _read(file: pathlib.Path, kind: str) -> dict[str, list[str]]:
    """The columns of a table, as texts."""
    try:
        if kind == "parquet":
            return _read_parquet(file)
        with file.open(encoding="utf-8-sig", newline="") as lines:
            start = lines.read(1 << 16)
            lines.seek(0)
            first = start.splitlines()[0] if start else ""
            separator = max(",;\t", key=first.count)
            found = list(csv.reader(lines, delimiter=separator, strict=True))
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{file} cannot be read: {' '.join(str(error).split())}") from error
    header, rest = [title.strip() for title in (found[0] if found else [])], [line for line in found[1:] if line]
    if wrong := [number for number, line in enumerate(rest, 2) if len(line) != len(header)]:
        values = len(rest[wrong[0] - 2])
        raise UserError(f"{file}: line {wrong[0]} has {values} values, the first line names {len(header)} columns")
    return {title: [line[place].strip() for line in rest] for place, title in enumerate(header)}


def _read_parquet(file: pathlib.Path) -> dict[str, list[str]]:
    import pyarrow
    from pyarrow import parquet

    try:
        opened = parquet.ParquetFile(file)
        schema = opened.schema_arrow
        known = [name for name in schema.names if name.lower() in (*_PATHS, *_LABELS, *_SPLITS)]
        wanted = [name for name in known if _is_text(schema.field(name).type)]
        table = opened.read(columns=wanted)
    except pyarrow.ArrowException as error:
        raise ValueError(str(error)) from error
    inside = [name for name in known if name.lower() in _PATHS and holds_images(schema.field(name).type)]
    if inside and not any(name.lower() in _PATHS for name in wanted):
        raise ValueError(f"its column {inside[0]!r} has the images themselves: say hf:{file.parent}")
    found = {name: ["" if value is None else str(value) for value in table[name].to_pylist()] for name in wanted}
    return found or {name: [] for name in schema.names}


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    return types.is_string(kind) or types.is_large_string(kind) or types.is_integer(kind)


def _column(columns: Mapping[str, list[str]], known: Sequence[str], what: str, file: pathlib.Path) -> list[str]:
    """The column of a name that people give it; of several the likeliest."""
    lower = {name.lower(): name for name in columns}
    for name in known:
        if name in lower:
            return columns[lower[name]]
    there = ", ".join(columns) or "none"
    raise UserError(f"{file}: no column of {what} among {there}; call it {known[0]!r}; allowed: {', '.join(known)}")


def _mistake(path: str, label: str) -> str | None:
    if not path:
        return "no path"
    if not label:
        return f"{path} has no class"
    if "://" in path:
        return f"{path} is an address: nothing is downloaded here; fetch it, and list the file"
    return None


def _twice(rows: Sequence[tuple[str, str]]) -> list[str]:
    """Files that are listed more than once."""
    seen: dict[str, str] = {}
    found = []
    for path, label in rows:
        place = os.path.normpath(path)
        if place in seen:
            also = "" if seen[place] == label else f", as {seen[place]} and as {label}"
            found.append(f"{path} is listed twice{also}")
        seen[place] = label
    return found


def _refuse(mistakes: Sequence[str], path: pathlib.Path) -> None:
    if mistakes:
        more = f" and {len(mistakes) - _MISTAKES:,} more" if len(mistakes) > _MISTAKES else ""
        raise UserError(f"{path}: {len(mistakes):,} lines cannot be used: {'; '.join(mistakes[:_MISTAKES])}{more}")


def ordered(labels: set[str]) -> list[str]:
    """Classes in order: numbers by their value, names by the alphabet.

    >>> ordered({"10", "9"}), ordered({"b", "a", "10"})
    (['9', '10'], ['10', 'a', 'b'])
    """
    if all(label.isdecimal() for label in labels):
        return sorted(labels, key=int)
    return sorted(labels)


def split_of(found: ListedFiles, split: str, name: str) -> np.ndarray | None:
    """The rows of a split; None where nothing divides the images.

    Raises:
      UserError: if there is no such split.
    """
    if found.splits is None:
        return None
    if usual_name(split) not in found.splits:
        raise UserError(f"{name} has no split {split!r}; {nearest(split, tuple(found.splits))}")
    return found.splits[usual_name(split)]
