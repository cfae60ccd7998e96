"""Files that are written whole or not at all, and what is said of those that cannot be written or read."""

import contextlib
import errno
import hashlib
import io
import json
import os
import secrets
import socket
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from effjax.errors import UserError

_AGAIN = "remove it, then run the same command again"
#: How the names of files end that are still being written. Nobody reads them; :func:`sweep` removes old ones.
PARTIAL = ".partial"
_SEAL = "seal"

_WHAT_TO_DO = {
    errno.ENOSPC: "make room, then run the same command again",
    errno.EDQUOT: "the quota is used up: make room, then run the same command again",
    errno.EFBIG: "it is larger than a file may be here: raise the limit (ulimit -f), then run the same command again",
    errno.EACCES: "give the rights to do so, or name another folder",
    errno.EPERM: "give the rights to do so, or name another folder",
    errno.EROFS: "the file system is read-only: name another folder",
    errno.EIO: "the disk or the network behind it fails: look at it, then run the same command again",
    errno.ESTALE: "the network file system has lost it: mount it again, then run the same command again",
    errno.EMFILE: "too many files are open: raise the limit (ulimit -n)",
}


class StorageError(UserError):
    """A file that cannot be written or read. The message names it and says what to do."""


def storage_message(error: OSError, path: str | os.PathLike[str] | None = None) -> str:
    """One line for what the operating system says of a file.

    Args:
      error: what it says.
      path: of the file, where the error does not name it.
    """
    where = error.filename if error.filename is not None else path
    if path is not None and str(where).endswith(PARTIAL):  # which is nobody's but ours
        where = path
    said = error.strerror or str(error)
    what = _WHAT_TO_DO.get(error.errno or 0, "")
    return f"{where}: {said[:1].lower()}{said[1:]}" + (f": {what}" if what else "")


def storage_fault(error: Exception) -> OSError | None:
    """The operating system's error, of which libraries make text, where not what lies there is at fault; else None."""
    if isinstance(error, OSError) and error.errno in _WHAT_TO_DO:
        return error
    code = next((code for code in _WHAT_TO_DO if os.strerror(code) in str(error)), None)
    return None if code is None else OSError(code, os.strerror(code))


def home_expanded(path: str | os.PathLike[str]) -> Path:
    """A path whose ``~`` is the home it means; one of nobody's home, which no folder is called, stays as it is."""
    return Path(os.path.expanduser(path))


@contextlib.contextmanager
def storage(path: str | os.PathLike[str]) -> Generator[None, None, None]:
    """Reports what goes wrong with a file in one line.

    Raises:
      StorageError: for an ``OSError``.
    """
    try:
        yield
    except OSError as error:
        raise StorageError(storage_message(error, path)) from error


def partial_of(path: str | os.PathLike[str]) -> Path:
    """A name beside ``path`` to write to first. No other process has it: not on this host, not in another container."""
    path = Path(path)
    return path.with_name(f".{path.name}.{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}{PARTIAL}")


def sweep(folder: str | os.PathLike[str]) -> None:
    """Removes what killed processes have left half written in a folder. Only whoever holds the folder may call it."""
    for path in Path(folder).glob(f".*{PARTIAL}"):
        with contextlib.suppress(OSError):
            path.unlink()


def _sweep_of(path: Path) -> None:
    """Removes what processes of this host that have ended have left of one file."""
    for name in os.listdir(path.parent):
        start = f".{path.name}.{socket.gethostname()}-"
        if not (name.startswith(start) and name.endswith(PARTIAL)):
            continue
        writer = name.removeprefix(start).partition("-")[0]
        if writer.isdecimal() and not _runs(int(writer)):
            with contextlib.suppress(OSError):
                (path.parent / name).unlink()


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # it is another user's, or no process's
        return True
    return True


def write_whole(path: str | os.PathLike[str], write: Callable[[BinaryIO], Any]) -> None:
    """Writes a file whole or not at all; it is on the disk when this returns.

    What a killed process has left of the same file goes: it is written again by whoever goes on.

    Args:
      path: the file; its folder is made if it is not there.
      write: gets the file, open for bytes.

    Raises:
      StorageError: if it cannot be written; what was there before is still there.
    """
    path = Path(path)
    with storage(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep_of(path)
        partial = partial_of(path)
        try:
            with partial.open("wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
        except BaseException:
            with contextlib.suppress(OSError):
                partial.unlink()
            raise


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes UTF-8 text as :func:`write_whole` does."""
    write_whole(path, lambda file: file.write(text.encode()))


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Writes JSON as :func:`write_whole` does, indented by two."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def with_seal(value: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping for JSON with a checksum of itself beside its keys, which :func:`read_json` compares and takes out."""
    value = json.loads(json.dumps(dict(value)))  # as it is read: tuples are lists
    return {**value, _SEAL: _seal(value)}


def read_json(path: str | os.PathLike[str], otherwise: str = _AGAIN) -> Any:
    """Reads a JSON file that effjax has written; arguments and errors as :func:`read_arrays`."""
    value = _parsed(path, lambda data: json.loads(data.decode()), otherwise)
    if isinstance(value, dict) and _SEAL in value and value.pop(_SEAL) != _seal(value):
        raise damaged(path, "its checksum is another", otherwise)
    return value


def write_sealed_json(path: str | os.PathLike[str], value: Any) -> None:
    """Writes JSON with a checksum of its own, which :func:`read_sealed_json` compares."""
    value = json.loads(json.dumps(value))  # as it is read: tuples are lists
    write_text(path, json.dumps({"sha256": _seal(value), "value": value}) + "\n")


def read_sealed_json(path: str | os.PathLike[str], otherwise: str = _AGAIN) -> Any:
    """Reads what :func:`write_sealed_json` has written; arguments and errors as :func:`read_json`."""
    stored = read_json(path, otherwise)
    if not isinstance(stored, dict) or set(stored) != {"sha256", "value"} or stored["sha256"] != _seal(stored["value"]):
        raise damaged(path, "its checksum is another", otherwise)
    return stored["value"]


def _seal(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def read_arrays(path: str | os.PathLike[str], otherwise: str = _AGAIN) -> Any:
    """Reads a ``.npy`` file as an array, a ``.npz`` file as a mapping of arrays; nothing in it is executed.

    Args:
      path: the file.
      otherwise: what to do if it is damaged.

    Raises:
      StorageError: if it cannot be read or is damaged.
    """

    def arrays(data: bytes) -> Any:
        found = np.load(io.BytesIO(data), allow_pickle=False)
        return found if isinstance(found, np.ndarray) else {name: found[name] for name in found.files}

    return _parsed(path, arrays, otherwise)


def _parsed(path: str | os.PathLike[str], parse: Callable[[bytes], Any], otherwise: str) -> Any:
    with storage(path):
        data = Path(path).read_bytes()
    try:
        return parse(data)
    except Exception as error:  # numpy and zipfile raise nearly anything on damaged bytes
        raise damaged(path, error, otherwise) from error


def damaged(path: str | os.PathLike[str], error: object, otherwise: str) -> StorageError:
    """The error for a file whose contents cannot be what was written."""
    reason = " ".join(str(error).split())[:200]
    return StorageError(f"{path} is damaged ({reason}): {otherwise}")


#: A spreadsheet takes a cell that begins with one of these for a formula, and computes it.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def spreadsheet_safe(text: str) -> str:
    """Makes text for a cell of a CSV file that no spreadsheet takes for a formula: with an apostrophe before it.

    Args:
      text: that others chose, such as a file's name; :func:`spreadsheet_text` gives it back.
    """
    return f"'{text}" if text.lstrip("'").startswith(_FORMULA) else text


def spreadsheet_text(cell: str) -> str:
    """The text that :func:`spreadsheet_safe` made a cell of; or that it would have, if a person has typed it."""
    return cell[1:] if cell.startswith("'") and cell.lstrip("'").startswith(_FORMULA) else cell
