"""Which files of a folder are images, at any depth; none is passed over in silence."""

import os
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

from PIL import Image, features

#: Of files that are taken for images. Files without an extension are looked into.
EXTENSIONS = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
EXTENSIONS |= {".avif", ".heic", ".heif"}
# What systems leave in folders without being asked. Names that begin with a dot are hidden, and no one's either.
_JUNK = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir", "lost+found", "$recycle.bin"}
_JUNK |= {"system volume information"}
_NAMED = 5  # in one line; more are counted


class Listing(NamedTuple):
    """The files below a folder, relative to it and sorted, but for what systems leave there.

    Attributes:
      images: by their extension, or their first bytes where they have none.
      others: the rest.
    """

    images: list[str]
    others: list[str]


def find_images(root: str | pathlib.Path) -> Listing:
    """Lists all files below a folder. Links to folders are followed, each folder once."""
    found = Listing([], [])
    _walk(os.fspath(root), "", found, set())
    return Listing(sorted(found.images), sorted(found.others))


def holds_images(folder: str | pathlib.Path) -> bool:
    """Whether an image lies right in a folder."""
    with os.scandir(folder) as entries:
        return any(not is_junk(entry.name) and not is_folder(entry) and is_image(entry) for entry in entries)


def is_junk(name: str) -> bool:
    """Whether a file or folder is one that a system leaves behind, or hides."""
    return name.startswith(".") or name.lower() in _JUNK


def named(paths: Sequence[str]) -> str:
    """The first of some paths, and how many more there are."""
    more = f" and {len(paths) - _NAMED:,} more" if len(paths) > _NAMED else ""
    return f"{', '.join(paths[:_NAMED])}{more}"


def why_unreadable(path: str | os.PathLike, error: Exception) -> str:
    """One line for what is wrong with an image, without its path; with what to do where it is not the file's fault."""
    extension = os.path.splitext(path)[1].lower()
    if extension in (".heic", ".heif"):
        return "HEIC is not read here: convert it to JPEG, e.g. with heif-convert"
    if extension == ".avif" and not features.check("avif"):
        return "this Pillow reads no AVIF: install Pillow 11.3 or newer, or convert it to JPEG"
    return " ".join(str(error).replace(os.fspath(path), "the file").split()) or type(error).__name__


def _walk(folder: str, below: str, found: Listing, seen: set[tuple[int, int]]) -> None:
    status = os.stat(folder)
    if (status.st_dev, status.st_ino) in seen:
        return
    seen.add((status.st_dev, status.st_ino))
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            path = f"{below}{entry.name}"
            if is_junk(entry.name):
                continue
            if is_folder(entry):
                _walk(entry.path, f"{path}/", found, seen)
            elif is_image(entry):
                found.images.append(path)
            else:
                found.others.append(path)


def is_folder(entry: os.DirEntry) -> bool:
    """Whether an entry is a folder, or a link to one."""
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def is_image(entry: os.DirEntry) -> bool:
    """Whether an entry is a file that is taken for an image."""
    extension = os.path.splitext(entry.name)[1].lower()
    try:
        if extension or not entry.is_file():
            return extension in EXTENSIONS and entry.is_file()
        with Image.open(entry.path):
            return True
    except Exception:  # Pillow's readers raise nearly anything on what is none of theirs
        return False
