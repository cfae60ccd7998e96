"""What an experiment says of a folder of images: its splits, and what makes its runs what they are."""

import hashlib
import logging
from collections.abc import Mapping
from typing import Any

from effjax.data.base import Source, stored
from effjax.data.coco_layout import coco_folder, coco_layout
from effjax.data.coco_source import CocoSource
from effjax.data.file_source import CheckedSource
from effjax.data.folder_layout import check_shares, folder_layout, has_split, parts_of
from effjax.data.listed_files import listed_files, table_kind
from effjax.data.packed_source import is_divided, packed_kind, packed_splits
from effjax.data.sources import dataset_and_split

_log = logging.getLogger("effjax")

_FOLDER = "folder:"


def shares_of(data: Mapping[str, Any]) -> tuple[float, ...]:
    """How a folder without splits is divided; where a pool is trained on, into validation and test alone.

    Args:
      data: ``config.data``.

    Raises:
      UserError: if ``config.data.split`` cannot be.
    """
    check_shares(data["split"])
    shares = (0, *data["split"][1:]) if data["pool"] else tuple(data["split"])
    check_shares(shares)
    return shares


def drawn(data: Mapping[str, Any]) -> dict[str, Any]:
    """What makes a run what it is where images of folders are drawn by chance; nothing where none are.

    Args:
      data: ``config.data``.
    """
    names = (data["name"], *(dataset_and_split(other, data["train"])[0] for other in data["also"].values()))
    folders = [name.removeprefix(_FOLDER) for name in names if name.startswith(_FOLDER)]
    found: dict[str, Any] = {}
    undivided = any(folder_layout(folder, _whole(data["train"])).splits is None for folder in folders)
    undivided = undivided or any(listed_files(name).splits is None for name in names if table_kind(name))
    undivided = undivided or any(not is_divided(name) for name in names if packed_kind(name))
    if undivided or any(coco_layout(path).splits is None for name in names if (path := coco_folder(name))):
        found["split"] = shares_of(data)
    if (folders or any(table_kind(name) or packed_kind(name) for name in names)) and any(
        "[" in data[role] for role in ("train", "validation")
    ):
        found["parts"] = "of every class"
    return found


def contents(source: Source) -> dict[str, str]:
    """What says which photo each id of a folder is, files come and go; nothing of other datasets."""
    source = stored(source)
    if not isinstance(source, CheckedSource | CocoSource):
        return {}
    digest = hashlib.sha256("\0".join(map(str, source.paths)).encode(errors="surrogateescape"))
    digest.update(b"".join(source.digests))
    if isinstance(source, CocoSource):
        digest.update(source.boxes_digest())
    return {"files": digest.hexdigest()}


def with_test(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The config of a labelling loop, with validation as the test split where people label and there is no other."""
    data = config["data"]
    asks_people = data["pool"] or config["active"]["oracle"] != "dataset"
    if not asks_people or data["test"] != "test" or _has_test(data):
        return config
    _log.info("%s has no test split: the report is of validation", data["name"])
    return {**config, "data": {**data, "test": data["validation"]}}


def _has_test(data: Mapping[str, Any]) -> bool:
    """Whether there is a test split, as far as can be told without opening the data."""
    if path := coco_folder(data["name"]):
        splits = coco_layout(path).splits
        return data["test"] in (parts_of(shares_of(data)) if splits is None else splits)
    if table_kind(data["name"]):
        splits = listed_files(data["name"]).splits
        return data["test"] in (parts_of(shares_of(data)) if splits is None else splits)
    if packed_kind(data["name"]):
        return data["test"] in packed_splits(data["name"], shares_of(data))
    if not data["name"].startswith(_FOLDER):
        return True
    layout = folder_layout(data["name"].removeprefix(_FOLDER), data["test"])
    return data["test"] in parts_of(shares_of(data)) if layout.splits is None else has_split(layout, data["test"])


def _whole(split: str) -> str:
    return split.partition("[")[0]
