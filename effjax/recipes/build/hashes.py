"""Naming parameters by their bytes."""

import hashlib

import jax
import numpy as np

from effjax.typing import PyTree


def params_sha256(variables: PyTree) -> str:
    """Hashes parameters by their bytes, in the order of their paths."""
    digest = hashlib.sha256()
    for path, leaf in sorted(jax.tree_util.tree_leaves_with_path(variables), key=lambda item: str(item[0])):
        digest.update(str(path).encode())
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()
