"""Encoded images with a class each, as files or in others: every image is read once first."""

import abc
import functools
import os
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np

from effjax.data.base import DatasetInfo, Example, Source, labelled_images, no_column, resized
from effjax.data.checked_files import FileFacts, check_files
from effjax.data.decode import Parts, decode_image
from effjax.data.folder_layout import PARTS
from effjax.data.image_files import why_unreadable
from effjax.data.photo_crops import PhotoCrops
from effjax.data.stratified import drawing_order, part_rows
from effjax.errors import UserError


class CheckedSource(abc.ABC):
    """Encoded images with a class each, or one of the parts that they are drawn into. Global ids are their rows.

    Attributes:
      paths: what the images are called, by id.
      digests: of their contents, ``[N]`` bytes.
    """

    paths: list[str]
    digests: np.ndarray
    _crop_pct: float = 1.0  # see at_crop_pct

    def _keep(
        self,
        paths: Sequence[str],
        labels: np.ndarray,
        checked: Sequence[FileFacts],
        *,
        classes: Sequence[str],
        name: str,
        split: str,
        image_size: int | None,
        part: tuple[str, Sequence[float]] | None,
    ) -> np.ndarray:
        """Takes over what was found when all were read.

        Args:
          paths: what the images are called.
          labels: theirs, ``[N]``.
          checked: what was found.
          classes: their names.
          name: of the dataset, as given to ``load``.
          split: as given to ``load``.
          image_size: as in ``load``.
          part: which of ``PARTS`` this is of all images, and the shares of these; None: all.

        Returns:
          The rows that are of this part.

        Raises:
          UserError: for sizes that differ without an ``image_size``, or a part without images.
        """
        self._channels = 1 if all(check.grey for check in checked) else 3
        shape = (*_common_size(paths, checked, image_size), self._channels)
        digests, rows = np.array([check.digest for check in checked], np.bytes_), np.arange(len(paths))
        if part is not None:
            which, shares = part
            rows = part_rows(labels, paths, digests, shares, PARTS.index(which))
            if not rows.size:
                raise UserError(
                    f"{name}: config.data.split={tuple(shares)} gives {which} none of its {len(paths)} images: "
                    "give it a larger share, or add images"
                )
        self.paths, self.digests = [paths[int(row)] for row in rows], digests[rows]
        self._labels, self._image_size = labels[rows], image_size
        self.info = DatasetInfo(name, split, len(rows), tuple(classes), labelled_images(shape))
        return rows

    @abc.abstractmethod
    def _encoded(self, row: int) -> bytes | str:
        """An image as it is stored, or the path of its file."""

    def _where(self, row: int) -> str:
        return self.paths[row]

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[Example]:
        return (self[row] for row in range(len(self)))

    def __getitem__(self, row: int) -> Example:
        return self._example(row)

    def cut(self, row: int, crops: PhotoCrops) -> Example:
        return self._example(row, functools.partial(crops.part, int(row)))

    def _example(self, row: int, part: Parts | None = None) -> Example:
        return {
            "image": self._pixels(row, part),
            "label": np.asarray(self._labels[row], np.int32),
            "id": np.asarray(row, np.int32),
        }

    def _pixels(self, row: int, part: Parts | None) -> np.ndarray:
        """Raises ``UserError`` if the file is no longer what it was when it was checked."""
        try:
            return decode_image(
                self._encoded(row), self._channels, self._image_size, part=part, crop_pct=self._crop_pct
            )
        except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
            path = self._where(row)
            why = why_unreadable(path, error)
            raise UserError(
                f"{path} can no longer be read ({why}): put it back as it was, then run the same command again"
            ) from error

    def at_size(self, image_size: int) -> Source:
        return resized(self, image_size)

    def ids(self) -> np.ndarray:
        return np.arange(len(self))

    def column(self, name: str) -> np.ndarray:
        if name not in ("label", "id"):
            raise no_column(self, name)
        return self._labels if name == "label" else self.ids()

    def drawing_order(self) -> np.ndarray:
        """The ids in an order whose beginning is a sample of all classes; see ``stratified``."""
        return drawing_order(self._labels, self.paths)


class FileSource(CheckedSource):
    """Image files with a class each.

    Attributes:
      root: the folder that the paths are relative to.
    """

    def __init__(
        self,
        root: pathlib.Path,
        paths: Sequence[str],
        labels: np.ndarray,
        classes: Sequence[str],
        *,
        name: str,
        split: str,
        image_size: int | None,
        cache_dir: str | pathlib.Path | None,
        remembered: str,
        part: tuple[str, Sequence[float]] | None,
    ):
        """Reads every file once, in threads.

        Args:
          root: the folder that the paths are relative to.
          paths: of the files.
          labels: theirs, ``[N]``.
          classes: their names.
          name: of the dataset, as given to ``load``.
          split: as given to ``load``.
          image_size: as in ``load``.
          cache_dir: where to remember which files have been read, so that the next start reads only new and changed
            ones; None remembers nothing.
          remembered: what that is called there.
          part: which of ``PARTS`` this is of all files, and the shares of these; None: all files.

        Raises:
          UserError: for images that cannot be read (all of them in one message), sizes that differ without an
            ``image_size``, or a part without images.
        """
        checked = check_files(root, paths, cache_dir, remembered)
        self.root = root
        common = {"classes": classes, "name": name, "split": split, "image_size": image_size, "part": part}
        self._keep(paths, labels, checked, **common)

    def _encoded(self, row: int) -> str:
        return os.path.join(self.root, self.paths[row])

    def _where(self, row: int) -> str:
        return self._encoded(row)


def _common_size(paths: Sequence[str], checked: Sequence[FileFacts], image_size: int | None) -> tuple[int, int]:
    if image_size is not None:
        return image_size, image_size
    examples = {(check.height, check.width): path for path, check in zip(paths, checked, strict=True)}
    if len(examples) > 1:
        (a, path_a), (b, path_b), *_ = examples.items()
        raise UserError(
            f"images differ in size ({path_a} is {a[1]}×{a[0]}, {path_b} is {b[1]}×{b[0]}): set image_size, e.g. 224"
        )
    return next(iter(examples))
