"""Image files that have been read to their end, remembered so that the next start reads only what has changed."""

import contextlib
import hashlib
import os
import pathlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from PIL import Image

from effjax import files
from effjax.data.decode import GREY_MODES, decode_image, orientation_of
from effjax.data.image_files import why_unreadable
from effjax.errors import UserError

_LISTED = 20  # broken files named in one message; more are counted


class FileFacts(NamedTuple):
    """What a file was when it was read to its end: the first two say whether it still is."""

    bytes: int
    modified: int  # nanoseconds
    height: int
    width: int
    grey: bool
    digest: str  # of its contents
    orientation: int  # as EXIF says that the camera was held; height and width are of the picture upright


def check_files(
    folder: pathlib.Path, paths: Sequence[str], cache_dir: str | pathlib.Path | None, name: str
) -> list[FileFacts]:
    """Reads every image once, in threads.

    Args:
      folder: that the paths are relative to.
      paths: of the images.
      cache_dir: where to remember them; None remembers nothing.
      name: of what is remembered, for a person who looks there.

    Raises:
      UserError: naming those that cannot be read.
    """
    results = read_files(folder, paths, cache_dir, name)
    broken = [
        f"{os.path.join(folder, path)} ({result})"
        for path, result in zip(paths, results, strict=True)
        if isinstance(result, str)
    ]
    if broken:
        more = f" and {len(broken) - _LISTED} more" if len(broken) > _LISTED else ""
        raise UserError(
            f"{len(broken)} images cannot be read, replace or remove them: {', '.join(broken[:_LISTED])}{more}"
        )
    return [result for result in results if not isinstance(result, str)]


def read_files(
    folder: pathlib.Path, paths: Sequence[str], cache_dir: str | pathlib.Path | None, name: str
) -> list[FileFacts | str]:
    """As :func:`check_files`, with what is wrong with a file as text in its place. Then nothing is remembered."""
    cache_file = _cache_file(cache_dir, folder, name)
    known = _read_cache(cache_file)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(lambda path: _check(os.path.join(folder, path), known.get(path)), paths))
    checked = {path: result for path, result in zip(paths, results, strict=True) if not isinstance(result, str)}
    if cache_file is not None and len(checked) == len(paths) and checked != known:
        _write_cache(cache_file, checked)
    return results


def remembered(cache_dir: str | pathlib.Path | None, holders: Sequence[str], stamp: Sequence) -> list[FileFacts] | None:
    """What :func:`remembering` has kept of the images inside some files, if these are as they were."""
    known = _read_packed(_cache_file(cache_dir, pathlib.Path("\0".join(holders)), "packed"))
    return known[1] if known and known[0] == list(stamp) else None


def remembering(
    cache_dir: str | pathlib.Path | None, holders: Sequence[str], stamp: Sequence, facts: Sequence[FileFacts]
) -> None:
    """Keeps what was found of the images inside some files, whose sizes and times are ``stamp``."""
    cache_file = _cache_file(cache_dir, pathlib.Path("\0".join(holders)), "packed")
    if cache_file is not None:
        with contextlib.suppress(files.StorageError):
            files.write_sealed_json(cache_file, {"stamp": list(stamp), "facts": list(facts)})


def digest_of(path: str) -> str:
    """A name for the contents of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _check(path: str, known: FileFacts | None) -> FileFacts | str:
    """Reads one image to its end. Returns what is wrong with it as text."""
    try:
        status = os.stat(path)
        if known is not None and (status.st_size, status.st_mtime_ns) == (known.bytes, known.modified):
            return known
        with Image.open(path) as image:
            grey, orientation = image.mode in GREY_MODES, orientation_of(image)
        height, width, _ = decode_image(path, channels=3).shape
        return FileFacts(status.st_size, status.st_mtime_ns, height, width, grey, digest_of(path), orientation)
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
        return why_unreadable(path, error)


def _cache_file(cache_dir: str | pathlib.Path | None, folder: pathlib.Path, name: str) -> pathlib.Path | None:
    if cache_dir is None:
        return None
    key = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return files.home_expanded(cache_dir) / "checked_folders" / f"{name or 'all'}_{key}.json"


def _read_cache(cache_file: pathlib.Path | None) -> dict[str, FileFacts]:
    """What was remembered; nothing if it is damaged, or not what this version writes."""
    if cache_file is None:
        return {}
    try:
        return {path: FileFacts(*check) for path, check in files.read_sealed_json(cache_file).items()}
    except (files.StorageError, ValueError, TypeError, AttributeError):
        return {}


def _read_packed(cache_file: pathlib.Path | None) -> tuple[list, list[FileFacts]] | None:
    if cache_file is None:
        return None
    try:
        known = files.read_sealed_json(cache_file)
        return known["stamp"], [FileFacts(*fact) for fact in known["facts"]]
    except (files.StorageError, ValueError, TypeError, KeyError):
        return None


def _write_cache(cache_file: pathlib.Path, checked: Mapping[str, FileFacts]) -> None:
    with contextlib.suppress(files.StorageError):  # a read-only data_dir costs the next start time, nothing else
        files.write_sealed_json(cache_file, checked)
