"""A round's images and boxes in COCO's JSON: written for people to draw on, and read again."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from effjax.errors import refuse, shown
from effjax.files import damaged, read_json
from effjax.recipes.active.oracles.base import Query
from effjax.recipes.active.oracles.drawn import drawn_box, is_number
from effjax.tasks.box_answers import BoxAnswers

_LISTS = ("images", "annotations", "categories")
_OTHERWISE = "export it again, in COCO's format for detection; or throw it away, and it is written anew"
_LISTED = 30  # mistakes in one message; more are counted


def coco_json(
    queries: Sequence[Query], sizes: Mapping[int, tuple[int, int]], names: Mapping[int, str], answers: BoxAnswers
) -> str:
    """The images of a round, with what a network proposes for them.

    Args:
      queries: what is asked.
      sizes: by id, (height, width) of the pictures in pixels.
      names: by id, those of their files.
      answers: what is answered with.
    """
    images, annotations = [], []
    for query in queries:
        height, width = sizes[query.id]
        images.append({"id": query.id, "file_name": names[query.id], "width": width, "height": height})
        for one, score in zip(*(query.proposed or ([], []))[:2], strict=True):
            y0, x0, y1, x1 = (side * of for side, of in zip(one["box"], (height, width) * 2, strict=True))
            box = [round(value, 2) for value in (x0, y0, x1 - x0, y1 - y0)]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": query.id,
                    "category_id": answers.classes.index(one["class"]) + 1,
                    "bbox": box,
                    "area": round(box[2] * box[3], 2),
                    "iscrowd": 0,
                    "segmentation": [],
                    "score": score,
                }
            )
    models = {query.proposed.model for query in queries if query.proposed}
    info = {"description": f"boxes proposed by {', '.join(sorted(models))}" if models else "no boxes yet"}
    categories = [{"id": number, "name": name} for number, name in enumerate(answers.classes, start=1)]
    page = {"info": info, "images": images, "annotations": annotations, "categories": categories}
    return json.dumps(page, indent=1) + "\n"


def read_drawn(
    path: Path, sizes: Mapping[int, tuple[int, int]], round_: int, asked: Sequence[int], answers: BoxAnswers
) -> dict[int, list[dict[str, Any]]]:
    """By id, the boxes of each image that a file lists, as an answer has them. Of its ids, none need be as written.

    Args:
      path: the file.
      sizes: by id, (height, width) of the pictures, as far as they are known.
      round_: whose images they are.
      asked: all ids that were asked in it.
      answers: what is answered with.

    Raises:
      UserError: with a line for each mistake.
    """
    page = read_json(path, _OTHERWISE)
    for key in _LISTS:
        if not isinstance(page, dict) or not isinstance(page.get(key), list):
            raise damaged(path, f"not in COCO's form: it has no list {key!r}", _OTHERWISE)
    wrong: list[str] = []
    images = dict(_images(page["images"], sizes, round_, set(asked), wrong))
    listed = {one.get("id") for one in page["images"] if isinstance(one, dict) and _is_id(one.get("id"))}
    classes = dict(_entries(page["categories"], "category", wrong))
    found: dict[int, list[dict[str, Any]]] = {image.query: [] for image in images.values()}
    for id_, entry in _entries(page["annotations"], "annotation", wrong):
        image = _of(images, entry.get("image_id"))
        where = f"image {image.name if image else shown(entry.get('image_id'))}, annotation {id_}"
        if image is None:
            if not _is_id(entry.get("image_id")) or entry["image_id"] not in listed:  # else it is said of the image
                wrong.append(f"{where}: there is no such image in the file")
            continue
        category = _of(classes, entry.get("category_id"))
        try:
            corners = _corners(entry)
            if category is None:
                raise ValueError(f"there is no category {shown(entry.get('category_id'))} in the file")
            found[image.query].append(drawn_box(corners, image.size, category.get("name"), answers))
        except ValueError as error:
            wrong.append(f"{where}: {error}")
    refuse_all(path, wrong)
    return found


def refuse_all(path: Path, wrong: Sequence[str]) -> None:
    """Refuses a file, with a line for each of its mistakes, and one that says that nothing was taken over.

    Raises:
      UserError: if there are any.
    """
    more = [f"and {len(wrong) - _LISTED:,} more"] if len(wrong) > _LISTED else []
    refuse(f"{path}: {line}: nothing was taken over" for line in [*wrong[:_LISTED], *more])


class _Image(NamedTuple):
    query: int
    name: str
    size: tuple[float, float]


def _images(
    entries: list, sizes: Mapping[int, tuple[int, int]], round_: int, asked: set[int], wrong: list[str]
) -> Iterator[tuple[Any, _Image]]:
    seen: dict[int, Any] = {}
    for id_, entry in _entries(entries, "image", wrong):
        name: Any = entry.get("file_name")
        stem = re.fullmatch(r"(?:.*[\\/])?(\d{1,18})\.\w+", name) if isinstance(name, str) else None
        query = int(stem[1]) if stem else None
        size: tuple[Any, Any] = entry.get("height"), entry.get("width")
        if query is None:
            wrong.append(f"image {id_}: its file_name {shown(name)} is none of the pictures")
        elif query not in asked:
            wrong.append(f"image {name}: it was not asked for in round {round_}")
        elif query in seen:
            wrong.append(f"image {name}: it is there twice, as {seen[query]} and as {id_}")
        elif not all(is_number(side) and side > 0 for side in size):
            wrong.append(f"image {name}: its height and width are {shown(size[0])} and {shown(size[1])}")
        elif size != sizes.get(query, size):
            height, width = sizes[query]
            wrong.append(f"image {name}: it says {size[1]}×{size[0]} pixels, the picture has {width}×{height}")
        else:
            seen[query] = id_
            yield id_, _Image(query, name, size)


def _entries(entries: list, kind: str, wrong: list[str]) -> Iterator[tuple[Any, Mapping[str, Any]]]:
    """By id; an id that is there twice is none."""
    seen: set[Any] = set()
    for place, entry in enumerate(entries, start=1):
        id_ = entry.get("id") if isinstance(entry, dict) else None
        where = ""
        if kind == "annotation" and isinstance(entry, dict):
            where = f"image {shown(entry.get('image_id'))}, "
        if not _is_id(id_):
            wrong.append(f"{where}{kind} {place} of the file: it has no id that is a whole number")
        elif id_ in seen:
            wrong.append(f"{where}{kind} {id_}: this id is there twice")
        else:
            seen.add(id_)
            yield id_, entry


def _corners(entry: Mapping[str, Any]) -> tuple[float, float, float, float]:
    """y0, x0, y1, x1 in pixels.

    Raises:
      ValueError: if it is no upright box of one thing.
    """
    box, more = entry.get("bbox"), entry.get("attributes")
    if not box and entry.get("segmentation"):
        raise ValueError("it has an outline and no box: draw a box around it")
    if not isinstance(box, list) or len(box) != 4 or not all(map(is_number, box)):
        raise ValueError(f"its bbox {shown(box)} is not [x, y, width, height]")
    turned = more.get("rotation") if isinstance(more, dict) else None
    if is_number(turned) and turned % 360:
        raise ValueError(f"its box is rotated by {turned:g}°: draw it upright")
    if entry.get("iscrowd", 0) not in (0, False):
        raise ValueError("it is a crowd (iscrowd): draw a box around each thing")
    x, y, width, height = box
    return y, x, y + height, x + width


def _of(found: Mapping[Any, Any], id_: Any) -> Any:
    return found.get(id_) if _is_id(id_) else None


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
