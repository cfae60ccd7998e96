"""A folder of images, ``root/split/class/*.jpg``, every file of which is read once before training starts."""

import hashlib
import json
import os
import pathlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from PIL import Image

from effjax.data.base import DatasetInfo, Example, Source, resized
from effjax.data.decode import decode_image
from effjax.errors import UserError, nearest

#: Of files that are taken for images.
EXTENSIONS = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
_LISTED = 20  # broken files named in one message; more are counted


class _Checked(NamedTuple):
    """What a file was when it was read to its end: the first two say whether it still is."""

    bytes: int
    modified: int  # nanoseconds
    height: int
    width: int
    grey: bool


class FolderSource:
    """One split of an image folder. Global ids number the files in the order of their sorted paths."""

    def __init__(
        self,
        root: str | pathlib.Path,
        split: str,
        *,
        image_size: int | None = None,
        cache_dir: str | pathlib.Path | None = None,
    ):
        """Lists the split and reads every file once, in threads.

        Args:
            root: the folder that holds ``split/class/*.jpg``.
            split: the name of a folder in it.
            image_size: as in ``load``.
            cache_dir: where to remember which files have been read, so that the next start reads only new and
                changed ones; None remembers nothing.

        Raises:
            UserError: no such split, a class folder without images, splits with different classes, unreadable or
                truncated images (all of them in one message), or sizes that differ without an ``image_size``.
        """
        root = pathlib.Path(root).expanduser().absolute()
        classes = _class_names(root, split)
        self._paths, self._labels = _listing(root / split, classes)
        checked = _check_all(self._paths, _cache_file(cache_dir, root, split))
        self._channels = 1 if all(check.grey for check in checked) else 3
        self._image_size = image_size
        self.info = DatasetInfo(
            name=f"folder:{root}",
            split=split,
            num_examples=len(self._paths),
            class_names=tuple(classes),
            image_shape=(*_common_size(self._paths, checked, image_size), self._channels),
        )

    def __len__(self) -> int:
        return len(self._paths)

    def __iter__(self) -> Iterator[Example]:
        return (self[row] for row in range(len(self)))

    def __getitem__(self, row: int) -> Example:
        return {
            "image": decode_image(self._paths[row], self._channels, self._image_size),
            "label": np.asarray(self._labels[row], np.int32),
            "id": np.asarray(row, np.int32),
        }

    def at_size(self, image_size: int) -> Source:
        return resized(self, image_size)

    def labels(self) -> np.ndarray:
        return self._labels


def folder_splits(root: str | pathlib.Path) -> dict[str, set[str]]:
    """The splits of an image folder and the classes of each.

    Raises:
        UserError: if there is none.
    """
    root = pathlib.Path(root).expanduser().absolute()
    splits = {name: set(_folders(path)) for name, path in (_folders(root) if root.is_dir() else {}).items()}
    splits = {name: classes for name, classes in splits.items() if classes}
    if not splits:
        raise UserError(f"folder {root} holds no images laid out as {root}/SPLIT/CLASS/*.jpg")
    return splits


def _folders(path: pathlib.Path) -> dict[str, pathlib.Path]:
    return {child.name: child for child in sorted(path.iterdir()) if child.is_dir() and child.name[0] != "."}


def _class_names(root: pathlib.Path, split: str) -> list[str]:
    splits = folder_splits(root)
    if split not in splits:
        raise UserError(f"folder {root} has no split {split!r}; {nearest(split, splits)}")
    for other, classes in splits.items():
        if different := sorted(classes ^ splits[split]):
            raise UserError(
                f"folder {root}: splits {split!r} and {other!r} have different classes: only one of them has "
                f"{', '.join(different)}"
            )
    return sorted(splits[split])


def _listing(folder: pathlib.Path, classes: list[str]) -> tuple[list[str], np.ndarray]:
    paths, labels, empty = [], [], []
    for label, name in enumerate(classes):
        files = [
            entry.path
            for entry in os.scandir(folder / name)
            if entry.is_file() and os.path.splitext(entry.name)[1].lower() in EXTENSIONS and entry.name[0] != "."
        ]
        paths += sorted(files)
        labels += [label] * len(files)
        if not files:
            empty.append(name)
    if empty:
        raise UserError(f"folder {folder}: no images in class folders {', '.join(empty)}; add some or remove them")
    return paths, np.array(labels, np.int32)


def _check_all(paths: list[str], cache_file: pathlib.Path | None) -> list[_Checked]:
    known = _read_cache(cache_file)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(lambda path: _check(path, known.get(path)), paths))
    broken = [f"{path} ({result})" for path, result in zip(paths, results, strict=True) if isinstance(result, str)]
    if broken:
        more = f" and {len(broken) - _LISTED} more" if len(broken) > _LISTED else ""
        raise UserError(
            f"{len(broken)} images cannot be read, replace or remove them: {', '.join(broken[:_LISTED])}{more}"
        )
    if cache_file is not None:
        _write_cache(cache_file, dict(zip(paths, results, strict=True)))
    return results


def _check(path: str, known: _Checked | None) -> _Checked | str:
    """Reads one image to its end. Returns what is wrong with it as text."""
    try:
        status = os.stat(path)
        if known is not None and (status.st_size, status.st_mtime_ns) == (known.bytes, known.modified):
            return known
        with Image.open(path) as image:
            grey = image.mode in ("1", "L")
        height, width, _ = decode_image(path, channels=3).shape
        return _Checked(status.st_size, status.st_mtime_ns, height, width, grey)
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
        return " ".join(str(error).replace(path, "the file").split())


def _common_size(paths: list[str], checked: list[_Checked], image_size: int | None) -> tuple[int, int]:
    if image_size is not None:
        return image_size, image_size
    examples = {(check.height, check.width): path for path, check in zip(paths, checked, strict=True)}
    if len(examples) > 1:
        (a, path_a), (b, path_b), *_ = examples.items()
        raise UserError(
            f"images differ in size ({path_a} is {a[1]}×{a[0]}, {path_b} is {b[1]}×{b[0]}): set image_size, e.g. 224"
        )
    return next(iter(examples))


def _cache_file(cache_dir: str | pathlib.Path | None, root: pathlib.Path, split: str) -> pathlib.Path | None:
    if cache_dir is None:
        return None
    key = hashlib.sha256(f"{root}/{split}".encode()).hexdigest()[:16]
    return pathlib.Path(cache_dir).expanduser() / "checked_folders" / f"{split}_{key}.json"


def _read_cache(cache_file: pathlib.Path | None) -> dict[str, _Checked]:
    try:
        return {path: _Checked(*check) for path, check in json.loads(cache_file.read_bytes()).items()}
    except (AttributeError, OSError, ValueError, TypeError):  # none, not there, or not what we wrote
        return {}


def _write_cache(cache_file: pathlib.Path, checked: dict[str, _Checked]) -> None:
    partial = cache_file.with_suffix(f".{os.getpid()}")
    try:
        cache_file.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(checked))
        partial.replace(cache_file)
    except OSError:
        pass  # a read-only data_dir costs the next start time, nothing else
