"""A folder of images that nobody has labelled: any depth, any number, read only when they are asked for."""

import copy
import logging
import pathlib
from collections.abc import Collection

import numpy as np

from effjax.data.base import DatasetInfo, Example
from effjax.data.decode import decode_image
from effjax.data.image_files import EXTENSIONS, find_images, named, why_unreadable
from effjax.errors import UserError

_log = logging.getLogger("effjax")


class UnlabelledFolder:
    """Every image below a folder. Global ids number the files in the order of their sorted paths.

    Attributes:
        paths: relative to the folder, by id.
        broken: what could not be read so far: ids, and why. Such an example is black, for one bad file among a million
            must not end a pass; whoever uses a result looks here.
    """

    def __init__(self, root: str | pathlib.Path, *, image_size: int, channels: int, class_names: Collection[str]):
        """Lists the folder; reads no image.

        Args:
            root: the folder.
            image_size: each image is decoded to a square of so many pixels: the shorter side is resized, the centre cut
                out.
            channels: 1 (grey) or 3 (RGB).
            class_names: of the classes that the images may be of.

        Raises:
            UserError: if there is no such folder, or no image in it.
        """
        self.root = pathlib.Path(root).expanduser()
        if not self.root.is_dir():
            raise UserError(f"pool {root}: there is no such folder")
        self.paths, others = find_images(self.root)
        if others:
            _log.warning("pool %s: no images, passed over: %s", root, named(others))
        if not self.paths:
            raise UserError(f"pool {root}: no images in it or below ({', '.join(sorted(EXTENSIONS))})")
        self.broken: dict[int, str] = {}
        self._image_size, self._channels = image_size, channels
        shape = (image_size, image_size, channels)
        self.info = DatasetInfo(f"folder:{self.root}", "pool", len(self.paths), tuple(class_names), shape)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> Example:
        return {"image": self._pixels(row), "label": np.asarray(-1, np.int32), "id": np.asarray(row, np.int32)}

    def labels(self) -> np.ndarray:
        """``[N]`` int32, all -1: nobody knows."""
        return np.full(len(self), -1, np.int32)

    def at_size(self, image_size: int) -> "UnlabelledFolder":
        other = copy.copy(self)
        other._image_size = image_size
        return other

    def _pixels(self, row: int) -> np.ndarray:
        try:
            return decode_image(self.root / self.paths[row], self._channels, self._image_size)
        except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
            self.broken[int(row)] = why_unreadable(self.root / self.paths[row], error)
            return np.zeros(self.info.image_shape, np.uint8)
