"""The kinds of datasets that are files, which are named by where they lie: ``kind:/path``."""

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from effjax.data.base import Source
from effjax.data.coco_layout import coco_layout
from effjax.data.coco_source import CocoSource
from effjax.data.folder_layout import SHARES, folder_layout, parts_of
from effjax.data.folder_source import FolderSource
from effjax.data.listed_files import listed_files
from effjax.data.packed_source import PackedSource, packed_splits
from effjax.data.question_files import LAYOUTS
from effjax.data.question_source import QuestionSource
from effjax.data.table_source import TableSource
from effjax.errors import UserError

_VERSION = re.compile(r"[\d*]+\.[\d*]+\.[\d*]+")


@dataclasses.dataclass(frozen=True)
class FileKind:
    """A kind of dataset that is files.

    Attributes:
      opened: a split, by its path, its name and how it is read.
      splits: by the path and the split that is asked for, the splits that there are; None where the files do not say
        any, and shares of them are drawn.
      unpadded: why ``config.data.padded`` has nothing to say here; empty where images have objects.
      by_class: whether a part of a split is a sample of every class, and what cannot be learnt is looked for.
      is_tfds_too: whether TFDS has a dataset of this name, so that ``name:1.*.*`` is a version of that.
    """

    opened: Callable[[str, str, "Reading"], Source]
    splits: Callable[[str, str], Iterable[str] | None]
    unpadded: str = ""
    by_class: bool = False
    is_tfds_too: bool = False


class Reading(NamedTuple):
    """How files are read, as :func:`effjax.data.load` is told.

    Attributes:
      image_size: of the square that each image is decoded to, in pixels; None leaves images as they are.
      cache_dir: where to remember what has been checked, or None.
      shares: of train, validation and test, where the files say no splits.
      padded: by feature, how many entries fit; only where images have objects.
    """

    image_size: int | None = None
    cache_dir: str | Path | None = None
    shares: Sequence[float] = SHARES
    padded: Mapping[str, int] | None = None

    def of_classes(self) -> dict[str, Any]:
        """What sources of images with a class each are told."""
        return {"image_size": self.image_size, "cache_dir": self.cache_dir, "shares": self.shares}


def _table(kind: str) -> FileKind:
    return FileKind(
        lambda path, split, how: TableSource(f"{kind}:{path}", split, **how.of_classes()),
        lambda path, _: listed_files(f"{kind}:{path}").splits,
        "a table of images has labels only",
        by_class=True,
    )


def _packed(kind: str) -> FileKind:
    return FileKind(
        lambda path, split, how: PackedSource(f"{kind}:{path}", split, **how.of_classes()),
        lambda path, _: packed_splits(f"{kind}:{path}"),
        "images in shards have labels only",
        by_class=True,
    )


def _questions(kind: str) -> FileKind:
    return FileKind(
        lambda path, split, how: QuestionSource(kind, path, split, how.image_size),
        lambda path, _: LAYOUTS[kind].splits,
        "nothing of questions differs in length",
    )


#: By what a dataset's name begins with.
FILE_KINDS: Mapping[str, FileKind] = {
    "folder": FileKind(
        lambda path, split, how: FolderSource(path, split, **how.of_classes()),
        lambda path, split: folder_layout(path, split).splits,
        "an image folder has labels only",
        by_class=True,
    ),
    "csv": _table("csv"),
    "parquet": _table("parquet"),
    "webdataset": _packed("webdataset"),
    "hf": _packed("hf"),
    "coco": FileKind(
        lambda path, split, how: CocoSource(path, split, **how._asdict()),
        lambda path, _: coco_layout(path).splits,
        is_tfds_too=True,
    ),
    "vqa2": _questions("vqa2"),
    "gqa": _questions("gqa"),
}


def file_kind(name: str) -> tuple[FileKind, str] | None:
    """The kind of files that a dataset's name means, and their path; None for datasets that are prepared.

    Raises:
      UserError: if the path is missing.
    """
    prefix, colon, path = name.partition(":")
    kind = FILE_KINDS.get(prefix) if colon else None
    if kind is None or (kind.is_tfds_too and _VERSION.fullmatch(path)):
        return None
    if not path:
        raise UserError(f"dataset {name!r} lacks its path: {prefix}:/path/to/files")
    return kind, path


def file_splits(name: str, *, shares: Sequence[float] = SHARES, split: str = "") -> list[str] | None:
    """The names of the splits of files; None for datasets that are prepared.

    Args:
      name: the dataset's.
      shares: of train, validation and test, where the files do not say any splits.
      split: that is asked for.
    """
    found = file_kind(name)
    if found is None:
        return None
    own = found[0].splits(found[1], split)
    return parts_of(shares) if own is None else list(own)
