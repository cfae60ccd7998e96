"""The numbers of a pool's files: what has a number keeps it, whatever is added to the folder or taken away.

They are noted in parts, ``part_0000.json`` and so on, each the files that were new at one start. A part is never
changed, and made by one process only, so that several may share the folder.
"""

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from effjax.errors import UserError
from effjax.files import partial_of, read_json, storage, write_text

_WHAT_TO_DO = "put it back from a copy, or remove the whole folder: ledgers say the numbers of all that was asked"


class Numbers(NamedTuple):
    """The numbers of a pool's files, which are the global ids of its examples.

    Attributes:
      paths: by number, relative to the pool; empty where nobody knows.
      parts: how many were numbered at each start.
      gone: the numbers of files that are not there, or not as they were.
    """

    paths: Sequence[str]
    parts: Sequence[int]
    gone: frozenset[int]


def number_files(
    folder: Path,
    listing: Sequence[str],
    asked: Mapping[int, str] | None = None,
    *,
    same: Collection[int] = (),
    changed: Collection[int] = (),
) -> Numbers:
    """Numbers what is new in a pool, after all that has a number.

    Args:
      folder: where the numbers are noted; made if it is not there.
      listing: the files that are there, in the order in which new ones are numbered.
      asked: numbers that ledgers name, with their files: they hold even where the notes are lost.
      same: numbers whose files are known to be as they were.
      changed: numbers whose files are there with other contents. A file that no number is left for gets another.

    Raises:
      UserError: if notes are damaged, or contradict the ledgers.
    """
    asked, there = asked or {}, set(listing)
    while True:
        parts = read_numbers(folder)
        paths = [path for part in parts for path in part]
        for id_, path in asked.items() if parts else ():
            if id_ >= len(paths) or paths[id_] not in (path, ""):
                raise UserError(f"{folder} does not give number {id_} to {path}, as a ledger does: {_WHAT_TO_DO}")
        usable = [id_ for id_, path in enumerate(paths) if path in there and id_ not in changed]
        usable += sorted((id_ for id_ in same if id_ < len(paths) and paths[id_] in there), reverse=True)
        holds = {paths[id_]: id_ for id_ in usable}  # of each file that is there, the number that it has now
        new = [path for path in listing if path not in holds] if parts else placed(listing, asked)
        if not new:
            gone = (id_ for id_, path in enumerate(paths) if holds.get(path) != id_)
            return Numbers(paths, [len(part) for part in parts], frozenset(gone))
        _add(folder / f"part_{len(parts):04d}.json", len(paths), new)


def placed(listing: Sequence[str], asked: Mapping[int, str]) -> list[str]:
    """The files in their order, but for those that ledgers have given a place."""
    known = set(asked.values())
    rest = [path for path in listing if path not in known]
    found: list[str] = []
    at = 0
    for id_ in range(max(asked, default=-1) + 1):
        if id_ in asked:
            found.append(asked[id_])
        else:
            found += rest[at : at + 1] or [""]
            at += 1
    return found + rest[at:]


def read_numbers(folder: Path) -> list[list[str]]:
    """The paths that were numbered at each start.

    Raises:
      UserError: if notes are damaged.
    """
    parts: list[list[str]] = []
    with storage(folder):
        names = {entry.name for entry in os.scandir(folder)} if folder.is_dir() else set()
    count = sum(name.startswith("part_") and name.endswith(".json") for name in names)
    for number in range(count):
        path = folder / f"part_{number:04d}.json"
        if path.name not in names:
            raise UserError(f"{path} is missing: {_WHAT_TO_DO}")
        found = read_json(path, _WHAT_TO_DO)
        first = sum(map(len, parts))
        if not isinstance(found, dict) or found != _content(first, found.get("paths", ())):
            raise UserError(f"{path} is damaged (its checksum does not fit): {_WHAT_TO_DO}")
        parts.append(found["paths"])
    return parts


def _content(first: int, paths: Sequence[str]) -> dict:
    digest = hashlib.sha256(json.dumps([first, paths]).encode()).hexdigest()
    return {"first": first, "paths": paths, "check": digest}


def _add(path: Path, first: int, new: Sequence[str]) -> None:
    """Writes a part unless another process has just done so."""
    partial = partial_of(path)
    write_text(partial, json.dumps(_content(first, new)))
    try:
        os.link(partial, path)
    except OSError as error:
        if error.errno in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK):  # a file system without links
            with storage(path):
                os.replace(partial, path)
        elif error.errno != errno.EEXIST:
            with storage(path):
                raise
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()
