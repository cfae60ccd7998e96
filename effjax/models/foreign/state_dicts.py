"""State dicts: what the file formats share."""

import difflib
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from effjax.errors import UserError, nearest
from effjax.models.foreign.pickles import Inert

_log = logging.getLogger("effjax")

#: Where an average of the weights over the training lies, which answers better than the last; and where others lie.
AVERAGES = (
    *("state_dict_ema", "model_ema", "ema_state_dict", "model_ema_state_dict", "ema_model", "ema", "params_ema"),
    *("ema_state", "model_averaged", "averaged_model", "swa_model", "swa_state_dict"),
)
_WRAPPERS = (
    *("state_dict", "model", "model_state_dict", "model_state", "net", "network", "weights", "params", "module"),
    *("student", "backbone", "encoder"),
)
_PREFIXES = ("module.", "model.", "backbone.", "net.", "network.", "_orig_mod.")
_MOST_MODULES, _DEEPEST = 100_000, 50
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
      checkpoint: a state dict, or a dict that has one or several: under a name such as "state_dict" or "model", an
        average of the weights under one such as "model_ema", or a whole network that was pickled.
      tensor_type: what a tensor is here; other entries are left out.
      path: of the file, for what is said.
      part: where in the checkpoint the state dict is meant that lies there; empty: an average, where there is one.

    Returns:
      The tensors by name, without prefixes that all names share, from data parallelism, compilation or a wrapper.

    Raises:
      UserError: if the part is not there, or there are several of which none is where state dicts usually are.
    """
    own = {name: t for name, t in _plain(checkpoint).items() if isinstance(name, str) and isinstance(t, tensor_type)}
    parts = dict(_parts(checkpoint, tensor_type))
    groups = {name.partition(".")[0] for name in own if "." in name}
    if part and part not in parts and part in groups:  # networks beside one another, told apart by their names alone
        own = {name.removeprefix(f"{part}."): t for name, t in own.items() if name.startswith(f"{part}.")}
    elif part and part not in parts:
        known = nearest(part, parts) if parts else "it has no parts"
        raise UserError(f"{path} has no state dict {part!r}; {known}")
    else:
        read = part or _usual(parts, bool(own), path)
        beside = [name for name in parts if name != read]
        if beside:
            which = f"{read!r}, an average over the training," if read in AVERAGES else repr(read)
            _log.info("%s: %s is read, not %s: %s#%s reads that", path, which, " or ".join(beside), path, beside[0])
        own = parts[read] if read else own
    while prefix := next((prefix for prefix in _PREFIXES if own and all(n.startswith(prefix) for n in own)), ""):
        own = {name.removeprefix(prefix): tensor for name, tensor in own.items()}
    return own


def _usual(parts: Mapping[str, Any], has_own: bool, path: str | Path) -> str:
    """Which part is meant where none is named; empty: the tensors that lie in no part."""
    usual = next((name for name in (*AVERAGES, *_WRAPPERS) if name in parts), "")
    if usual or has_own or not parts:
        return usual
    if len(parts) == 1:
        return next(iter(parts))
    raise UserError(f"{path} holds no tensors by name, only {', '.join(parts)}: say {path}#{next(iter(parts))}")


def _parts(checkpoint: Mapping[Any, Any], tensor_type: type) -> Iterator[tuple[str, dict[str, Any]]]:
    """The state dicts in a checkpoint, by name; one that lies deeper is called ``ema.module``."""
    for name, value in checkpoint.items():
        if not isinstance(name, str) or not isinstance(value, dict):
            continue
        if found := _tensors(value, tensor_type):
            yield name, found
            continue
        inner = {f"{name}.{key}": _tensors(deep, tensor_type) for key, deep in value.items() if isinstance(deep, dict)}
        held = [(key, found) for key, found in inner.items() if found and not key.startswith("optim")]
        yield from [(name, held[0][1])] if len(held) == 1 else held


def _tensors(value: Mapping[Any, Any], tensor_type: type) -> dict[str, Any]:
    return {key: t for key, t in _plain(value).items() if isinstance(key, str) and isinstance(t, tensor_type)}


def _plain(value: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """The entries of a dict; of a network that was pickled whole, its state dict."""
    return dict(_state(value)) if isinstance(value, Inert) and not value else value


def _state(network: Inert) -> Iterator[tuple[str, Any]]:
    """What ``state_dict()`` of a pickled network would give: parameters and buffers of all its modules."""
    left: list[tuple[str, Any, int]] = [("", network, 0)]
    for _ in range(_MOST_MODULES):
        if not left:
            return
        prefix, module, depth = left.pop()
        if not isinstance(module, Inert) or depth > _DEEPEST:
            continue
        for kind in ("_parameters", "_buffers", "_modules"):
            held = module.attributes.get(kind)
            for name, value in held.items() if isinstance(held, dict) else ():
                if kind == "_modules":
                    left.append((f"{prefix}{name}.", value, depth + 1))
                else:
                    yield f"{prefix}{name}", value
