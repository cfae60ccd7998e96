"""COCO's JSON of boxes: read whole, and all that is wrong with it said at once."""

import math
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from effjax.files import damaged, read_json

_OTHERWISE = "export it again, in COCO's format for detection"
_LISTS = ("images", "annotations", "categories")


class Annotated(NamedTuple):
    """An image of the file and what it shows.

    Attributes:
      id: the official one.
      name: of the image's file.
      height: in pixels.
      width: likewise.
      boxes: y0, x0, y1, x1 in [0, 1] of the image, cut off at its edges.
      labels: of the boxes.
      crowd: of the boxes, whether they are around many that are not told apart.
    """

    id: int
    name: str
    height: int
    width: int
    boxes: list[tuple[float, float, float, float]]
    labels: list[int]
    crowd: list[bool]


class CocoFile(NamedTuple):
    """What a file says.

    Attributes:
      class_names: in the order of the categories' ids.
      images: in the order of their ids.
      wrong: a line for each mistake.
      empty: a line for each box without an area, of which there is none among the images' boxes.
    """

    class_names: tuple[str, ...]
    images: list[Annotated]
    wrong: list[str]
    empty: list[str]


def read_coco(file: pathlib.Path) -> CocoFile:
    """Reads a file of annotations.

    Args:
      file: with ``images``, ``annotations`` and ``categories``.

    Raises:
      UserError: if it cannot be read, or is of another form altogether.
    """
    data = read_json(file, _OTHERWISE)
    for key in _LISTS:
        if not isinstance(data, dict) or not isinstance(data.get(key), list):
            raise damaged(file, f"not in COCO's form: it has no list {key!r}", _OTHERWISE)
    wrong: list[str] = []
    categories = _by_id(data["categories"], "category", _category, wrong)
    names = [categories[id_] for id_ in sorted(categories)]
    wrong += [f"category {name!r} is there twice" for name in dict.fromkeys(names) if names.count(name) > 1]
    images = _by_id(data["images"], "image", _image, wrong)
    files: dict[str, int] = {}
    for id_, image in images.items():
        if (other := files.setdefault(image.name, id_)) != id_:
            wrong.append(f"image {id_} ({image.name}): image {other} is of the same file")
    empty: list[str] = []
    number_of = {id_: number for number, id_ in enumerate(sorted(categories))}
    for id_, annotation in _by_id(data["annotations"], "annotation", _annotation, wrong).items():
        said = f"annotation {id_} of image {annotation.image}"
        if (image := images.get(annotation.image)) is None:
            wrong.append(f"{said}: there is no such image")
            continue
        said = f"{said} ({image.name})"
        if annotation.category not in number_of:
            wrong.append(f"{said}: there is no category {annotation.category}")
        x, y, width, height = annotation.box
        if not (width > 0 and height > 0):
            empty.append(f"{said}: its box {list(annotation.box)} has no area")
            continue
        box = y / image.height, x / image.width, (y + height) / image.height, (x + width) / image.width
        box = tuple(min(max(side, 0.0), 1.0) for side in box)
        if not (box[0] < box[2] and box[1] < box[3]):
            wrong.append(
                f"{said}: its box {list(annotation.box)} lies outside the image of {image.width}×{image.height} pixels"
            )
        elif annotation.category in number_of:
            image.boxes.append(box)
            image.labels.append(number_of[annotation.category])
            image.crowd.append(annotation.crowd)
    return CocoFile(tuple(names), [images[id_] for id_ in sorted(images)], wrong, empty)


class _Annotation(NamedTuple):
    image: int
    category: int
    box: tuple[float, ...]
    crowd: bool


def _by_id(entries: list, kind: str, read: Callable[[Mapping[str, Any]], Any], wrong: list[str]) -> dict[int, Any]:
    found: dict[int, Any] = {}
    for place, entry in enumerate(entries):
        try:
            id_ = _whole(entry, "id")
            if id_ in found:
                wrong.append(f"{kind} {id_}{_named(entry)} is there twice")
            found[id_] = read(entry)
        except (KeyError, TypeError, ValueError) as error:
            said = f" {entry['id']}" if isinstance(entry, dict) and "id" in entry else ""
            why = f"it has no {error}" if isinstance(error, KeyError) else error
            wrong.append(f"{kind}{said}{_named(entry)}, number {place + 1} in the file: {why}")
    return found


def _named(entry: Any) -> str:
    """The image that an entry is, or is of."""
    named = (f" {text} {entry[key]!r}" for key, text in _NAMED_BY.items() if key in entry)
    return next(named, "") if isinstance(entry, dict) else ""


_NAMED_BY = {"file_name": "of file", "image_id": "of image", "name": "called"}


def _category(entry: Mapping[str, Any]) -> str:
    if not isinstance(entry["name"], str):
        raise ValueError(f"its name is {entry['name']!r}")
    return entry["name"]


def _image(entry: Mapping[str, Any]) -> Annotated:
    name, height, width = entry["file_name"], _whole(entry, "height"), _whole(entry, "width")
    if not isinstance(name, str) or not name or pathlib.PurePath(name).is_absolute() or ".." in name.split("/"):
        raise ValueError(f"its file_name {name!r} is no path below the folder")
    if not (height > 0 and width > 0):
        raise ValueError(f"its size is {width}×{height} pixels")
    return Annotated(entry["id"], name, height, width, [], [], [])


def _annotation(entry: Mapping[str, Any]) -> _Annotation:
    box, crowd = entry["bbox"], entry.get("iscrowd", 0)
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
        raise ValueError(f"its bbox {box!r} is not [x, y, width, height]")
    if crowd not in (0, 1):
        raise ValueError(f"its iscrowd is {crowd!r}")
    return _Annotation(_whole(entry, "image_id"), _whole(entry, "category_id"), tuple(box), bool(crowd))


def _whole(entry: Mapping[str, Any], key: str) -> int:
    if not isinstance(entry, dict):
        raise TypeError("it is no mapping")
    if not isinstance(entry[key], int) or isinstance(entry[key], bool):
        raise ValueError(f"its {key} is {entry[key]!r}, no whole number")
    return entry[key]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
