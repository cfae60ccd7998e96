"""A folder of images with boxes in COCO's JSON, every file of which is read once first."""

import functools
import hashlib
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from effjax.data.base import DatasetInfo, Example, Source, no_column, resized
from effjax.data.checked_files import FileFacts, read_files
from effjax.data.coco_files import Annotated, read_coco
from effjax.data.coco_images import check_images, path_of
from effjax.data.coco_layout import CocoLayout, CocoPart, coco_layout
from effjax.data.decode import Parts, decode_image
from effjax.data.folder_layout import PARTS, SHARES, WHOLE, usual_name
from effjax.data.image_files import why_unreadable
from effjax.data.objects import Objects
from effjax.data.photo_boxes import SeenPart
from effjax.data.photo_crops import PhotoCrops
from effjax.data.stratified import part_rows
from effjax.data.tfds_features import NO_CLASS
from effjax.errors import UserError, check_known, nearest
from effjax.specs import Spec

_GROUP = "objects"
_FEATURES = {
    f"{_GROUP}/bbox": Spec(np.float32, (None, 4), 0),
    f"{_GROUP}/label": Spec(np.int32, (None,), NO_CLASS),
    f"{_GROUP}/is_crowd": Spec(np.bool_, (None,), False),
    f"{_GROUP}/valid": Spec(np.bool_, (None,), False),
}


class CocoSource:
    """One split. Global ids number its images in the order of their official ids.

    Attributes:
      root: the folder.
      paths: of the images below it, by id.
      digests: of the images' contents, ``[N]`` bytes.
    """

    def __init__(
        self,
        root: str | pathlib.Path,
        split: str,
        *,
        image_size: int | None = None,
        cache_dir: str | pathlib.Path | None = None,
        shares: Sequence[float] = SHARES,
        padded: Mapping[str, int] | None = None,
    ):
        """Reads the annotations, and every image once, in threads.

        Args:
          root: laid out as :func:`coco_layout` says.
          split: ``train``, ``validation`` or ``test``; of a folder without splits also ``all``.
          image_size: as in ``load``.
          cache_dir: where to remember which files have been read; None remembers nothing.
          shares: of the parts that a folder without splits is drawn into.
          padded: as in ``load``, of ``objects``.

        Raises:
          UserError: for an unknown split, anything wrong with the annotations or images (all in one message), or an
            image with more boxes than fit.
        """
        layout = coco_layout(root)
        self.root, name = layout.root, f"coco:{layout.root}"
        part, split_name = _part(layout, split)
        found = read_coco(part.file)
        paths = [path_of(image, part, self.root) for image in found.images]
        cached = "coco" if layout.splits is None else f"coco_{split_name}"
        facts = read_files(self.root, paths, cache_dir, cached)
        checked, upright = check_images(found, part, facts, paths, self.root)
        self._channels = 1 if all(fact.grey for fact in checked) else 3
        objects, sizes = _objects(found.images), np.array([(one.height, one.width) for one in found.images])
        digests = np.array([fact.digest for fact in checked], np.bytes_)
        rows = np.arange(len(paths))
        if layout.splits is None and split_name != WHOLE:
            rows = part_rows(_rarest(objects, len(found.class_names)), paths, digests, shares, PARTS.index(split_name))
        if not rows.size:
            raise UserError(f"{name}: the split {split} has no image: see config.data.split, or add images")
        self.paths, self.digests = [paths[row] for row in rows], digests[rows]
        self._whole, self._sizes, self._upright = objects.taken(rows), sizes[rows], upright[rows]
        self._turns = np.array([_turn(*one) for one in zip(checked, paths, upright, strict=True)])[rows]
        self._seen = self._whole.in_squares(self._sizes) if image_size else self._whole
        self._image_size = image_size
        self._room = self._room_of(padded or {}, name)
        same = len(np.unique(self._sizes, axis=0)) == 1
        shape = (*(self._sizes[0].tolist() if same else (None, None)), self._channels)
        specs = {"image": Spec(np.uint8, shape), "id": Spec(np.int32), **_specs(self._room)}
        self.info = DatasetInfo(name, split, len(rows), found.class_names, specs)
        if image_size:
            self.info = self.info.at_size(image_size)

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[Example]:
        return (self[row] for row in range(len(self)))

    def __getitem__(self, row: int) -> Example:
        if not -len(self) <= row < len(self):
            raise IndexError(row)
        row %= len(self)
        return {**self._objects_of(row), "image": self._pixels(row), "id": np.asarray(row, np.int32)}

    def cut(self, row: int, crops: PhotoCrops) -> Example:
        _check_room(self._room, self._whole, self._fullest, self.paths, "image, of which parts may show all")
        seen = SeenPart(crops, row)
        example = {"image": self._pixels(row, seen), "id": np.asarray(row, np.int32)}
        boxes, labels, crowd = self._whole.of(row)
        boxes, kept = seen.moved(boxes, int(self._turns[row]))
        return {**self._padded(boxes[kept], labels[kept], crowd[kept]), **example}

    @functools.cached_property
    def _fullest(self) -> int:
        return int(self._whole.counts.argmax())

    def at_size(self, image_size: int) -> Source:
        other = resized(self, image_size)
        other._seen = self._whole.in_squares(self._sizes)
        return other

    def ids(self) -> np.ndarray:
        return np.arange(len(self))

    def column(self, name: str) -> np.ndarray:
        if name == "id":
            return self.ids()
        if name not in _FEATURES or self._room is None:
            raise no_column(self, name)
        return np.stack([self._objects_of(row)[name] for row in range(len(self))])

    def entries(self, group: str) -> np.ndarray:
        """How many entries of a group each example has, ``[N]``."""
        check_known(group, (_GROUP,), f"{self.info.name} has no group {group!r}")
        return self._seen.counts

    @property
    def box_names(self) -> list[str]:
        """The features that are boxes in the image, of those that are read."""
        return [] if self._room is None else [f"{_GROUP}/bbox"]

    def boxes_digest(self) -> bytes:
        """A name for what the annotations say."""
        arrays = b"".join(np.ascontiguousarray(array).tobytes() for array in self._whole)
        return hashlib.sha256(arrays + "\0".join(self.info.class_names).encode()).digest()

    def _objects_of(self, row: int) -> dict[str, np.ndarray]:
        """The features of an example but its image; none where nobody has said how many fit."""
        return self._padded(*self._seen.of(row))

    def _padded(self, boxes: np.ndarray, labels: np.ndarray, crowd: np.ndarray) -> dict[str, np.ndarray]:
        if self._room is None:
            return {}
        values = (boxes, labels, crowd, np.ones(len(boxes), bool))
        return {name: self.info.features[name].padded(value) for name, value in zip(_FEATURES, values, strict=True)}

    def _pixels(self, row: int, part: Parts | None = None) -> np.ndarray:
        path = os.path.join(self.root, self.paths[row])
        try:
            return decode_image(path, self._channels, self._image_size, upright=bool(self._upright[row]), part=part)
        except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
            why = why_unreadable(path, error)
            raise UserError(
                f"{path} can no longer be read ({why}): put it back as it was, then run the same command again"
            ) from error

    def _room_of(self, padded: Mapping[str, int], name: str) -> int | None:
        for key in padded:
            if key != _GROUP:
                raise UserError(f"config.data.padded.{key}: {name} has no such feature; {nearest(key, (_GROUP,))}")
        room = padded.get(_GROUP)
        _check_room(room, self._seen, int(self._seen.counts.argmax()), self.paths, "image")
        return room


def _check_room(room: int | None, objects: Objects, fullest: int, paths: Sequence[str], what: str) -> None:
    if room is not None and (count := len(objects.of(fullest)[0])) > room:
        raise UserError(
            f"config.data.padded.{_GROUP}={room}: {paths[fullest]} has {count} boxes: make room for those of the "
            f"fullest {what}"
        )


def _turn(facts: FileFacts, path: str, upright: bool) -> int:
    """How a decoded picture is turned afterwards, by EXIF's number. TIFFs Pillow turns by itself, as it loads them."""
    return facts.orientation if upright and not path.lower().endswith((".tif", ".tiff")) else 1


def _part(layout: CocoLayout, split: str) -> tuple[CocoPart, str]:
    """The file of a split, and the split's name here."""
    name = usual_name(split)
    if layout.splits is None:
        check_known(name, (*PARTS, WHOLE), f"coco:{layout.root} has no split {split!r}")
        assert layout.whole is not None
        return layout.whole, name
    check_known(name, layout.splits, f"coco:{layout.root} has no split {split!r}")
    return layout.splits[name], name


def _objects(images: Sequence[Annotated]) -> Objects:
    return Objects(
        np.array([box for image in images for box in image.boxes], np.float32).reshape(-1, 4),
        np.array([label for image in images for label in image.labels], np.int32),
        np.array([crowd for image in images for crowd in image.crowd], bool),
        np.r_[0, np.cumsum([len(image.boxes) for image in images], dtype=np.int64)],
    )


def _rarest(objects: Objects, num_classes: int) -> np.ndarray:
    """Of each image the class that the fewest boxes have, -1 without any: parts get their share of rare classes."""
    counts = np.bincount(objects.labels, minlength=num_classes)
    each = (objects.of(row)[1] for row in range(len(objects.counts)))
    return np.array([min(labels, key=lambda label: (counts[label], label), default=-1) for labels in each])


def _specs(room: int | None) -> dict[str, Spec]:
    if room is None:  # as of TFDS: stored, not read
        return {name: Spec(s.dtype, s.shape) for name, s in _FEATURES.items() if name != f"{_GROUP}/valid"}
    return {name: Spec(spec.dtype, (room, *spec.shape[1:]), spec.padding) for name, spec in _FEATURES.items()}
