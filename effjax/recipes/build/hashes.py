"""Naming parameters by their bytes."""

import hashlib
from typing import Any

import jax
import numpy as np

Tree = Any


def params_sha256(variables: Tree) -> str:
    """Hashes parameters by their bytes, in the order of their paths."""
    digest = hashlib.sha256()
    for path, leaf in sorted(jax.tree_util.tree_leaves_with_path(variables), key=lambda item: str(item[0])):
        digest.update(str(path).encode())
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()
