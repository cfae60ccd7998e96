"""A folder of images, ``root/split/class/*.jpg`` or ``root/class/*.jpg``, every file of which is read once first."""

import functools
import logging
import os
import pathlib
import unicodedata
from collections.abc import Sequence

import numpy as np

from effjax.data.file_source import FileSource
from effjax.data.folder_layout import (
    SHARES,
    WHOLE,
    check_classes,
    check_spellings,
    folder_layout,
    part_name,
    split_folder,
    strays,
)
from effjax.data.image_files import find_images, is_folder, is_junk, named
from effjax.errors import UserError

_log = logging.getLogger("effjax")


class FolderSource(FileSource):
    """One split of an image folder. Global ids number the files in the order of their sorted paths."""

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
        root, divided = layout.root, layout.splits is None
        name = part_name(layout, split) if divided else split_folder(layout, split)
        if layout.splits is not None:
            check_classes(layout, name)
        classes = sorted(layout.classes if layout.splits is None else layout.splits[name])
        _check_names(classes, root)
        check_spellings(root, classes)
        if others := strays(layout):
            _say_once(f"folder {root}: beside its splits, passed over: {named(others)}")
        folder, place = (root, "") if divided else (root / name, f"{name}/")
        paths, labels = _listing(folder, classes)
        super().__init__(
            folder,
            paths,
            labels,
            classes,
            name=f"folder:{root}",
            split=split,
            image_size=image_size,
            cache_dir=cache_dir,
            remembered="" if divided else name,
            part=(name, shares) if divided and name != WHOLE else None,
        )
        self.root, self.paths = root, [place + path for path in self.paths]


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
