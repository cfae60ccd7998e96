"""A folder of images, ``root/split/class/*.jpg`` or ``root/class/*.jpg``, every file of which is read once first."""

import functools
import logging
import os
import pathlib
import unicodedata
from collections.abc import Iterator, Sequence

import numpy as np

from effjax.data.base import DatasetInfo, Example, Source, labelled_images, no_column, resized
from effjax.data.checked_files import FileFacts, check_files
from effjax.data.decode import decode_image
from effjax.data.folder_layout import (
    PARTS,
    SHARES,
    WHOLE,
    check_classes,
    check_spellings,
    folder_layout,
    part_name,
    split_folder,
    strays,
)
from effjax.data.image_files import find_images, is_folder, is_junk, named, why_unreadable
from effjax.data.stratified import drawing_order, part_rows
from effjax.errors import UserError

_log = logging.getLogger("effjax")


class FolderSource:
    """One split of an image folder. Global ids number the files in the order of their sorted paths.

    Attributes:
      root: the folder.
      paths: of the files below it, by id.
      digests: of their contents, ``[N]`` bytes.
    """

    def __init__(
        self,
        root: str | pathlib.Path,
        split: str,
        *,
        image_size: int | None = None,
        cache_dir: str | pathlib.Path | None = None,
        shares: Sequence[float] = SHARES,
    ):
        """Lists the split and reads every file once, in threads.

        Args:
          root: the folder that holds ``split/class/*.jpg``, or ``class/*.jpg``; images may lie deeper, too.
          split: the name of a folder in it; where there are only classes, one of the parts that they are drawn into,
            ``train``, ``validation`` or ``test``, or ``all``.
          image_size: as in ``load``.
          cache_dir: where to remember which files have been read, so that the next start reads only new and
            changed ones; None remembers nothing.
          shares: of the parts that a folder without splits is drawn into.

        Raises:
          UserError: no such split, a class folder without images, splits with different classes, unreadable or
            truncated images (all of them in one message), or sizes that differ without an ``image_size``.
        """
        layout = folder_layout(root, split)
        root, self.divided = layout.root, layout.splits is None
        name = part_name(layout, split) if self.divided else split_folder(layout, split)
        if layout.splits is not None:
            check_classes(layout, name)
        classes = sorted(layout.classes if layout.splits is None else layout.splits[name])
        _check_names(classes, root)
        check_spellings(root, classes)
        if others := strays(layout):
            _say_once(f"folder {root}: beside its splits, passed over: {named(others)}")
        folder, place = (root, "") if self.divided else (root / name, f"{name}/")
        paths, labels = _listing(folder, classes)
        checked = check_files(folder, paths, cache_dir, "" if self.divided else name)
        self._channels = 1 if all(check.grey for check in checked) else 3
        shape = (*_common_size([str(folder / path) for path in paths], checked, image_size), self._channels)
        digests = np.array([check.digest for check in checked], np.bytes_)
        if self.divided and name != WHOLE:
            rows = part_rows(labels, paths, digests, shares, PARTS.index(name))
            if not rows.size:
                raise UserError(
                    f"folder {root}: config.data.split={tuple(shares)} gives {name} none of its {len(paths)} images: "
                    "give it a larger share, or add images"
                )
            paths, labels, digests = [paths[row] for row in rows], labels[rows], digests[rows]
        self.paths, self.digests = [place + path for path in paths], digests
        self.root, self._labels, self._image_size = root, labels, image_size
        self.info = DatasetInfo(f"folder:{root}", split, len(paths), tuple(classes), labelled_images(shape))

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[Example]:
        return (self[row] for row in range(len(self)))

    def __getitem__(self, row: int) -> Example:
        return {
            "image": self._pixels(os.path.join(self.root, self.paths[row])),
            "label": np.asarray(self._labels[row], np.int32),
            "id": np.asarray(row, np.int32),
        }

    def _pixels(self, path: str) -> np.ndarray:
        """Raises ``UserError`` if the file is no longer what it was when it was checked."""
        try:
            return decode_image(path, self._channels, self._image_size)
        except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
            why = why_unreadable(path, error)
            raise UserError(
                f"{path} can no longer be read ({why}): put it back as it was, then run the same command again"
            ) from error

    def at_size(self, image_size: int) -> Source:
        return resized(self, image_size)

    def ids(self) -> np.ndarray:
        return np.arange(len(self))

    def column(self, name: str) -> np.ndarray:
        if name not in ("label", "id"):
            raise no_column(self, name)
        return self._labels if name == "label" else self.ids()

    def drawing_order(self) -> np.ndarray:
        """The ids in an order whose beginning is a sample of all classes; see ``stratified``."""
        return drawing_order(self._labels, self.paths)


def _check_names(classes: Sequence[str], root: pathlib.Path) -> None:
    """Refuses names that no report, table or terminal can show."""
    for name in classes:
        if any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
            raise UserError(
                f"folder {root}: the class {name!r} is no text in UTF-8 that can be shown: rename its folder"
            )


def _listing(folder: pathlib.Path, classes: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """The images below the folders of the classes, relative to ``folder``, and their labels."""
    paths: list[str] = []
    labels: list[int] = []
    others = sorted(entry.name for entry in os.scandir(folder) if not is_folder(entry) and not is_junk(entry.name))
    empty = []
    for label, name in enumerate(classes):
        found = find_images(folder / name)
        paths += [f"{name}/{path}" for path in found.images]
        labels += [label] * len(found.images)
        others += [f"{name}/{path}" for path in found.others]
        if not found.images:
            empty.append(name)
    if empty:
        raise UserError(f"folder {folder}: no images in class folders {', '.join(empty)}; add some or remove them")
    if others:
        _say_once(f"folder {folder}: no images of a class, passed over: {named(others)}")
    return paths, np.array(labels, np.int32)


@functools.cache
def _say_once(message: str) -> None:
    _log.warning("%s", message)


def _common_size(paths: Sequence[str], checked: Sequence[FileFacts], image_size: int | None) -> tuple[int, int]:
    if image_size is not None:
        return image_size, image_size
    examples = {(check.height, check.width): path for path, check in zip(paths, checked, strict=True)}
    if len(examples) > 1:
        (a, path_a), (b, path_b), *_ = examples.items()
        raise UserError(
            f"images differ in size ({path_a} is {a[1]}×{a[0]}, {path_b} is {b[1]}×{b[0]}): set image_size, e.g. 224"
        )
    return next(iter(examples))
