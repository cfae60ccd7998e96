"""Images inside larger files, WebDataset's shards, parquet or saved Arrow datasets, each read whole once first."""

import functools
import hashlib
import io
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
from PIL import Image

from effjax.data.checked_files import FileFacts, remembered, remembering
from effjax.data.decode import GREY_MODES, decode_image, orientation_of
from effjax.data.file_source import CheckedSource
from effjax.data.folder_layout import PARTS, SHARES, WHOLE, usual_name
from effjax.data.image_files import why_unreadable
from effjax.data.image_parquet import ParquetColumns
from effjax.data.listed_files import ordered
from effjax.data.parquet_splits import parquet_splits
from effjax.data.saved_arrow import ArrowColumns, is_saved, saved_splits, saved_table
from effjax.data.web_shards import Member, members_of, web_shards
from effjax.errors import UserError, nearest

_LISTED = 10  # mistakes named in one message; more are counted


class Packed(Protocol):
    """Images in files that hold many; it can be pickled.

    Attributes:
      files: these.
      names: what each image is called.
      labels: its class, as a text.
      classes: names in order, where the files say them.
    """

    files: Sequence[pathlib.Path]
    names: Sequence[str]
    labels: Sequence[str]
    classes: Sequence[str] | None

    def image(self, row: int) -> bytes:
        """The bytes of an image file."""
        ...


class WebImages:
    """The images of tar files, see :mod:`effjax.data.web_shards`."""

    files: Sequence[pathlib.Path]
    names: Sequence[str]
    labels: Sequence[str]
    classes: Sequence[str] | None

    def __init__(self, files: Sequence[pathlib.Path]):
        self.files, self.classes = list(files), None
        self._members: list[Member] = []
        mistakes = []
        for number, path in enumerate(files):
            members, wrong = members_of(number, path)
            self._members += members
            mistakes += wrong
        _refuse(mistakes)
        self.names = [member.name for member in self._members]
        self.labels = [member.label for member in self._members]

    def image(self, row: int) -> bytes:
        """The bytes of an image file."""
        member = self._members[row]
        with self.files[member.shard].open("rb") as file:
            return os.pread(file.fileno(), member.size, member.offset)


class SavedImages:
    """The images of a saved Arrow dataset, see :mod:`effjax.data.saved_arrow`."""

    files: Sequence[pathlib.Path]
    names: Sequence[str]
    labels: Sequence[str]
    classes: Sequence[str] | None

    def __init__(self, folder: pathlib.Path):
        table = saved_table(folder)
        self._columns = ArrowColumns(table)
        self.files, self.classes = table.files, table.classes
        self.labels = self._columns.labels()
        self.names = [f"{folder.name}/{row:08}" for row in range(len(self._columns))]
        _refuse([f"{name} has no class" for name, label in zip(self.names, self.labels, strict=True) if not label])

    def image(self, row: int) -> bytes:
        """The bytes of an image file."""
        return self._columns.image(row)


class ParquetImages:
    """The images of parquet files, see :mod:`effjax.data.image_parquet`."""

    files: Sequence[pathlib.Path]
    names: Sequence[str]
    labels: Sequence[str]
    classes: Sequence[str] | None

    def __init__(self, files: Sequence[pathlib.Path], beside: Sequence[pathlib.Path] = ()):
        self._columns = ParquetColumns(files, beside)
        self.files, self.classes = self._columns.files, self._columns.classes
        self.names = self._columns.names()
        self.labels, wrong = self._columns.labels()
        _refuse([f"{name} has {what}" for name, what in zip(self.names, wrong, strict=True) if what])

    def image(self, row: int) -> bytes:
        """The bytes of an image file."""
        return self._columns.image(row)


Openers = Mapping[str, Callable[[], Packed]]


def _web(path: str) -> Openers:
    return {split: functools.partial(WebImages, files) for split, files in web_shards(path).items()}


def _hub(path: str) -> Openers:
    if not is_saved(path) and (found := parquet_splits(path)):
        firsts = [files[0] for files in found.values()]
        return {split: functools.partial(ParquetImages, files, firsts) for split, files in found.items()}
    return {split: functools.partial(SavedImages, folder) for split, folder in saved_splits(path).items()}


#: By what a dataset's name begins with: what opens each of its splits.
KINDS: dict[str, Callable[[str], Openers]] = {"webdataset": _web, "hf": _hub}


def packed_splits(name: str) -> list[str] | None:
    """The splits that a dataset's own files say; None where nothing divides the images."""
    found = _opened(name)
    return None if "" in found else list(found)


class PackedSource(CheckedSource):
    """One split of images in larger files. Global ids number them in the order of the files."""

    def __init__(
        self,
        name: str,
        split: str,
        *,
        image_size: int | None = None,
        cache_dir: str | pathlib.Path | None = None,
        shares: Sequence[float] = SHARES,
    ):
        """Reads every image of the split once, in threads.

        Args:
          name: ``webdataset:/path`` or ``hf:/path``.
          split: one that there is; where nothing divides the images, one of the parts that they are drawn into,
            ``train``, ``validation`` or ``test``, or ``all``.
          image_size: as in ``load``.
          cache_dir: where to remember what was found, while the files stay as they are; None remembers nothing.
          shares: of the parts that images without splits are drawn into.

        Raises:
          UserError: for an unknown split, files that cannot be used, unreadable images (all in one message), or sizes
            that differ without an ``image_size``.
        """
        found, which = _opened(name), usual_name(split)
        allowed = (*PARTS, WHOLE) if "" in found else tuple(found)
        if which not in allowed:
            raise UserError(f"{name} has no split {split!r}; {nearest(split, allowed)}")
        packed = found["" if "" in found else which]()
        if not packed.names:
            raise UserError(f"{name}: no image in {which}")
        classes = packed.classes or ordered(_all_labels(found, packed))
        numbers = {label: number for number, label in enumerate(classes)}
        labels = np.array([numbers[label] for label in packed.labels], np.int32)
        checked = _checked(packed, cache_dir)
        part = (which, shares) if "" in found and which != WHOLE else None
        common = {"classes": classes, "name": name, "split": split, "image_size": image_size, "part": part}
        self._rows, self._packed = self._keep(packed.names, labels, checked, **common), packed

    def _encoded(self, row: int) -> bytes:
        return self._packed.image(int(self._rows[row]))

    def _where(self, row: int) -> str:
        return f"{self.info.name}, {self.paths[row]}"


def _opened(name: str) -> Openers:
    kind, _, path = name.partition(":")
    return KINDS[kind](path)


def _all_labels(found: Openers, packed: Packed) -> set[str]:
    """The classes of all splits, so that each has the same."""
    labels = set(packed.labels)
    return labels.union(*(opened().labels for opened in found.values())) if len(found) > 1 else labels


def _checked(packed: Packed, cache_dir: str | pathlib.Path | None) -> list[FileFacts]:
    """What is found in each image, or was when these files were read before."""
    states = [path.stat() for path in packed.files]
    key = [str(path.absolute()) for path in packed.files]
    stamp = [[state.st_size, state.st_mtime_ns] for state in states]
    if (known := remembered(cache_dir, key, stamp)) is not None and len(known) == len(packed.names):
        return known

    def look(row: int) -> FileFacts | str:
        try:
            data = packed.image(row)
            with Image.open(io.BytesIO(data)) as image:
                grey, orientation = image.mode in GREY_MODES, orientation_of(image)
            height, width, _ = decode_image(data, channels=3).shape
        except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
            return f"{packed.names[row]} ({why_unreadable(packed.names[row], error)})"
        return FileFacts(
            len(data), 0, height, width, grey, hashlib.blake2b(data, digest_size=16).hexdigest(), orientation
        )

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(look, range(len(packed.names))))
    _refuse([result for result in results if isinstance(result, str)])
    facts = [result for result in results if not isinstance(result, str)]
    remembering(cache_dir, key, stamp, facts)
    return facts


def _refuse(mistakes: Sequence[str]) -> None:
    if mistakes:
        more = f" and {len(mistakes) - _LISTED:,} more" if len(mistakes) > _LISTED else ""
        raise UserError(f"{len(mistakes):,} images cannot be used: {'; '.join(mistakes[:_LISTED])}{more}")
