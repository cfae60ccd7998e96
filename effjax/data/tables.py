"""Arrays by example on disk, computed part by part: what is whole is kept, and what is not what was written is noticed.

A table is a folder. Each array ``[versions, ids, …]`` is an ordinary ``.npy`` file, of its full size from the start.
``parts.json`` says how many examples make a part, and of each part that is whole the SHA-256 of its bytes. A part is on
the disk before its hash is. So whatever a kill or a failing disk leaves is known part by part, and only what is missing
is computed anew. A table of an earlier version has no ``parts.json``; it was written whole.
"""

import dataclasses
import hashlib
import logging
import math
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from effjax.files import StorageError, read_arrays, read_json, storage, write_json, write_whole

_log = logging.getLogger("effjax")

PARTS_FILE, FACTS_FILE = "parts.json", "facts.json"
_CHUNK = 16 * 2**20  # bytes written at once while a file is made


class Table:
    """A table of what is known of some examples.

    Args:
      folder: its own.
      specs: by array, its shape ``[versions, ids, …]`` and dtype.
      ids: of the examples, ``[N]``, in the order in which they are computed.
      part: how many examples make a part, where that is not settled on disk already.

    Attributes:
      part: the same, once something has been read from the disk.
    """

    def __init__(self, folder: Path, specs: Mapping[str, Any], ids: np.ndarray, part: int):
        self.folder = Path(folder)
        self._files = {name: ArrayFile(self.folder / f"{name}.npy", specs[name]) for name in sorted(specs)}
        self._ids, self.part = np.asarray(ids), part
        self._hashes: dict[str, list[str | None]] = {}

    @property
    def nbytes(self) -> int:
        return sum(file.nbytes for file in self._files.values())

    def missing(self, *, say: bool = True) -> list[int]:
        """Reads all that is there, and returns the parts that are not, or are not what was written.

        Args:
          say: whether to name what is damaged.

        Raises:
          StorageError: if a file cannot be read at all.
        """
        warn = _log.warning if say else _log.debug
        noted = self._noted(warn)
        self._hashes = {name: list(hashes) for name, hashes in noted.items()}
        for name, file in self._files.items():
            file.close()  # another process may have made a new one
            why = file.unfit() if any(noted[name]) else ""
            if why:
                warn("%s is damaged (%s): it is computed anew", file.path, why)
                self._hashes[name] = [None] * self.num_parts
            for part, expected in enumerate(self._hashes[name]):
                if expected is not None and self._hash(file, part) != expected:
                    warn(
                        "%s is damaged (the examples %d to %d are not what was written): they are computed anew",
                        *(file.path, self.rows(part).start, self.rows(part).stop - 1),
                    )
                    self._hashes[name][part] = None
        return [part for part in range(self.num_parts) if None in [hashes[part] for hashes in self._hashes.values()]]

    @property
    def is_old(self) -> bool:
        """Whether this is a table of an earlier version, whole but without hashes."""
        if (self.folder / PARTS_FILE).exists() or not (self.folder / FACTS_FILE).exists():
            return False
        return not any(file.unfit() for file in self._files.values())

    def adopt(self) -> None:
        """Notes the hashes of a table that has none. Only whoever holds the folder may call it.

        Raises:
          StorageError: if that cannot be written.
        """
        self._hashes = {
            name: [self._hash(file, part) for part in range(self.num_parts)] for name, file in self._files.items()
        }
        self._note()

    def begin(self, facts: Mapping[str, Any]) -> list[int]:
        """Makes room for what is missing, and returns which parts that is. Only whoever holds the folder may call it.

        Args:
          facts: what determines the table, for people.

        Raises:
          StorageError: if the disk has no room for the whole table.
        """
        missing = self.missing()
        if missing:
            self._note()
            for file in self._files.values():
                if file.unfit():
                    file.make()
        if missing or not (self.folder / FACTS_FILE).exists():
            write_json(self.folder / FACTS_FILE, dict(facts))
        return missing

    def write(self, part: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Puts a part on the disk, and then its hashes.

        Args:
          part: which.
          arrays: of its examples, in their order, ``[versions, n, …]``.

        Raises:
          StorageError: if it cannot be written; all parts before are kept.
        """
        for name, file in self._files.items():
            file.write(self._ids[self.rows(part)], arrays[name])
        for name, file in self._files.items():
            self._hashes[name][part] = self._hash(file, part)
        self._note()

    def read(self) -> dict[str, np.ndarray]:
        """All of it, in memory."""
        return {name: read_arrays(file.path) for name, file in self._files.items()}

    def of(self, id_: int) -> dict[str, np.ndarray]:
        """What is known of one example, ``[versions, …]``, read from the disk."""
        return {name: file.of(id_) for name, file in self._files.items()}

    @property
    def num_parts(self) -> int:
        return math.ceil(len(self._ids) / self.part)

    def rows(self, part: int) -> slice:
        """The examples of a part, as positions among all."""
        return slice(part * self.part, min((part + 1) * self.part, len(self._ids)))

    def done(self) -> float:
        """Which share of the parts is there, by what another process has noted."""
        noted = self._noted(_log.debug).values()
        return min(sum(one is not None for one in hashes) for hashes in noted) / max(self.num_parts, 1)

    def _noted(self, warn: Callable[..., None]) -> dict[str, list[str | None]]:
        """The hashes on disk; none where the file is damaged, or not of these examples. Settles the parts' size."""
        path = self.folder / PARTS_FILE
        nothing: dict[str, list[str | None]] = {name: [None] * self.num_parts for name in self._files}
        if not path.exists():
            return nothing
        try:
            noted = read_json(path, "the table is computed anew")
        except StorageError as error:
            warn("%s", error)
            return nothing
        part, hashes = (noted.get("part", 0), noted.get("sha256", {})) if isinstance(noted, dict) else (0, {})
        fits = type(part) is int and part > 0 and isinstance(hashes, dict) and hashes.keys() == self._files.keys()
        if not fits or not all(_is_list(one, math.ceil(len(self._ids) / part)) for one in hashes.values()):
            warn("%s is damaged (it is not of these examples): the table is computed anew", path)
            return nothing
        self.part = part
        return {name: list(hashes[name]) for name in self._files}

    def _note(self) -> None:
        write_json(self.folder / PARTS_FILE, {"part": self.part, "sha256": self._hashes})

    def _hash(self, file: "ArrayFile", part: int) -> str:
        digest = hashlib.sha256()
        for data in file.parts_of(self._ids[self.rows(part)]):
            digest.update(data)
        return digest.hexdigest()


class ArrayFile:
    """A ``.npy`` file that is read and written row by row, so that memory does not grow with it.

    Args:
      path: of the file.
      spec: shape ``[versions, ids, …]`` and dtype.
    """

    def __init__(self, path: Path, spec: Any):
        self.path, self.shape, self.dtype = path, tuple(spec.shape), np.dtype(spec.dtype)
        self._row = math.prod(self.shape[2:]) * self.dtype.itemsize
        self._lock = threading.Lock()  # threads read side by side
        self._open: tuple[int, int] | None = None  # the file, and where its data begins

    def __getstate__(self) -> dict[str, Any]:
        """A process that this is sent to opens the file for itself."""
        return {**self.__dict__, "_lock": None, "_open": None}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def unfit(self) -> str:
        """Why the file cannot be used; empty where it can."""
        try:
            self._offset()
        except (OSError, ValueError, SyntaxError, EOFError) as error:  # what numpy says of a damaged header
            return " ".join(str(error).split())[:200] or type(error).__name__
        return ""

    def make(self) -> None:
        """Makes the file, NaN throughout, with all its room on the disk: so nothing runs out of it later.

        Raises:
          StorageError: if there is none.
        """
        self.close()
        nothing = np.nan if np.issubdtype(self.dtype, np.floating) else 0
        rows = np.full(max(min(_CHUNK, self.nbytes) // self.dtype.itemsize, 1), nothing, self.dtype).tobytes()

        def write(file) -> None:
            header = {"descr": np.lib.format.dtype_to_descr(self.dtype), "fortran_order": False, "shape": self.shape}
            np.lib.format.write_array_header_1_0(file, header)
            for start in range(0, self.nbytes, len(rows)):
                file.write(rows[: self.nbytes - start])

        write_whole(self.path, write)

    def write(self, ids: np.ndarray, rows: np.ndarray) -> None:
        """Writes ``rows [versions, n, …]`` of some ids; they are on the disk when this returns."""
        rows = np.ascontiguousarray(rows, self.dtype)
        with storage(self.path):
            offset = self._offset()
            file = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC)
            try:
                for version in range(self.shape[0]):
                    for first, start, stop in _runs(ids):
                        data = memoryview(rows[version, first : first + stop - start].tobytes())
                        at = self._at(offset, version, start)
                        while data:
                            written = os.pwrite(file, data, at)
                            data, at = data[written:], at + written
                os.fsync(file)
            finally:
                os.close(file)

    def parts_of(self, ids: np.ndarray) -> Iterator[bytes]:
        """The bytes of some ids, version by version."""
        with storage(self.path):
            for version in range(self.shape[0]):
                for _, start, stop in _runs(ids):
                    for at in range(start, stop, step := max(_CHUNK // max(self._row, 1), 1)):
                        yield self._pread(version, at, min(at + step, stop))

    def of(self, id_: int) -> np.ndarray:
        """The rows of one id, ``[versions, …]``."""
        if not 0 <= id_ < self.shape[1]:
            raise IndexError(id_)
        with storage(self.path):
            data = b"".join(self._pread(version, id_, id_ + 1) for version in range(self.shape[0]))
        return np.frombuffer(data, self.dtype).reshape(self.shape[0], *self.shape[2:])

    def close(self) -> None:
        with self._lock:
            if self._open is not None:
                os.close(self._open[0])
                self._open = None

    def __del__(self, close=os.close):  # when the interpreter ends, os may have gone before this
        if (opened := getattr(self, "_open", None)) is not None:
            close(opened[0])

    def _pread(self, version: int, start: int, stop: int) -> bytes:
        if self._open is None:
            with self._lock:
                if self._open is None:
                    offset = self._offset()
                    self._open = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC), offset
        length = (stop - start) * self._row
        file, offset = self._open
        data = os.pread(file, length, self._at(offset, version, start))
        if len(data) != length:
            raise StorageError(f"{self.path} is shorter than it was: run the same command again")
        return data

    def _at(self, offset: int, version: int, id_: int) -> int:
        return offset + (version * self.shape[1] + id_) * self._row

    def _offset(self) -> int:
        """Where the data begins.

        Raises:
          ValueError: if the file is of another shape or type, or is cut off.
        """
        with self.path.open("rb") as file:
            if np.lib.format.read_magic(file) != (1, 0):
                raise ValueError("not of numpy's format 1.0")
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
            offset = file.tell()
        if (shape, fortran, dtype) != (self.shape, False, self.dtype):
            raise ValueError(f"{dtype} {list(shape)} in the place of {self.dtype} {list(self.shape)}")
        if (size := self.path.stat().st_size) != offset + self.nbytes:
            raise ValueError(f"{size} bytes in the place of {offset + self.nbytes}")
        return offset


def _runs(ids: np.ndarray) -> Sequence[tuple[int, int, int]]:
    """Stretches of ids that follow one another: where each begins, its first id, the one after its last."""
    breaks = np.flatnonzero(np.diff(ids) != 1) + 1
    firsts = [0, *breaks.tolist()] if len(ids) else []
    lengths = np.diff([*firsts, len(ids)]).tolist()
    return [(first, int(ids[first]), int(ids[first]) + n) for first, n in zip(firsts, lengths, strict=True)]


def _is_list(hashes: Any, length: int) -> bool:
    return isinstance(hashes, list) and len(hashes) == length


@dataclasses.dataclass
class Lookup:
    """What a table on disk knows of an example, as further features of it: so it travels with the batch to the device.

    Attributes:
      prefix: what the features' names begin with; the arrays' own names follow.
      specs: as for :class:`Table`.
      table: where to look; set once it is whole.
    """

    prefix: str
    specs: Mapping[str, Any]
    table: Table | None = None

    def names(self) -> list[str]:
        return [f"{self.prefix}{name}" for name in sorted(self.specs)]

    def example(self) -> dict[str, np.ndarray]:
        """Features of the right shape, for those who look at shapes."""
        found = {name: np.zeros((s.shape[0], *s.shape[2:]), s.dtype) for name, s in self.specs.items()}
        return {f"{self.prefix}{name}": array for name, array in found.items()}

    def __call__(self, example: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The example with what is known of it."""
        found = cast(Table, self.table).of(int(example["id"]))
        return {**example, **{f"{self.prefix}{name}": array for name, array in found.items()}}
