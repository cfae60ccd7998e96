"""Eight photos with boxes in COCO's JSON, of the kinds that there are: written into a folder."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

#: By file: (width, height) as annotated, and how it is stored.
PHOTOS = {
    "a.jpg": ((40, 40), "jpeg"),
    "b.png": ((60, 30), "png"),
    "c.jpg": ((30, 60), "turned"),  # stored as 60×30, with EXIF's note that it is to be turned; annotated upright
    "d.jpg": ((60, 30), "stored"),  # likewise, but annotated as it is stored
    "e.png": ((32, 32), "grey"),
    "f.jpg": ((50, 40), "jpeg"),  # without boxes
    "sub/g.png": ((40, 40), "png"),
    "h.jpg": ((44, 40), "jpeg"),
}
CATEGORIES = {7: "cat", 3: "dog", 90: "bird"}  # by id; classes are in the order of the ids
CLASSES = ("dog", "cat", "bird")
#: By file: [x, y, width, height], category, and whether it is a crowd.
BOXES = {
    "a.jpg": [((4, 8, 20, 12), 7, 0), ((0, 0, 40, 40), 3, 1)],
    "b.png": [((20, 10, 20, 10), 3, 0), ((0, 0, 10, 10), 90, 0), ((10, 0, 10, 30), 7, 0)],
    "c.jpg": [((10, 30, 10, 20), 90, 0)],
    "d.jpg": [((20, 10, 30, 10), 7, 0)],
    "e.png": [((0, 0, 16, 16), 3, 0)],
    "f.jpg": [],
    "sub/g.png": [((30, 30, 12, 9.5), 7, 0)],  # reaches out of the image
    "h.jpg": [((2, 0, 40, 40), 3, 0)],
}
BACKGROUND, INK = 40, 200


def picture(name: str) -> Image.Image:
    """Upright, as annotated unless it is stored otherwise; its first box that is no crowd is bright."""
    (width, height), kind = PHOTOS[name]
    pixels = np.full((height, width, 3), BACKGROUND, np.uint8)
    for (x, y, w, h), _, crowd in BOXES[name][:1]:
        assert not crowd
        pixels[int(y) : int(y + h), int(x) : int(x + w)] = (INK, INK, INK) if kind == "grey" else (INK, 90, 90)
    return Image.fromarray(pixels)


def write_images(folder, names=tuple(PHOTOS)) -> None:
    for name in names:
        path, kind = folder / name, PHOTOS[name][1]
        path.parent.mkdir(parents=True, exist_ok=True)
        image, exif = picture(name), Image.Exif()
        if kind in ("turned", "stored"):
            exif[0x0112] = 6  # to be turned by 90° clockwise
            image = image.transpose(Image.Transpose.ROTATE_90) if kind == "turned" else image
            image.save(path, quality=95, exif=exif)
        elif kind == "grey":
            image.convert("L").save(path)
        else:
            image.save(path, **({"quality": 95} if kind == "jpeg" else {}))


def annotations(names=tuple(PHOTOS)) -> dict[str, Any]:
    """The JSON, in no order; ids of images are 10, 20, … in the order of the names."""
    images, boxes = [], []
    for number, name in enumerate(names):
        (width, height), _ = PHOTOS[name]
        images.append({"id": 10 * (number + 1), "file_name": name, "width": width, "height": height, "license": 1})
        for box, category, crowd in BOXES[name]:
            one = {"id": 900_100_000_000 + len(boxes), "image_id": 10 * (number + 1), "category_id": category}
            boxes.append({**one, "bbox": list(box), "iscrowd": crowd, "area": box[2] * box[3], "segmentation": []})
    categories = [{"id": id_, "name": name, "supercategory": "animal"} for id_, name in CATEGORIES.items()]
    return {"info": {}, "images": images[::-1], "annotations": boxes, "categories": categories}


def write_plain(root, file="annotations.json", images="", change: Callable[[dict], Any] = lambda data: None) -> None:
    """One file with the images beside it, or in a folder; something of the JSON may be changed first."""
    write_images(root / images)
    data = annotations()
    change(data)
    (root / file).write_text(json.dumps(data))


def write_official(root) -> None:
    (root / "annotations").mkdir(parents=True)
    names = tuple(PHOTOS)
    for split, part in (("train2017", names[:5]), ("val2017", names[5:])):
        write_images(root / split, part)
        (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(annotations(part)))
    (root / "annotations" / "captions_train2017.json").write_text("{}")
