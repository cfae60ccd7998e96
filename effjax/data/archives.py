"""The archives that datasets are published as: where they lie, whether they are what they must be; fetching them."""

import hashlib
import http.client
import logging
import pathlib
import time
import urllib.request
from collections.abc import Sequence
from typing import BinaryIO, NamedTuple, cast

from effjax import files
from effjax.errors import UserError

_log = logging.getLogger("effjax")

_CHUNK = 2**20
_SECONDS_BETWEEN_LINES = 10.0
_TIMEOUT = 60.0  # seconds without a byte


class Archive(NamedTuple):
    """A file that a dataset is published as.

    Attributes:
      name: of the file.
      url: where it is published.
      size: in bytes; None where nobody has said so.
      sha256: hexadecimal; None likewise.
      by_hand: whether only people can get it, such as after they have agreed to a licence.
    """

    name: str
    url: str
    size: int | None = None
    sha256: str | None = None
    by_hand: bool = False


def archives_in(
    folder: pathlib.Path, archives: Sequence[Archive], dataset: str, *, download: bool, command: str
) -> dict[str, pathlib.Path]:
    """Finds archives in a folder, fetches those that are not there if that is allowed, and checks all of them.

    A download that was cut short goes on where it ended, the next time.

    Args:
      folder: where they lie, or are to lie.
      archives: what is needed.
      dataset: its name, for messages.
      download: whether they may be fetched.
      command: that fetches them, for messages.

    Returns:
      By name, where each lies.

    Raises:
      UserError: listing what is missing, and what to do; or naming a file that is not what it must be.
    """
    missing = missing_in(folder, archives, dataset, download=download, command=command)
    for archive in missing:
        _fetch(archive, folder / archive.name)
    for archive in archives:
        if archive not in missing:
            _check(archive, folder / archive.name)
    return {archive.name: folder / archive.name for archive in archives}


def missing_in(
    folder: pathlib.Path, archives: Sequence[Archive], dataset: str, *, download: bool, command: str
) -> list[Archive]:
    """The archives that are not there and may be fetched; arguments as for :func:`archives_in`.

    Raises:
      UserError: listing what may not be fetched, and what to do.
    """
    missing = [archive for archive in archives if not (folder / archive.name).is_file()]
    by_hand = [archive for archive in missing if archive.by_hand]
    if by_hand or (missing and not download):
        named = "; ".join(f"{archive.name} ({archive.url})" for archive in (by_hand or missing))
        how = "get" if by_hand else f"if you may, run: {command}; or get"
        raise UserError(f"dataset {dataset!r} must be downloaded: {how} {named} and put it into {folder}")
    return missing


def _fetch(archive: Archive, path: pathlib.Path) -> None:
    """Downloads a file into ``path.part``, from where an earlier attempt has ended, then renames it."""
    part = path.with_name(f"{path.name}.part")
    with files.storage(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        start = part.stat().st_size if part.exists() else 0
    if archive.size is None or start < archive.size:
        try:
            _read_into(archive, part, start)
        except files.StorageError:
            raise
        except (OSError, http.client.HTTPException) as error:  # with what urllib raises, a connection that breaks off
            reason = getattr(error, "reason", None) or error
            kept = f", {part} is kept: the same command goes on from there" if part.exists() else ""
            raise UserError(f"{archive.url} cannot be fetched ({reason}){kept}") from error
    _check(archive, part, partial=True)
    with files.storage(path):
        part.replace(path)


def _read_into(archive: Archive, part: pathlib.Path, start: int) -> None:
    request = urllib.request.Request(archive.url, headers={"Range": f"bytes={start}-"} if start else {})
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
        if start and answer.status != 206:  # it sends all of it
            start = 0
        done = said = time.perf_counter()
        size = start
        with _opened(part, start) as file:
            while chunk := answer.read(_CHUNK):
                size += len(chunk)
                with files.storage(part):  # what goes wrong while it is read is not the disk's fault
                    while chunk:  # a disk that gets full takes a part
                        chunk = chunk[file.write(chunk) :]
                now = time.perf_counter()
                if now - said > _SECONDS_BETWEEN_LINES:
                    said, speed = now, (size - start) / (now - done) / 2**20
                    of = f" of {archive.size / 2**20:,.0f}" if archive.size else ""
                    _log.info("%s: %s%s MiB, %.1f MiB a second", archive.name, f"{size / 2**20:,.0f}", of, speed)


def _opened(part: pathlib.Path, start: int) -> BinaryIO:
    """A file to write to from a place on; what follows there is thrown away. Not buffered: what is said is written."""
    with files.storage(part):
        file = cast(BinaryIO, part.open("r+b" if start else "wb", buffering=0))
        file.seek(start)
        file.truncate()
    return file


def _check(archive: Archive, path: pathlib.Path, *, partial: bool = False) -> None:
    """Compares a file with what was published.

    Raises:
      UserError: if it is something else; one that was fetched is removed.
    """
    with files.storage(path):
        size = path.stat().st_size
        wrong = archive.size is not None and size != archive.size
        said = f"it has {size:,} bytes, not {archive.size:,}" if wrong else ""
        if partial and wrong and archive.size is not None and size < archive.size:
            raise UserError(f"{archive.url}: {said}: the connection ended early; the same command goes on from there")
        if not wrong and archive.sha256 is not None:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            said = "" if found == archive.sha256 else f"its SHA-256 is {found}, not {archive.sha256}"
        if said and partial:
            path.unlink()
    if said:
        what = "it was removed; try again" if partial else "remove it, or get it anew"
        raise UserError(f"{path} is not what was published ({said}): {what}")
