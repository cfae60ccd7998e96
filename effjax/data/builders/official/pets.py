"""Oxford-IIIT Pet: cats and dogs of 37 breeds, with the boxes of their heads and their outlines."""

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import tensorflow_datasets as tfds
from PIL import Image

from effjax.data.builders.official.reading import as_file, members, reading
from effjax.errors import UserError

_LISTS = {"train": "trainval.txt", "test": "test.txt"}
_SIDES = ("ymin", "xmin", "ymax", "xmax")


def splits(archives: Mapping[str, Path], info: Any) -> dict[str, Iterator[tuple[str, dict[str, Any]]]]:
    """The examples of train and test, with the keys that TFDS gives them.

    Photos that are no JPEG, or one of another kind than three colours, are written anew as one.

    Args:
      archives: by name, where they lie.
      info: TFDS's, of the dataset.

    Raises:
      UserError: if something is missing, or cannot be read.
    """
    notes = archives["annotations.tar.gz"]
    found = dict(members(notes, lambda name: name.endswith((".txt", ".xml", ".png")) and "/._" not in name))
    return {
        split: _examples(archives["images.tar.gz"], notes, found, f"annotations/{name}")
        for split, name in _LISTS.items()
    }


def _examples(photos: Path, notes: Path, found: Mapping[str, bytes], listed: str) -> Iterator:
    with reading(notes):
        lines = (line.split(" ") for line in found[listed].decode().splitlines() if line and line[0] != "#")
        said = {f"images/{name}.jpg": (name, int(breed) - 1, int(kind) - 1) for name, breed, kind, _ in lines}
    for file, contents in members(photos, said.__contains__):
        name, label, species = said.pop(file)
        with reading(notes):
            head = found.get(f"annotations/xmls/{name}.xml")
            record = {
                "label": label,
                "species": species,
                "file_name": f"{name}.jpg",
                "segmentation_mask": as_file(found[f"annotations/trimaps/{name}.png"]),
                # Of the test split nobody has drawn any.
                "head_bbox": tfds.features.BBox(0.0, 0.0, 0.0, 0.0) if head is None else _box(head),
            }
        yield f"{name}.jpg", {**record, "image": as_file(_as_jpeg(contents))}
    if said:
        raise UserError(f"{photos}: {len(said):,} photos are missing, the first {min(said)}: get it anew")


def _box(xml: bytes) -> tfds.features.BBox:
    root = ElementTree.fromstring(xml)
    size = {side: float(root.findtext(f"size/{side}", "")) for side in ("height", "width")}
    ends = [float(root.findtext(f"object/bndbox/{side}", "")) for side in _SIDES]
    return tfds.features.BBox(
        *(end / size["height" if side[0] == "y" else "width"] for end, side in zip(ends, _SIDES, strict=True))
    )


def _as_jpeg(contents: bytes) -> bytes:
    with Image.open(io.BytesIO(contents)) as image:
        if image.format == "JPEG" and image.mode == "RGB":
            return contents
        written = io.BytesIO()
        image.convert("RGB").save(written, "JPEG", quality=95)
        return written.getvalue()
