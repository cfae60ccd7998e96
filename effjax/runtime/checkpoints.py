"""Checkpoints on Orbax: asynchronous, atomic, the newest few and the best by validation.

The state is replicated, so it is saved from the host's copy: a checkpoint does not know how many devices or processes
wrote it, nor by which backend, and any other reads it. Its notes hold hashes of what lies beside them
(:mod:`effjax.runtime.digests`), which every reader checks.
"""

import contextlib
import dataclasses
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from effjax.errors import UserError
from effjax.files import StorageError, storage, storage_fault, storage_message
from effjax.pruning.paths import path_name
from effjax.runtime.checkpoint_parts import DamagedCheckpoint, read_item, read_meta, there_and_now
from effjax.runtime.digests import sealed
from effjax.runtime.hosts import is_primary
from effjax.runtime.preservation import NewestAndTheirBest
from effjax.runtime.stragglers import ignore_save_threads, ignore_stragglers
from effjax.steps import TrainState
from effjax.steps.student_masks import masked_student
from effjax.typing import PyTree

_log = logging.getLogger("effjax")


_DROPPED = "dropped"  # where a checkpoint goes that is kept no longer


@dataclasses.dataclass(frozen=True)
class Restored:
    """What a checkpoint held: the state as numpy arrays, and the loop's own notes."""

    step: int
    state: TrainState
    meta: Mapping[str, Any]


class Checkpoints:
    """The checkpoints of one run, in ``directory/<step>/``.

    Args:
      directory: where they lie; made if it is not there.
      identity: what makes the run what it is (config, stages), JSON-like. A checkpoint of another is refused.
      keep: how many of the newest to keep, besides the best on validation, as the newest note it.
      comparable: from an identity, of this version or an earlier one, to what of it is compared.

    Raises:
      StorageError: if the directory cannot be written.
    """

    def __init__(
        self,
        directory: str | Path,
        identity: Mapping[str, Any],
        *,
        keep: int = 2,
        comparable: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict,
    ):
        self.directory = Path(directory).absolute()
        self.identity = dict(identity)
        self._comparable = comparable
        self._best_of: dict[int, int | None] = {}
        ignore_save_threads()
        ignore_stragglers()
        with storage(self.directory):
            self.directory.mkdir(parents=True, exist_ok=True)
            self._remove_dropped()
        self._policy = NewestAndTheirBest(keep, self._noted_best)
        options = ocp.CheckpointManagerOptions(
            preservation_policy=self._policy,
            enable_async_checkpointing=True,
            todelete_subdir=_DROPPED,  # a step is gone at once, and not file by file, which a kill could stop half-way
        )
        self._manager = ocp.CheckpointManager(self.directory, options=options)

    def save(self, state: TrainState, meta: Mapping[str, Any]) -> None:
        """Starts to save; returns once the arrays are copied. A crash leaves the earlier checkpoints as they were.

        Args:
          state: on the host, as numpy arrays.
          meta: the loop's own notes, JSON-like; ``best`` as :meth:`effjax.runtime.best.Best.notes` gives it.

        Raises:
          StorageError: if this or the one before could not be written.
        """
        step = int(np.max(state.step))  # members are always at one step
        if step in self._manager.all_steps():
            return
        items = {"model": _model_item(state), "training": _training_item(state)}
        # A copy of the notes: they are written in the background, while the loop already changes its own.
        notes = sealed({**meta, "identity": self.identity}, items)
        self._best_of[step] = _one_best(notes)
        args = {name: ocp.args.StandardSave(item) for name, item in items.items()}
        with self._saving():
            self._manager.wait_until_finished()  # as saving does anyway
            self._remove_dropped()
            self._manager.save(step, args=ocp.args.Composite(**args, meta=ocp.args.JsonSave(notes)), force=True)

    def restore(self, template: Callable[[int], TrainState]) -> Restored | None:
        """Reads the newest checkpoint that can be read, or returns None if there is none.

        One that is damaged is reported and removed, and the one before is tried.

        Args:
          template: from a step to a state of the shapes that it has there.

        Raises:
          UserError: if the checkpoint is of another config or plan, or does not fit the template, saying what differs;
            or if there are checkpoints and none can be read.
        """
        steps = sorted(self._manager.all_steps(), reverse=True)
        for step in steps:
            try:
                notes = read_meta(self.directory, step)
                # Before the arrays: those of another run would not fit, and look like damage.
                ours, theirs = map(self._comparable, (self.identity, notes["identity"]))
                check_identity(ours, theirs, self.directory)
                restored = read(self.directory, step, template(step), notes)
            except DamagedCheckpoint as error:
                _log.warning("checkpoint %d in %s is damaged and left out: %s", step, self.directory, error.reason)
                continue
            left = [s for s in steps if s <= step]
            # Damaged ones, and those that a process had still to drop when it was killed.
            for gone in set(steps) - self._policy.kept(left):
                self._manager.delete(gone)
            return restored
        if steps:
            raise UserError(f"workdir: none of the checkpoints {steps} in {self.directory} can be read; remove them")
        return None

    def has(self, step: int) -> bool:
        """Whether the checkpoint of a step lies in the folder."""
        return step in _steps_in(self.directory)

    def _noted_best(self, step: int) -> int | None:
        """What a checkpoint's notes name as the best, of one network; None where they cannot be read."""
        if step not in self._best_of:
            try:
                self._best_of[step] = _one_best(read_meta(self.directory, step))
            except StorageError:
                self._best_of[step] = None
        return self._best_of[step]

    def kept(self) -> str:
        """What there is to go back to, as a clause."""
        if not self._manager.all_steps():
            return "no checkpoint had been written yet"
        return f"the last good checkpoint in {self.directory} is kept"

    def wait(self) -> None:
        """Waits until everything is on disk.

        Raises:
          StorageError: if it could not be written.
        """
        with self._saving():
            self._manager.wait_until_finished()
            self._remove_dropped()

    def close(self) -> None:
        with self._saving():
            self._manager.close()
            self._remove_dropped()

    def _remove_dropped(self) -> None:
        if is_primary():
            shutil.rmtree(self.directory / _DROPPED, ignore_errors=True)

    @contextlib.contextmanager
    def _saving(self) -> Iterator[None]:
        """Reports what cannot be saved: now, or, as saving goes on in the background, what was to be saved before."""
        try:
            yield
        except Exception as error:  # tensorstore's for a full disk is a ValueError
            fault = storage_fault(error) or OSError(f"cannot save: {' '.join(str(error).split())[:200]}")
            raise StorageError(storage_message(fault, self.directory)) from error


def read(directory: Path, step: int, template: TrainState, notes: Mapping[str, Any]) -> Restored:
    """Reads one checkpoint into the template's structure.

    Raises:
      DamagedCheckpoint: if it cannot be read, or is not what was written.
      UserError: if it is what was written, and holds other arrays than the template.
    """
    model = read_item(directory, step, "model", notes, _model_item(template))
    training = read_item(directory, step, "training", notes, _training_item(template))
    state = template.replace(
        step=training["step"],
        seed=training["seed"],
        opt_state=jax.tree.unflatten(
            jax.tree.structure(template.opt_state),
            [training["opt_state"][name] for name in _named_leaves(template.opt_state)],
        ),
        params=model["params"],
        model_state=model["model_state"],
        ema=model["ema"] if template.ema != () else (),
        masks=model.get("masks", ()),
        best=model.get("best", ()),
        records=training.get("records", ()),
        memory=training.get("memory", ()),
    )
    return Restored(step, state, notes)


def read_variables(
    directory: str | Path, step: int, *, member: int | None = None, best: bool = False
) -> Mapping[str, PyTree]:
    """Reads a student's variables for evaluation, as numpy arrays, whatever trained it.

    Args:
      directory: a run's folder of checkpoints.
      step: which one; see :func:`steps` and :func:`best_step`.
      member: of networks that trained together, which one.
      best: of networks that trained together, whether as they did best on validation, instead of as they were.

    Returns:
      ``{"params": …, "batch_stats": …}``; the averaged parameters where the run kept an average.

    Raises:
      DamagedCheckpoint: if they cannot be read, or are not what was written.
    """
    model = read_item(directory, step, "model", read_meta(directory, step))
    params = model["ema"] or model["params"]
    if masks := model.get("masks"):
        params = masked_student(params, masks)
    variables = model["best"] if best else {"params": params["student"], **(model["model_state"] or {})}
    return jax.tree.map(lambda x: x if member is None else np.asarray(x[member]), variables)


def read_masks(directory: str | Path, step: int) -> PyTree:
    """Reads which of a student's weights are kept, see :mod:`effjax.steps.student_masks`.

    Raises:
      DamagedCheckpoint: if it cannot be read, or is not what was written.
    """
    return read_item(directory, step, "model", read_meta(directory, step))["masks"]


def read_records(directory: str | Path, step: int) -> Mapping[str, np.ndarray]:
    """Reads what a run has recorded of each example, as :func:`effjax.steps.init_records` lays it out.

    Raises:
      DamagedCheckpoint: if it cannot be read, or is not what was written.
    """
    return read_training(directory, step)["records"]


def read_training(directory: str | Path, step: int) -> Mapping[str, PyTree]:
    """Reads what a run carries along besides its network, as numpy arrays: ``opt_state``, ``records``, ``memory``, ….

    Raises:
      DamagedCheckpoint: if it cannot be read, or is not what was written.
    """
    return read_item(directory, step, "training", read_meta(directory, step))


def steps(directory: str | Path) -> list[int]:
    """The steps of the complete checkpoints in a run's folder, in order.

    Raises:
      UserError: if there are none.
    """
    path = Path(directory)
    found = _steps_in(path)
    if not found:
        below = [run for depth in ("*", "*/*", "*/*/*") for run in sorted(path.parent.glob(f"{depth}/checkpoints"))]
        example = f": there is {below[-1].parent}" if below else ""
        raise UserError(f"no checkpoint in {directory}: train one first, or name a run's own folder{example}")
    return found


def is_finished(directory: str | Path, total_steps: int) -> bool:
    """Whether a run has come to its end: to its last step, or to where nothing got better any more."""
    found = _steps_in(Path(directory))
    return bool(found) and (found[-1] == total_steps or bool(read_meta(directory, found[-1]).get("stopped")))


def best_step(directory: str | Path) -> int:
    """The step that did best on validation, by the newest checkpoint's notes.

    The newest itself without validation, of networks that trained together (it holds the best of each), and, with a
    warning, where the best is gone.
    """
    newest = steps(directory)[-1]
    best = _one_best(read_meta(directory, newest))
    if best is None or best in steps(directory):
        return newest if best is None else best
    _log.warning("%s", best_is_gone(directory, best, newest))
    return newest


def best_is_gone(directory: str | Path, best: int, last: int) -> str:
    """What is said where the best checkpoint is not there any more: earlier versions deleted it after a restart."""
    return f"the best checkpoint on validation, {Path(directory) / str(best)}, is gone: the last, {last}, counts as it"


def check_identity(expected: Mapping[str, Any], found: Mapping[str, Any], directory: Path) -> None:
    """Refuses to go on from the checkpoint of another run.

    Raises:
      UserError: naming each key that differs, with both values.
    """
    ours, theirs = _flat(expected), _flat(found)
    differing = [key for key in sorted(ours.keys() | theirs.keys()) if ours.get(key) != theirs.get(key)]
    if differing:
        raise UserError(
            f"the checkpoints in {directory} are of another run ({there_and_now(differing, theirs, ours)}); "
            "give another --workdir, or remove that folder to start anew"
        )


def _model_item(state: TrainState) -> dict[str, PyTree]:
    item = {"params": state.params, "model_state": state.model_state, "ema": state.ema if state.ema != () else {}}
    item |= {} if state.masks == () else {"masks": state.masks}
    return item if state.best == () else {**item, "best": state.best}


def _training_item(state: TrainState) -> dict[str, PyTree]:
    item = {"step": state.step, "seed": state.seed, "opt_state": _named_leaves(state.opt_state)}
    item |= {} if state.memory == () else {"memory": state.memory}
    return item if state.records == () else {**item, "records": dict(state.records)}


def _named_leaves(tree: PyTree) -> dict[str, Any]:
    """An optimiser's state as a flat mapping: its own containers are optax's business, not the file's."""
    return {path_name(path).replace("/", "."): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def _one_best(notes: Mapping[str, Any]) -> int | None:
    """The step that notes name as the best; None for none yet, and for several networks: each checkpoint has theirs."""
    best = (notes.get("best") or {}).get("step")
    return best if isinstance(best, int) else None


def _steps_in(directory: Path) -> list[int]:
    return sorted(ocp.utils.checkpoint_steps(directory)) if directory.is_dir() else []


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(tree, Mapping):
        return {prefix: tree}
    return {k: v for name, sub in tree.items() for k, v in _flat(sub, f"{prefix}.{name}" if prefix else name).items()}
