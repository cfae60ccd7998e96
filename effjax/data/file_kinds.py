"""The kinds of datasets that are files, which are named by where they lie: ``kind:/path``."""

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

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
      opened: a split, by ``(path, split, image_size, cache_dir, shares, padded)`` as in :func:`effjax.data.load`.
      splits: by the path and the split that is asked for, the splits that there are; None where the files do not say
        any, and shares of them are drawn.
      unpadded: why ``config.data.padded`` has nothing to say here; empty where images have objects.
      by_class: whether a part of a split is a sample of every class, and what cannot be learnt is looked for.
      is_tfds_too: whether TFDS has a dataset of this name, so that ``name:1.*.*`` is a version of that.
    """

    opened: Callable[[str, str, int | None, str | Path | None, Sequence[float], Mapping[str, int] | None], Source]
    splits: Callable[[str, str], Sequence[str] | None]
    unpadded: str = ""
    by_class: bool = False
    is_tfds_too: bool = False


def _folder(path, split, image_size, cache_dir, shares, padded):
    return FolderSource(path, split, image_size=image_size, cache_dir=cache_dir, shares=shares)


def _coco(path, split, image_size, cache_dir, shares, padded):
    return CocoSource(path, split, image_size=image_size, cache_dir=cache_dir, shares=shares, padded=padded)


def _folder_splits(path: str, split: str) -> list[str] | None:
    splits = folder_layout(path, split).splits
    return None if splits is None else list(splits)


def _coco_splits(path: str, split: str) -> list[str] | None:
    splits = coco_layout(path).splits
    return None if splits is None else list(splits)


def _table(kind: str) -> FileKind:
    def opened(path, split, image_size, cache_dir, shares, padded):
        return TableSource(f"{kind}:{path}", split, image_size=image_size, cache_dir=cache_dir, shares=shares)

    def splits(path: str, split: str) -> list[str] | None:
        found = listed_files(f"{kind}:{path}").splits
        return None if found is None else list(found)

    return FileKind(opened, splits, "a table of images has labels only", by_class=True)


def _packed(kind: str) -> FileKind:
    def opened(path, split, image_size, cache_dir, shares, padded):
        return PackedSource(f"{kind}:{path}", split, image_size=image_size, cache_dir=cache_dir, shares=shares)

    def splits(path: str, split: str) -> list[str] | None:
        return packed_splits(f"{kind}:{path}")

    return FileKind(opened, splits, "images in shards have labels only", by_class=True)


def _questions(kind: str) -> FileKind:
    def opened(path, split, image_size, cache_dir, shares, padded):
        return QuestionSource(kind, path, split, image_size)

    def splits(path: str, split: str) -> list[str]:
        return list(LAYOUTS[kind].splits)

    return FileKind(opened, splits, "nothing of questions differs in length")


#: By what a dataset's name begins with.
FILE_KINDS: Mapping[str, FileKind] = {
    "folder": FileKind(_folder, _folder_splits, "an image folder has labels only", by_class=True),
    "csv": _table("csv"),
    "parquet": _table("parquet"),
    "webdataset": _packed("webdataset"),
    "hf": _packed("hf"),
    "coco": FileKind(_coco, _coco_splits, is_tfds_too=True),
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
