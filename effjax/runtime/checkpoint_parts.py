"""The parts of a checkpoint as they are read: what is damaged, and what is whole but does not fit, are told apart."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from effjax.errors import UserError
from effjax.files import StorageError, storage_fault, storage_message
from effjax.pruning.paths import path_name
from effjax.runtime.digests import holds, is_intact
from effjax.runtime.stragglers import ignore_stragglers
from effjax.typing import PyTree


class DamagedCheckpoint(StorageError):
    """A part of a checkpoint that cannot be read, or is not what was written.

    Attributes:
      reason: what is wrong, without what to do.
    """

    def __init__(self, part: Path, reason: object):
        text = " ".join(str(reason).split())[:200]
        self.reason = f"{part.name}: {text}"
        super().__init__(
            f"{part} is damaged ({text}): remove the folder {part.parent} and run the training's command again"
        )


def read_meta(directory: str | Path, step: int) -> Mapping[str, Any]:
    """Reads the notes beside a checkpoint: ``identity`` (config and stages), ``best`` and more.

    Raises:
      DamagedCheckpoint: if they cannot be read, or are not what was written.
    """
    part = Path(directory).absolute() / str(step) / "meta"
    with _reading(part), ocp.Checkpointer(ocp.JsonCheckpointHandler()) as reader:
        notes = reader.restore(part)
    if not isinstance(notes, Mapping) or not isinstance(notes.get("identity"), Mapping) or not is_intact(notes):
        raise DamagedCheckpoint(part, "the notes are not those that were written")
    return notes


def read_item(
    directory: str | Path, step: int, name: str, notes: Mapping[str, Any], template: PyTree | None = None
) -> Mapping[str, PyTree]:
    """Reads the arrays of a checkpoint's part.

    Args:
      directory: a run's folder of checkpoints.
      step: which one.
      name: of the part, ``model`` or ``training``.
      notes: of the same checkpoint.
      template: arrays of the shapes that are expected; None reads them as they were written.

    Returns:
      The arrays, numpy's.

    Raises:
      DamagedCheckpoint: if they cannot be read, or are not what was written.
      UserError: if they are what was written, and others than those of the template.
    """
    part = Path(directory).absolute() / str(step) / name
    try:
        with _reading(part), ocp.StandardCheckpointer() as reader:
            item = reader.restore(part, None if template is None else _host(template))
            item = jax.tree.map(np.asarray, item)
        if not holds(notes, name, item):
            raise DamagedCheckpoint(part, "its numbers are not those that were written")
        if template is not None:
            _check_arrays(template, item, part)
    except DamagedCheckpoint:
        if template is not None:  # what does not fit looks like damage
            _check_arrays(template, read_item(directory, step, name, notes), part)
        raise
    return item


def _check_arrays(expected: PyTree, found: PyTree, part: Path) -> None:
    """Refuses to go on from a checkpoint whose arrays are not those of this code.

    Raises:
      UserError: naming each array that differs, with both shapes.
    """
    ours, theirs = _arrays(expected), _arrays(found)
    differing = [name for name in sorted(ours.keys() | theirs.keys()) if ours.get(name) != theirs.get(name)]
    if differing:
        said = there_and_now(differing, theirs, ours)
        raise UserError(
            f"{part} is whole, but its arrays are not those of this code ({said}): go on with the code that wrote it, "
            "or give another --workdir"
        )


def there_and_now(names: Sequence[str], theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    """What some names stand for, in a checkpoint and here."""
    said = "; ".join(f"{k}: {theirs.get(k, 'absent')} there, {ours.get(k, 'absent')} now" for k in names[:6])
    return said + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _arrays(tree: PyTree) -> dict[str, str]:
    """What each array looks like, by its path."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {path_name(path): f"{np.dtype(leaf.dtype).name}{list(leaf.shape)}" for path, leaf in leaves}


@contextlib.contextmanager
def _reading(part: Path) -> Iterator[None]:
    """Reports whatever Orbax and tensorstore say of a damaged file."""
    ignore_stragglers()
    try:
        yield
    except Exception as error:
        if fault := storage_fault(error):
            raise StorageError(storage_message(fault, part)) from error
        raise DamagedCheckpoint(part, error) from error


def _host(tree: PyTree) -> PyTree:
    return jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), tree)
