"""Where COCO's JSON and the images that it is of lie in a folder."""

import pathlib
import re
from typing import NamedTuple

from effjax.data.folder_layout import usual_name
from effjax.errors import UserError
from effjax.files import home_expanded

_OFFICIAL = re.compile(r"instances_((train|val|test)\w*)\.json")
_PLAIN = ("annotations.json", "_annotations.coco.json")


class CocoPart(NamedTuple):
    """A file of annotations.

    Attributes:
      file: the JSON.
      folders: that its images may lie in, the likelier first.
      published: whether it is called as the official ones are, which nobody mends.
    """

    file: pathlib.Path
    folders: tuple[pathlib.Path, ...]
    published: bool = False


class CocoLayout(NamedTuple):
    """What lies in a folder.

    Attributes:
      root: the folder.
      splits: by our names; None where one file is of all.
      whole: that file.
    """

    root: pathlib.Path
    splits: dict[str, CocoPart] | None
    whole: CocoPart | None


def coco_layout(root: str | pathlib.Path) -> CocoLayout:
    """Looks how a folder is laid out.

    ``annotations/instances_train2017.json`` with ``train2017/*.jpg``, as COCO is published; or one file
    ``annotations.json`` or ``_annotations.coco.json`` with the images beside it or in ``images/``; or a folder with
    such a file for each split, ``train/``, ``valid/`` and ``test/``.

    Args:
      root: the folder.

    Raises:
      UserError: if it is none of these, or there is a choice of files.
    """
    root = home_expanded(root).absolute()
    found = [match for path in sorted(root.glob("annotations/*.json")) if (match := _OFFICIAL.fullmatch(path.name))]
    if found:
        parts = [
            (match[2], CocoPart(root / "annotations" / match[0], (root / match[1], root / "images" / match[1]), True))
            for match in found
        ]
        return CocoLayout(root, _by_split(root, parts), None)
    if (whole := _plain(root)) is not None:
        return CocoLayout(root, None, whole)
    folders = [path for path in sorted(root.iterdir()) if path.is_dir()] if root.is_dir() else []
    parts = [(path.name, part) for path in folders if (part := _plain(path)) is not None]
    usual = [(name, part) for name, part in parts if usual_name(name) in ("train", "validation", "test")]
    if not usual:
        raise UserError(
            f"coco:{root}: no annotations are there; allowed: annotations/instances_train2017.json with "
            f"train2017/*.jpg, or {' or '.join(_PLAIN)} with images beside it or in images/, or a folder with these "
            "for each split, e.g. train/ and valid/"
        )
    return CocoLayout(root, _by_split(root, usual), None)


def _by_split(root: pathlib.Path, parts: list[tuple[str, CocoPart]]) -> dict[str, CocoPart]:
    found: dict[str, CocoPart] = {}
    for name, part in parts:
        name = usual_name(name)
        if name in found:
            raise UserError(
                f"coco:{root}: {found[name].file.relative_to(root)} and {part.file.relative_to(root)} are both of the "
                f"split {name!r}: put one of them elsewhere"
            )
        found[name] = part
    return found


def _plain(folder: pathlib.Path) -> CocoPart | None:
    there = [folder / name for name in _PLAIN if (folder / name).is_file()]
    if len(there) > 1:
        raise UserError(f"coco:{folder}: {' and '.join(_PLAIN)} are both there: put one of them elsewhere")
    return CocoPart(there[0], (folder / "images", folder)) if there else None
