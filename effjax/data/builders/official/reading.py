"""What readers of official archives share: files out of tar archives, and what is said of those that are damaged."""

import contextlib
import gzip
import io
import pathlib
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any
from xml.etree import ElementTree

from effjax.errors import UserError

_DAMAGE = (
    *(tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, ElementTree.ParseError),
    *(EOFError, KeyError, ValueError, IndexError),
)


@contextlib.contextmanager
def reading(path: pathlib.Path) -> Iterator[None]:
    """Says which archive it is that cannot be read.

    Raises:
      UserError: naming the file.
    """
    try:
        yield
    except _DAMAGE as error:
        raise UserError(f"{path} cannot be read ({error or type(error).__name__}): get it anew") from error


def members(path: pathlib.Path, wanted: Callable[[str], Any]) -> Iterator[tuple[str, bytes]]:
    """The files of a tar archive, in its order, whose names are wanted: name and contents. Nothing is unpacked to disk.

    Raises:
      UserError: if it cannot be read.
    """
    with reading(path), tarfile.open(path, "r|*") as archive:  # as a stream: backwards, what is packed takes for ever
        for member in archive:
            name = member.name.removeprefix("./")
            if member.isfile() and wanted(name):
                file = archive.extractfile(member)
                assert file is not None  # it is a file
                yield name, file.read()


def member(path: pathlib.Path, wanted: set[str]) -> dict[str, bytes]:
    """Some files of a tar archive, by name.

    Raises:
      UserError: if one is not in it.
    """
    found: dict[str, bytes] = {}
    for name, contents in members(path, wanted.__contains__):
        found[name] = contents
        if len(found) == len(wanted):
            break
    if missing := sorted(wanted - found.keys()):
        raise UserError(f"{path} has no {', '.join(missing)}: get it anew")
    return found


def as_file(contents: bytes) -> io.BytesIO:
    """What TFDS takes for the encoded bytes of an image."""
    return io.BytesIO(contents)
