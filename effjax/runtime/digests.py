"""Checksums of what a checkpoint holds: a bit that flips on the disk is noticed where it is read."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from effjax.pruning.paths import path_name
from effjax.typing import PyTree

_HASHES, _SEAL = "hashes", "seal"


def tree_sha256(tree: PyTree) -> str:
    """Hashes arrays with their paths, types and shapes; containers without arrays do not count."""
    digest = hashlib.sha256()
    leaves = [(path_name(path), np.asarray(leaf)) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)]
    for name, leaf in sorted(leaves, key=lambda item: item[0]):
        digest.update(f"{name} {leaf.dtype.name} {leaf.shape} ".encode())
        digest.update(np.ascontiguousarray(leaf).reshape(-1).view(np.uint8).data)  # a buffer knows no bfloat16
    return digest.hexdigest()


def sealed(notes: Mapping[str, Any], items: Mapping[str, PyTree]) -> dict[str, Any]:
    """Adds to a checkpoint's notes the hashes of its items, and one of the notes themselves.

    Args:
      notes: JSON-like. They are copied.
      items: the arrays that are saved beside the notes.
    """
    hashed = {**notes, _HASHES: {name: tree_sha256(item) for name, item in items.items()}}
    plain = json.loads(json.dumps(hashed))
    return {**plain, _SEAL: _json_sha256(plain)}


def is_intact(notes: Mapping[str, Any]) -> bool:
    """Whether notes are what :func:`sealed` made; those of earlier versions have no seal, and pass."""
    if _SEAL not in notes:
        return _HASHES not in notes
    return notes[_SEAL] == _json_sha256({key: value for key, value in notes.items() if key != _SEAL})


def holds(notes: Mapping[str, Any], name: str, item: PyTree) -> bool:
    """Whether an item is the one that was saved under this name; where the notes do not say, it passes."""
    hashes = notes.get(_HASHES)
    return hashes is None or hashes.get(name) == tree_sha256(item)


def _json_sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
