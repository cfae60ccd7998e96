"""State dicts: what the file formats share."""

import difflib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from effjax.errors import UserError, nearest

_log = logging.getLogger("effjax")

_WRAPPERS = ("state_dict", "model")
_PREFIXES = ("module.", "_orig_mod.")
_NAMED = 20  # files beside one that is missing


def missing_file(path: str | Path, error: OSError) -> UserError:
    """Returns the error for a file that cannot be opened, with the nearest name beside it."""
    path = Path(path)
    beside = [p.name for p in path.parent.glob(f"*{path.suffix}")] if path.suffix and path.parent.is_dir() else []
    if len(beside) > _NAMED:
        beside = difflib.get_close_matches(path.name, beside, n=3, cutoff=0)
    hint = f"; {nearest(path.name, beside)}" if beside else ""
    reason = "it is a folder" if path.is_dir() else error.strerror or "no such file"
    return UserError(f"{path}: cannot be read ({reason}){hint}")


def split_part(file: str | Path) -> tuple[Path, str]:
    """Takes ``weights.pth#model_ema`` apart: the file, and which of its state dicts is meant; empty: the usual one."""
    path = Path(file)
    name, mark, part = path.name.rpartition("#")
    return (path.with_name(name), part) if mark and name and not path.exists() else (path, "")


def unwrap(checkpoint: Mapping[Any, Any], tensor_type: type, path: str | Path, part: str = "") -> dict[str, Any]:
    """Finds the tensors by name in a checkpoint, and says what else lies in it.

    Args:
      checkpoint: a state dict, or a dict that has one under "state_dict" or "model".
      tensor_type: what a tensor is here; other entries are left out.
      path: of the file, for what is said.
      part: where in the checkpoint the state dict is meant that lies there, such as an average over the training.

    Returns:
      The tensors by name, without a prefix that all names share from data parallelism or compilation.

    Raises:
      UserError: if the part is not there, or none is where state dicts usually are.
    """
    parts = [name for name, value in checkpoint.items() if isinstance(name, str) and _has(value, tensor_type)]
    if part and part not in parts:
        raise UserError(f"{path} has no state dict {part!r}; {nearest(part, parts) if parts else 'it has no parts'}")
    read = part
    if part:
        checkpoint = checkpoint[part]
    for wrapper in () if part else _WRAPPERS:
        if isinstance(checkpoint.get(wrapper), dict):
            checkpoint, read = checkpoint[wrapper], wrapper
    tensors = {name: t for name, t in checkpoint.items() if isinstance(name, str) and isinstance(t, tensor_type)}
    beside = [name for name in parts if name != read]
    if beside and not tensors:
        raise UserError(f"{path} holds no tensors by name, only {', '.join(beside)}: say {path}#{beside[0]}")
    if beside:
        _log.info("%s: %r is read, not %s: %s#%s reads that", path, read, " or ".join(beside), path, beside[0])
    for prefix in _PREFIXES:
        if tensors and all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors


def _has(value: Any, tensor_type: type) -> bool:
    return isinstance(value, dict) and any(isinstance(entry, tensor_type) for entry in value.values())
