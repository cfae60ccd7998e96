"""State dicts: what the file formats share."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from effjax.errors import UserError, nearest

_WRAPPERS = ("state_dict", "model")
_PREFIXES = ("module.", "_orig_mod.")


def missing_file(path: str | Path, error: OSError) -> UserError:
    """Returns the error for a file that cannot be opened, with the nearest name beside it."""
    path = Path(path)
    beside = [p.name for p in path.parent.glob(f"*{path.suffix}")] if path.parent.is_dir() else []
    hint = f"; {nearest(path.name, beside)}" if beside else ""
    return UserError(f"{path}: cannot be read ({error.strerror or 'no such file'}){hint}")


def unwrap(checkpoint: Mapping[Any, Any], tensor_type: type) -> dict[str, Any]:
    """Finds the tensors by name in a checkpoint.

    Args:
      checkpoint: a state dict, or a dict that has one under "state_dict" or "model".
      tensor_type: what a tensor is here; other entries are left out.

    Returns:
      The tensors by name, without a prefix that all names share from data parallelism or compilation.
    """
    for wrapper in _WRAPPERS:
        if isinstance(checkpoint.get(wrapper), dict):
            checkpoint = checkpoint[wrapper]
    tensors = {name: t for name, t in checkpoint.items() if isinstance(name, str) and isinstance(t, tensor_type)}
    for prefix in _PREFIXES:
        if tensors and all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors
