"""How an image folder is laid out: ``root/split/class/…``, or without splits, ``root/class/…``."""

import os
import pathlib
import unicodedata
from collections.abc import Collection, Sequence
from typing import NamedTuple

from effjax.data.image_files import holds_images, is_folder, is_image, is_junk
from effjax.errors import UserError, nearest
from effjax.files import home_expanded

#: The splits that a folder without any is divided into, and of what size: of 100 images, 80, 10 and 10.
PARTS = ("train", "validation", "test")
SHARES = (80, 10, 10)
#: All images of a folder without splits.
WHOLE = "all"
# What people call the same split.
_ALIKE = (("train", "training"), ("validation", "val", "valid", "dev"), ("test", "testing"))


class Layout(NamedTuple):
    """Where the classes of an image folder lie.

    Attributes:
      root: the folder.
      splits: the classes of each split that there is, or None: ``root`` holds the classes themselves.
      classes: those of a folder without splits.
    """

    root: pathlib.Path
    splits: dict[str, list[str]] | None
    classes: list[str]


def folder_layout(root: str | pathlib.Path, split: str = "") -> Layout:
    """Looks whether the folders in ``root`` are splits or classes.

    They are splits if one of them has a split's usual name, or that of the split asked for, and holds folders; classes
    if images lie right in one of them. Otherwise they are splits if all hold folders of the same names.

    Args:
      root: the folder.
      split: that is asked for.

    Raises:
      UserError: if there are no images so laid out.
    """
    root = home_expanded(root).absolute()
    below = {name: _folders(path) for name, path in (_folders(root) if root.is_dir() else {}).items()}
    splits = {name: sorted(classes) for name, classes in below.items() if classes}
    if any(name == split or _usual(name) for name in splits):
        return Layout(root, splits, [])
    if any(holds_images(root / name) for name in below) or len({tuple(classes) for classes in splits.values()}) > 1:
        return Layout(root, None, sorted(below))
    if splits:
        return Layout(root, splits, [])
    raise UserError(f"folder {root} holds no images laid out as {root}/SPLIT/CLASS/*.jpg or {root}/CLASS/*.jpg")


def split_folder(layout: Layout, split: str) -> str:
    """The folder of a split, which may also be called as others call it: ``validation``, ``val``.

    Raises:
      UserError: if there is none.
    """
    splits = layout.splits or {}
    if (found := same_split(splits, split)) is not None:
        return found
    allowed = f"{nearest(split, splits)}{_what_to_do(layout, split)}"
    raise UserError(f"folder {layout.root} has no split {split!r}; {allowed}")


def usual_name(split: str) -> str:
    """What a split is called here, whatever others call it: ``validation`` for ``val``."""
    return (*_usual(split), split)[0]


def strays(layout: Layout) -> list[str]:
    """What lies beside the splits of a folder and looks as if it were meant: images, and folders that hold some."""
    if layout.splits is None:
        return []
    with os.scandir(layout.root) as entries:
        rest = [entry for entry in entries if entry.name not in layout.splits and not is_junk(entry.name)]
        meant = [one for one in rest if (holds_images(one.path) if is_folder(one) else is_image(one))]
        return sorted(one.name for one in meant)


def same_split(splits: Collection[str], split: str) -> str | None:
    """Which of the splits is meant, whatever people call it: ``val`` for ``validation``; None if none is.

    >>> same_split(["train", "val"], "validation")
    'val'
    """
    if split in splits:
        return split
    alike = _usual(split) or (split.lower(),)
    found = [name for name in splits if name.lower() in alike]
    return found[0] if len(found) == 1 else None


def check_classes(layout: Layout, split: str) -> None:
    """Refuses splits with different classes, by the names of their folders.

    Raises:
      UserError: naming the classes.
    """
    splits = layout.splits or {}
    for other, classes in splits.items():
        if different := sorted({*classes} ^ {*splits[split]}):
            if {*map(_composed, classes)} == {*map(_composed, splits[split])}:
                raise UserError(
                    f"folder {layout.root}: splits {split!r} and {other!r} write the accents of {different[0]} in "
                    "different ways, as one letter and as two: rename the folders of one of them"
                )
            raise UserError(
                f"folder {layout.root}: splits {split!r} and {other!r} have different classes: only one of them has "
                f"{', '.join(different)}"
            )


def check_spellings(root: pathlib.Path, classes: Sequence[str]) -> None:
    """Refuses two classes of one name, which systems write in different ways.

    Raises:
      UserError: naming it.
    """
    seen: set[str] = set()
    for name in map(_composed, classes):
        if name in seen:
            raise UserError(
                f"folder {root}: two folders are called {name}, with accents as one letter and as two: put their "
                "images into one of them"
            )
        seen.add(name)


def check_shares(shares: Sequence[float], key: str = "config.data.split") -> None:
    """Refuses shares of train, validation and test that cannot be.

    Raises:
      UserError: naming the key.
    """
    numbers = isinstance(shares, tuple | list) and len(shares) == len(PARTS)
    if not numbers or not all(_is_share(share) for share in shares) or sum(shares) <= 0:
        raise UserError(f"{key}={shares!r} must be the shares of train, validation and test, e.g. {SHARES}")


def parts_of(shares: Sequence[float]) -> list[str]:
    """The names of the splits of a folder without any."""
    return [name for name, share in zip(PARTS, shares, strict=True) if share]


def part_name(layout: Layout, split: str) -> str:
    """One of ``PARTS`` or ``WHOLE``, which may also be called as others call it.

    Raises:
      UserError: if it is none of them.
    """
    name = usual_name(split)
    if name in (*PARTS, WHOLE):
        return name
    raise UserError(
        f"folder {layout.root} has no split {split!r}: its folders are classes, divided by config.data.split; "
        f"{nearest(split, (*PARTS, WHOLE))}"
    )


def _usual(name: str) -> tuple[str, ...]:
    """What people call a split of this name; the name that it has here first."""
    return next((names for names in _ALIKE if name.lower() in names), ())


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _is_share(share: object) -> bool:
    return isinstance(share, int | float) and not isinstance(share, bool) and 0 <= share < 1e9


def _folders(path: pathlib.Path) -> dict[str, pathlib.Path]:
    return {child.name: child for child in sorted(path.iterdir()) if child.is_dir() and not is_junk(child.name)}


def _what_to_do(layout: Layout, split: str) -> str:
    splits = layout.splits or {}
    if len(splits) == 1 and not any(map(_usual, splits)):
        return f"; if what lies in it are splits or classes, say folder:{layout.root / next(iter(splits))}"
    if _usual(split):
        source = next((name for name in splits if _usual(name) == _usual("train")), next(iter(splits)))
        return f"; or take parts of one, e.g. {source}[:80%] to train and {source}[80%:] in its place"
    return ""
