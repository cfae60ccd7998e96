"""What an experiment says of a folder of images: its splits, and what makes its runs what they are."""

import hashlib
import logging
from collections.abc import Mapping
from typing import Any

from effjax.data.base import Source, stored
from effjax.data.coco_source import CocoSource
from effjax.data.file_kinds import file_kind, file_splits
from effjax.data.file_source import CheckedSource
from effjax.data.folder_layout import check_shares, same_split
from effjax.data.sources import dataset_and_split

_log = logging.getLogger("effjax")


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
    kinds = [kind for name in names if (kind := file_kind(name))]
    found: dict[str, Any] = {}
    if any(kind.splits(path, _whole(data["train"])) is None for kind, path in kinds):
        found["split"] = shares_of(data)
    if any(kind.by_class for kind, _ in kinds) and any("[" in data[role] for role in ("train", "validation")):
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
    splits = file_splits(data["name"], shares=shares_of(data), split=data["test"])
    return splits is None or same_split(splits, data["test"]) is not None


def _whole(split: str) -> str:
    return split.partition("[")[0]
