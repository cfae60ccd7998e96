"""A folder of images that nobody has labelled: any depth, any number, read only when they are asked for."""

import copy
import dataclasses
import hashlib
import logging
import os
import pathlib
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from typing import cast

import numpy as np
from PIL import Image

from effjax.data.base import DatasetInfo, Example, cannot_cut, labelled_images, no_column, resized
from effjax.data.decode import decode_image, orientation_of
from effjax.data.image_files import EXTENSIONS, find_images, named, why_unreadable
from effjax.data.ledger import File
from effjax.data.photo_crops import PhotoCrops
from effjax.data.pool_files import Numbers
from effjax.errors import UserError
from effjax.files import home_expanded
from effjax.specs import Spec

_log = logging.getLogger("effjax")


class UnlabelledFolder:
    """Every image below a folder. Global ids number the files in the order of their sorted paths, or as they are given.

    Attributes:
      paths: relative to the folder, by id.
      gone: ids whose file is not there, or not as it was: such an example is black, and nobody should look at it.
      parts: how many ids were given at each start; all at once if nothing else is known.
      broken: what could not be read so far: ids, and why. Such an example is black, for one bad file among a million
        must not end a pass; whoever uses a result looks here.
    """

    def __init__(
        self,
        root: str | pathlib.Path,
        *,
        image_size: int,
        channels: int,
        class_names: Collection[str],
        targets: Mapping[str, Spec] | None = None,
        crop_pct: float = 1.0,
    ):
        """Lists the folder; reads no image.

        Args:
          root: the folder.
          image_size: each image is decoded to a square of so many pixels: the shorter side is resized, the centre cut
            out.
          channels: 1 (grey) or 3 (RGB).
          class_names: of the classes that the images may be of.
          targets: what nobody knows of them yet, by feature; None: a class. Each is all padding, or -1 without one.
          crop_pct: as in ``load``.

        Raises:
          UserError: if there is no such folder, or no image in it.
        """
        self.root = home_expanded(root)
        if not self.root.is_dir():
            raise UserError(f"pool {root}: there is no such folder")
        self.paths, others = find_images(self.root)
        if others:
            _log.warning("pool %s: no images, passed over: %s", root, named(others))
        if not self.paths:
            raise UserError(f"pool {root}: no images in it or below ({', '.join(sorted(EXTENSIONS))})")
        self.broken: dict[int, str] = {}
        self.gone: frozenset[int] = frozenset()
        self._on_disk: dict[str, str] = {}  # where a name is written otherwise there
        self.parts: tuple[int, ...] = (len(self.paths),)
        self._image_size, self._channels, self._crop_pct = image_size, channels, crop_pct
        features = labelled_images((image_size, image_size, channels))
        if targets is not None:
            features = {**{name: features[name] for name in ("image", "id")}, **targets}
        self._unknown = {name: _unknown(spec) for name, spec in features.items() if name not in ("image", "id")}
        self.info = DatasetInfo(f"folder:{self.root}", "pool", len(self.paths), tuple(class_names), features)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> Example:
        return {"image": self._pixels(row), **self._unknown, "id": np.asarray(row, np.int32)}

    def cut(self, row: int, crops: PhotoCrops) -> Example:
        raise cannot_cut(self, "is a pool, whose images nobody is trained on as they come")

    def ids(self) -> np.ndarray:
        return np.arange(len(self))

    def column(self, name: str) -> np.ndarray:
        """Every label is -1: nobody knows."""
        if name == "id":
            return self.ids()
        if name not in self._unknown:
            raise no_column(self, name)
        return np.repeat(self._unknown[name][None], len(self), axis=0)

    def at_size(self, image_size: int) -> "UnlabelledFolder":
        return resized(self, image_size)

    def without(self, folder: str | pathlib.Path) -> "UnlabelledFolder":
        """The same images but for those in one folder, which need not be below this one.

        Raises:
          UserError: if nothing is left, or it is the folder itself.
        """
        root, folder = self.root.resolve(), pathlib.Path(folder).resolve()
        if not folder.is_relative_to(root):
            return self
        if folder == root:
            raise UserError(f"pool {self.root}: this is where results are written to, images among them: name another")
        left = [path for path in self.paths if not path.startswith(f"{folder.relative_to(root)}{os.sep}")]
        if not left:
            raise UserError(f"pool {self.root}: no images in it but those in {folder}")
        return self.numbered(Numbers(left, [len(left)], frozenset()))

    def as_spelt(self, known: Collection[str]) -> "UnlabelledFolder":
        """The same images under the names by which they are known: systems write accents in one letter, or in two."""
        there, known = set(self.paths), set(known)
        missed = {unicodedata.normalize("NFC", path): path for path in known - there}
        spelt = {path: missed.get(unicodedata.normalize("NFC", path), path) for path in there - known}
        other = copy.copy(self)
        other.paths = [spelt.get(path, path) for path in self.paths]
        other._on_disk = {known: path for path, known in spelt.items() if known != path}
        return other

    def numbered(self, numbers: Numbers) -> "UnlabelledFolder":
        """The same folder with other ids."""
        other = copy.copy(self)
        other.paths, other.gone, other.parts = list(numbers.paths), numbers.gone, tuple(numbers.parts)
        other.broken = {}
        other.info = dataclasses.replace(self.info, num_examples=len(other.paths))
        return other

    def files(self, ids: Iterable[int]) -> list[File]:
        """What lies in the files of some examples now; of one that cannot be read, no byte."""
        return [self._file(self.paths[id_]) or File(self.paths[id_], 0, "") for id_ in ids]

    def photo(self, id_: int, most: int) -> tuple[np.ndarray, tuple[float, float, float, float]]:
        """The whole picture for people, and what of it the network sees.

        Args:
          id_: the example.
          most: its longer side is made smaller to so many pixels.

        Returns:
          uint8 ``[H, W, 3]``, and left, top, right and bottom of the square in it that is seen. Of a file that cannot
          be read, or is gone, the black square that stands for it.
        """
        try:
            if int(id_) in self.gone:
                raise OSError("gone")
            image = Image.fromarray(decode_image(self._where(self.paths[id_]), 3))
        except Exception:  # Pillow's decoders raise nearly anything on damaged files
            image = Image.new("RGB", (self._image_size, self._image_size))
        image.thumbnail((most, most), Image.Resampling.LANCZOS)
        side = min(image.size) * self._crop_pct
        left, top = (image.width - side) / 2, (image.height - side) / 2
        return np.asarray(image), (left, top, left + side, top + side)

    def size_of(self, id_: int) -> tuple[int, int]:
        """(height, width) of the whole photo, upright; of one that cannot be read, those of a square."""
        try:
            with Image.open(self._where(self.paths[int(id_)])) as image:
                on_its_side = orientation_of(image) > 4
                return (image.width, image.height) if on_its_side else (image.height, image.width)
        except Exception:  # Pillow's decoders raise nearly anything on damaged files
            return self._image_size, self._image_size

    def is_still(self, file: File) -> bool | None:
        """Whether a file has the contents that it had; None if it cannot be read."""
        try:
            if self._where(file.path).stat().st_size != file.bytes:
                return False
        except OSError:
            return None
        found = self._file(file.path)
        return None if found is None else found == file

    def _pixels(self, row: int) -> np.ndarray:
        if int(row) not in self.gone:
            try:
                return decode_image(
                    self._where(self.paths[row]), self._channels, self._image_size, crop_pct=self._crop_pct
                )
            except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
                self.broken[int(row)] = why_unreadable(self._where(self.paths[row]), error)
        return np.zeros((self._image_size, self._image_size, self._channels), np.uint8)

    def _where(self, path: str) -> pathlib.Path:
        return self.root / self._on_disk.get(path, path)

    def _file(self, path: str) -> File | None:
        digest, size = hashlib.sha256(), 0
        try:
            with self._where(path).open("rb") as file:
                while block := file.read(2**20):
                    digest.update(block)
                    size += len(block)
        except OSError:
            return None
        return File(path, size, digest.hexdigest())


def _unknown(spec: Spec) -> np.ndarray:
    """What stands where nobody knows better."""
    return np.full(cast("tuple[int, ...]", spec.shape), -1 if spec.padding is None else spec.padding, spec.dtype)
