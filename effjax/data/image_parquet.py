"""Images and classes in parquet files, as they are published on the Hugging Face hub, without its library."""

import bisect
import collections
import functools
import json
import pathlib
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

import numpy as np

from effjax.data.saved_arrow import image_and_label
from effjax.errors import UserError

_KEPT = 256 << 20  # bytes of row groups that a process keeps


class _Told(NamedTuple):
    """What a file says of itself.

    Attributes:
      image: the column of images.
      label: the column of classes.
      classes: their names, where the file says them.
      groups: how many rows each row group has.
    """

    image: str
    label: str
    classes: tuple[str, ...] | None
    groups: tuple[int, ...]


class ParquetColumns:
    """The images and classes of parquet files, whose rows follow one another.

    A file is read by whole row groups, since parts of them cannot be. Those that were read last are kept, up to 256
    MiB in each process, so that a small dataset is read once, and of a large one no more than that lies in memory.
    There an image in random order costs its row group: of 100, as the library writes them, about what decoding it
    takes; of 1,000 ten times that.

    Attributes:
      files: these.
      classes: their names, where the files say them.

    Args:
      files: with columns of the same names.
      beside: files of other splits, which have the same classes.

    Raises:
      UserError: if one cannot be read, lacks a column, or has other classes than the first.
    """

    def __init__(self, files: Sequence[pathlib.Path], beside: Sequence[pathlib.Path] = ()):
        self.files = tuple(files)
        told = [_told(file) for file in self.files]
        self._image, self._label, self.classes, _ = told[0]
        for file, other in zip(self.files, told, strict=True):
            if (other.image, other.label) != (self._image, self._label):
                raise UserError(
                    f"{file}: its images and classes are {other.image!r} and {other.label!r}, those of "
                    f"{self.files[0].name} are {self._image!r} and {self._label!r}; it is of another dataset"
                )
        others = {**dict(zip(self.files, told, strict=True)), **{file: _told_if_any(file) for file in beside}}
        for file, other in others.items():
            if other is not None and other.classes != self.classes:
                raise UserError(f"{file}: its classes are not those of {self.files[0].name}; it is of another dataset")
        self._groups = [(number, group) for number, one in enumerate(told) for group in range(len(one.groups))]
        self._starts = np.cumsum([0, *(rows for one in told for rows in one.groups)]).tolist()
        self._counts = [sum(one.groups) for one in told]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_recent"}

    def __len__(self) -> int:
        return self._starts[-1]

    @functools.cached_property
    def _recent(self) -> "_Recent":
        return _Recent()

    def names(self) -> list[str]:
        """What each image is called: its file, and its row there."""
        files = zip(self.files, self._counts, strict=True)
        return [f"{file.name}/{row:08}" for file, count in files for row in range(count)]

    def labels(self) -> tuple[list[str], list[str]]:
        """The class of each row, empty where it is not known, and what is wrong with it, else empty."""
        from pyarrow import ArrowException

        values: list[Any] = []
        for file in self.files:
            try:
                with _opened(file) as opened:
                    values += opened.read(columns=[self._label]).column(self._label).to_pylist()
            except (OSError, ArrowException) as error:
                raise _unreadable(file, error) from error
        pairs = [self._class(value) for value in values]
        return [label for label, _ in pairs], [wrong for _, wrong in pairs]

    def _class(self, value: Any) -> tuple[str, str]:
        if value is None or value == "":
            return "", "no class"
        if self.classes is None:
            return str(value), ""
        if 0 <= value < len(self.classes):
            return self.classes[value], ""
        # The library writes -1 where a label is not known, as in test sets that others measure.
        return "", "no class" if value == -1 else f"class {value}, but there are names of {len(self.classes)}"

    def image(self, row: int) -> bytes:
        """The bytes of an image file.

        Raises:
          ValueError: if the row has none.
        """
        place = bisect.bisect_right(self._starts, row) - 1
        number, group = self._groups[place]
        column = self._recent.column(self.files[number], group, self._image)
        found = column[row - self._starts[place]].as_py()
        data = found.get("bytes") if isinstance(found, dict) else found
        if data:
            return data
        path = found.get("path") if isinstance(found, dict) else None
        raise ValueError(f"not in the file itself, but at {path}: embed the images" if path else "it has no bytes")


class _Recent:
    """The row groups that were read last. Threads that want the same one wait for whoever reads it."""

    def __init__(self):
        self._lock = threading.Lock()
        self._columns: collections.OrderedDict[tuple[pathlib.Path, int], Future] = collections.OrderedDict()
        self._facts: dict[pathlib.Path, Any] = {}

    def column(self, file: pathlib.Path, group: int, name: str) -> Any:
        """One column of a row group."""
        key = file, group
        with self._lock:
            mine = key not in self._columns
            future = self._columns.setdefault(key, Future())
            self._columns.move_to_end(key)
        if mine:
            try:
                future.set_result(self._read(file, group, name))
            except BaseException as error:
                future.set_exception(error)
                with self._lock:
                    self._columns.pop(key, None)
            else:
                self._forget()
        return future.result()

    def _read(self, file: pathlib.Path, group: int, name: str) -> Any:
        # A reader is not for several threads at once. What it takes it long to find out, they share.
        with _opened(file, self._facts.get(file)) as opened:
            self._facts[file] = opened.metadata
            return opened.read_row_group(group, columns=[name], use_threads=False).column(name)

    def _forget(self) -> None:
        with self._lock:
            done = [(key, f.result().nbytes) for key, f in self._columns.items() if f.done() and not f.exception()]
            total = sum(size for _, size in done)
            for key, size in done[:-1]:
                if total <= _KEPT:
                    return
                total -= size
                del self._columns[key]


def holds_images(kind: Any) -> bool:
    """Whether a column of an Arrow type holds encoded images: bytes, or a struct that has some."""
    from pyarrow import types

    if types.is_struct(kind):
        return (place := kind.get_field_index("bytes")) >= 0 and holds_images(kind.field(place).type)
    return types.is_binary(kind) or types.is_large_binary(kind)


def _told(file: pathlib.Path) -> _Told:
    """What a file says of its columns.

    Raises:
      UserError: if it cannot be read, or has no column of images or classes.
    """
    from pyarrow import ArrowException, types

    try:
        with _opened(file) as opened:
            facts, schema = opened.metadata, opened.schema_arrow
    except (OSError, ArrowException) as error:
        raise _unreadable(file, error) from error
    said = _features((facts.metadata or {}).get(b"huggingface"))
    features = {field.name: _feature(said.get(field.name), field.type) for field in schema}
    image, label, classes = image_and_label(features, file)
    if not holds_images(kind := schema.field(image).type):
        raise UserError(f"{file}: its column {image!r} is {kind}; images are binary, or a struct of bytes and path")
    kind = schema.field(label).type
    is_number, is_text = types.is_integer(kind), types.is_string(kind) or types.is_large_string(kind)
    if not (is_number or (is_text and classes is None)):
        allowed = "numbers" if classes else "numbers or texts"
        raise UserError(f"{file}: its column {label!r} is {kind}; classes are {allowed}")
    groups = tuple(facts.row_group(group).num_rows for group in range(facts.num_row_groups))
    return _Told(image, label, classes, groups)


def _told_if_any(file: pathlib.Path) -> _Told | None:
    try:
        return _told(file)
    except UserError:  # which is said where it is read
        return None


def _features(stored: bytes | None) -> dict[str, Any]:
    """What the library has noted of a file's columns, if it wrote it."""
    try:
        found = json.loads(stored or b"{}")["info"]["features"]
    except (ValueError, KeyError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


def _feature(said: Any, kind: Any) -> dict[str, Any]:
    """What a column is: as it was noted, else by its type."""
    if isinstance(said, dict) and said.get("_type") not in (None, "Value"):
        return said
    return {"_type": "Image" if holds_images(kind) else "Value"}


def _opened(file: pathlib.Path, facts: Any = None) -> Any:
    from pyarrow import parquet

    return parquet.ParquetFile(file, metadata=facts)


def _unreadable(file: pathlib.Path, error: Exception) -> UserError:
    return UserError(f"{file} cannot be read: {' '.join(str(error).split())}")
