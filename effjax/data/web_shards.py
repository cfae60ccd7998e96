"""WebDataset: tar files whose members of one name are one example, ``0001.jpg`` with ``0001.cls`` or ``0001.json``."""

import json
import os
import pathlib
import tarfile
from typing import NamedTuple

from effjax.data.folder_layout import usual_name
from effjax.data.image_files import EXTENSIONS
from effjax.errors import UserError
from effjax.files import home_expanded

_LABELS = ("cls", "label", "class", "txt", "json")
_KEYS = ("cls", "label", "class", "target", "class_name")  # of a member in JSON
_MOST = 1 << 16  # bytes of a label


class Member(NamedTuple):
    """An image in a tar file.

    Attributes:
      shard: number of the file.
      offset: where its bytes begin.
      size: how many there are.
      name: of the example, with its shard's.
      label: as a text.
    """

    shard: int
    offset: int
    size: int
    name: str
    label: str


def web_shards(root: str | pathlib.Path) -> dict[str, list[pathlib.Path]]:
    """The tar files of each split; under ``""`` where nothing divides them.

    They lie in a folder, called ``train-000000.tar``, …, ``val-000000.tar``, … or in a folder for each split.

    Args:
      root: the folder, or one tar file.

    Raises:
      UserError: if there are none.
    """
    root = home_expanded(root).absolute()
    found = [root] if root.is_file() else sorted(root.glob("*.tar")) + sorted(root.glob("*/*.tar"))
    if not found:
        raise UserError(f"webdataset:{root}: no tar file there, and none in a folder below")
    splits: dict[str, list[pathlib.Path]] = {}
    for path in found:
        named = path.parent.name if path.parent != root and root.is_dir() else path.stem
        usual = usual_name(named.rstrip("0123456789").rstrip("-_."))
        splits.setdefault(usual if usual in ("train", "validation", "test") else "", []).append(path)
    if "" in splits and len(splits) > 1:
        raise UserError(
            f"webdataset:{root}: beside {', '.join(sorted(split for split in splits if split))} there are files of no "
            f"split: {splits[''][0].name}; call them train-000000.tar, val-000000.tar, test-000000.tar"
        )
    return splits


def members_of(shard: int, path: pathlib.Path) -> tuple[list[Member], list[str]]:
    """The images of a tar file, in order, and what is wrong with it; nothing is unpacked."""
    examples: dict[str, dict[str, tuple[int, int]]] = {}
    labels: dict[str, dict[str, str]] = {}
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                folder, file = os.path.split(member.name)
                key, _, kind = file.partition(".")
                if not member.isfile() or not key:
                    continue
                key, kind = os.path.join(folder, key), kind.lower()
                examples.setdefault(key, {})[kind] = (member.offset_data, member.size)
                if kind in _LABELS and member.size <= _MOST:
                    text = archive.extractfile(member)
                    labels.setdefault(key, {})[kind] = "" if text is None else text.read().decode("utf-8", "replace")
    except (OSError, tarfile.TarError) as error:
        return [], [f"{path} cannot be read ({' '.join(str(error).split())}); it must be a tar file, not compressed"]
    found, mistakes = [], []
    for key, parts in examples.items():
        images = [kind for kind in parts if f".{kind.rpartition('.')[2]}" in EXTENSIONS]
        label = _label(labels.get(key, {}))
        if len(images) != 1 or label is None:
            what = "no image" if not images else f"{len(images)} images" if len(images) > 1 else "no class"
            mistakes.append(f"{path.name}: {key} has {what}")
            continue
        found.append(Member(shard, *parts[images[0]], f"{path.name}/{key}", label))
    return found, mistakes


def _label(texts: dict[str, str]) -> str | None:
    """The class, of the likeliest member that says one."""
    for kind in _LABELS:
        if kind not in texts:
            continue
        text = texts[kind].strip()
        if kind != "json":
            return text or None
        try:
            facts = json.loads(text)
        except ValueError:
            return None
        values = [facts[key] for key in _KEYS if key in facts] if isinstance(facts, dict) else []
        return str(values[0]) if values and isinstance(values[0], str | int) and str(values[0]) else None
    return None
