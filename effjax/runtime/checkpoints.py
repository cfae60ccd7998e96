"""Checkpoints on Orbax: asynchronous, atomic, the newest few and the best by validation.

The state is replicated, so it is saved from the host's copy: a checkpoint does not know how many devices or processes
wrote it, nor by which backend, and any other reads it.
"""

import contextlib
import copy
import dataclasses
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as policies

from effjax.errors import UserError
from effjax.steps import TrainState
from effjax.steps.masks import path_name

_log = logging.getLogger("effjax")

Tree = Any


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
      keep: how many of the newest to keep; the best by validation is kept besides.

    Raises:
      UserError: if the directory cannot be written.
    """

    def __init__(self, directory: str | Path, identity: Mapping[str, Any], *, keep: int = 2):
        self.directory = Path(directory).absolute()
        self.identity = dict(identity)
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"workdir: cannot write {self.directory}: {error.strerror}") from error
        best = policies.BestN(get_metric_fn=lambda m: m["value"], n=1, keep_checkpoints_without_metrics=False)
        options = ocp.CheckpointManagerOptions(
            preservation_policy=policies.AnyPreservationPolicy([policies.LatestN(keep), best]),
            enable_async_checkpointing=True,
        )
        self._manager = ocp.CheckpointManager(self.directory, options=options)

    def save(self, state: TrainState, meta: Mapping[str, Any], *, best_value: float | None = None) -> None:
        """Starts to save; returns once the arrays are copied. A crash leaves the earlier checkpoints as they were.

        Args:
          state: on the host, as numpy arrays.
          meta: the loop's own notes, JSON-like.
          best_value: the validation metric, if this is the best so far.

        Raises:
          UserError: if this or the one before could not be written.
        """
        step = int(np.max(state.step))  # members are always at one step
        if step in self._manager.all_steps():
            return
        items = ocp.args.Composite(
            model=ocp.args.StandardSave(_model_item(state)),
            training=ocp.args.StandardSave(_training_item(state)),
            # A copy: it is written in the background, while the loop already changes its notes.
            meta=ocp.args.JsonSave(copy.deepcopy({**meta, "identity": self.identity})),
        )
        metrics = None if best_value is None else {"value": float(best_value)}
        with self._saving():
            self._manager.save(step, args=items, metrics=metrics, force=True)

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
                # Before the arrays: those of another run would not fit, and look like damage.
                check_identity(self.identity, read_meta(self.directory, step)["identity"], self.directory)
                restored = read(self.directory, step, template(step))
            except UserError:
                raise
            except Exception as error:  # whatever Orbax and tensorstore say of a damaged file
                reason = str(error).splitlines()[0][:200]
                _log.warning("checkpoint %d in %s is damaged and left out: %s", step, self.directory, reason)
                continue
            for damaged in (s for s in steps if s > step):
                self._manager.delete(damaged)
            return restored
        if steps:
            raise UserError(f"workdir: none of the checkpoints {steps} in {self.directory} can be read; remove them")
        return None

    def kept(self) -> str:
        """What there is to go back to, as a clause."""
        if not self._manager.all_steps():
            return "no checkpoint had been written yet"
        return f"the last good checkpoint in {self.directory} is kept"

    def wait(self) -> None:
        """Waits until everything is on disk.

        Raises:
          UserError: if it could not be written.
        """
        with self._saving():
            self._manager.wait_until_finished()

    def close(self) -> None:
        with self._saving():
            self._manager.close()

    @contextlib.contextmanager
    def _saving(self) -> Iterator[None]:
        """Reports what cannot be saved: now, or, as saving goes on in the background, what was to be saved before."""
        try:
            yield
        except Exception as error:  # tensorstore's for a full disk is a ValueError
            reason = "no space left" if "No space left" in str(error) else str(error).splitlines()[0][:200]
            raise UserError(f"workdir: cannot save to {self.directory}: {reason}") from error


def read(directory: Path, step: int, template: TrainState) -> Restored:
    """Reads one checkpoint into the template's structure."""
    with ocp.StandardCheckpointer() as reader:
        model = reader.restore(directory / str(step) / "model", _host(_model_item(template)))
        training = reader.restore(directory / str(step) / "training", _host(_training_item(template)))
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
        best=model.get("best", ()),
        records=training.get("records", ()),
    )
    return Restored(step, state, read_meta(directory, step))


def read_meta(directory: Path, step: int) -> Mapping[str, Any]:
    """Reads the notes beside a checkpoint: ``identity`` (config and stages), ``best``, …"""
    with ocp.Checkpointer(ocp.JsonCheckpointHandler()) as reader:
        return reader.restore(Path(directory).absolute() / str(step) / "meta")


def read_variables(
    directory: str | Path, step: int, *, member: int | None = None, best: bool = False
) -> Mapping[str, Tree]:
    """Reads a student's variables for evaluation, as numpy arrays, whatever trained it.

    Args:
      directory: a run's folder of checkpoints.
      step: which one; see :func:`steps` and :func:`best_step`.
      member: of networks that trained together, which one.
      best: of networks that trained together, whether as they did best on validation, instead of as they were.

    Returns:
      ``{"params": …, "batch_stats": …}``; the averaged parameters where the run kept an average.
    """
    with ocp.StandardCheckpointer() as reader:
        model = reader.restore(Path(directory).absolute() / str(step) / "model")
    params = model["ema"] or model["params"]
    variables = model["best"] if best else {"params": params["student"], **(model["model_state"] or {})}
    return jax.tree.map(lambda x: np.asarray(x if member is None else x[member]), variables)


def read_records(directory: str | Path, step: int) -> Mapping[str, np.ndarray]:
    """Reads what a run has recorded of each example, as :func:`effjax.steps.init_records` lays it out."""
    with ocp.StandardCheckpointer() as reader:
        return jax.tree.map(np.asarray, reader.restore(Path(directory).absolute() / str(step) / "training")["records"])


def steps(directory: str | Path) -> list[int]:
    """The steps of the complete checkpoints in a run's folder, in order.

    Raises:
      UserError: if there are none.
    """
    path = Path(directory)
    found = ocp.utils.checkpoint_steps(path) if path.is_dir() else []
    if not found:
        below = [run for depth in ("*", "*/*", "*/*/*") for run in sorted(path.parent.glob(f"{depth}/checkpoints"))]
        example = f": there is {below[-1].parent}" if below else ""
        raise UserError(f"no checkpoint in {directory}: train one first, or name a run's own folder{example}")
    return sorted(found)


def best_step(directory: str | Path) -> int:
    """The step that did best on validation, by the newest checkpoint's notes; the newest itself without validation."""
    newest = steps(directory)[-1]
    best = read_meta(Path(directory), newest).get("best")
    return best["step"] if best else newest


def check_identity(expected: Mapping[str, Any], found: Mapping[str, Any], directory: Path) -> None:
    """Refuses to go on from the checkpoint of another run.

    Raises:
      UserError: naming each key that differs, with both values.
    """
    ours, theirs = _flat(expected), _flat(found)
    differing = [key for key in sorted(ours.keys() | theirs.keys()) if ours.get(key) != theirs.get(key)]
    if differing:
        what = "; ".join(f"{k}: {theirs.get(k, 'absent')} there, {ours.get(k, 'absent')} now" for k in differing[:6])
        more = f" and {len(differing) - 6} more" if len(differing) > 6 else ""
        raise UserError(
            f"the checkpoints in {directory} are of another run ({what}{more}); "
            "give another --workdir, or remove that folder to start anew"
        )


def _model_item(state: TrainState) -> dict[str, Tree]:
    item = {"params": state.params, "model_state": state.model_state, "ema": state.ema if state.ema != () else {}}
    return item if state.best == () else {**item, "best": state.best}


def _training_item(state: TrainState) -> dict[str, Tree]:
    item = {"step": state.step, "seed": state.seed, "opt_state": _named_leaves(state.opt_state)}
    return item if state.records == () else {**item, "records": dict(state.records)}


def _named_leaves(tree: Tree) -> dict[str, Any]:
    """An optimiser's state as a flat mapping: its own containers are optax's business, not the file's."""
    return {path_name(path).replace("/", "."): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def _host(tree: Tree) -> Tree:
    return jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), tree)


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(tree, Mapping):
        return {prefix: tree}
    return {k: v for name, sub in tree.items() for k, v in _flat(sub, f"{prefix}.{name}" if prefix else name).items()}
