"""The one training loop.

It knows stages, blocks of steps, and what happens between them: evaluation, checkpoints, metrics. It knows no method:
distillation, curricula and active learning are what its objective, its plan and its feed say.
"""

import collections
import dataclasses
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from effjax.curricula import Stage, stage_at
from effjax.errors import Diverged
from effjax.runtime.checkpoints import Checkpoints
from effjax.runtime.interrupt import Interrupted, StopSignal
from effjax.runtime.progress import Progress
from effjax.runtime.task import Task, spec
from effjax.runtime.writers import Writer
from effjax.steps import TrainState, restart

_log = logging.getLogger("effjax")

Tree = Any

_STEPS_IN_FLIGHT = 16  # more, unanswered, and the all-reduce of virtual CPU devices hangs


@dataclasses.dataclass(frozen=True)
class Fitted:
    """What a run ended with.

    Attributes:
      state: the last state, on the host.
      best_step: the step that was best on validation, or the last without validation.
    """

    state: TrainState
    best_step: int


def fit(
    task: Task,
    state: TrainState,
    *,
    workdir: str | Path,
    identity: Mapping[str, Any],
    frozen: Mapping[str, Callable[[], Tree]] | None = None,
    keep: int = 2,
    label: str = "train",
) -> Fitted:
    """Trains to the end of the plan, or goes on from where an earlier process was stopped.

    Args:
      task: what to run.
      state: the state before the first step.
      workdir: the run's folder: ``checkpoints/``, ``metrics.jsonl``, ``events/``.
      identity: the run's config, JSON-like; the checkpoint of another is refused.
      frozen: by teacher, a function that computes what it reads, on the host; not called for a run that is done.
      keep: how many of the newest checkpoints to keep, besides the best.
      label: what the progress line calls the run.

    Returns:
      The end of the run.

    Raises:
      UserError: if a term does not act, the checkpoints are another run's, or the folder cannot be written.
      Diverged: if a loss or a gradient is not finite.
      Interrupted: after SIGTERM or SIGINT, once the state is saved.
    """
    stages = [{"start": s.start, "stop": s.stop, **dict(s.settings)} for s in task.plan]
    checkpoints = Checkpoints(Path(workdir) / "checkpoints", {**identity, "stages": _jsonable(stages)}, keep=keep)
    try:
        return _Loop(task, state, checkpoints, Path(workdir), frozen or {}, label).run()
    finally:
        checkpoints.close()


class _Loop:
    """One call of :func:`fit`."""

    def __init__(self, task, state, checkpoints, workdir, frozen, label):
        self.task, self.checkpoints, self.label = task, checkpoints, label
        self._frozen, self.frozen = frozen, {}
        self.workdir = workdir
        restored = checkpoints.restore(state)
        self.host_state = restored.state if restored else state
        self.step = restored.step if restored else 0
        self.best = restored.meta["best"] if restored else None
        # Sums of the training metrics since the last line; part of the checkpoint, for a run may stop between lines.
        self.window = dict(restored.meta["window"]) if restored else {}
        self.pending: collections.deque[tuple[int, Mapping[str, Any]]] = collections.deque()
        self.seed = int(self.host_state.seed)
        self.blocks = 0
        if restored:
            _log.info("%s: resuming at step %d of %d", label, self.step, task.total_steps)

    def run(self) -> Fitted:
        if self.step < self.task.total_steps:
            self._check_before_start()
            self.writer = Writer(self.workdir, self.step)
            self.progress = Progress(self.label, self.task.total_steps, self.step, self.task.batch_size)
            try:
                self._run_stages()
            finally:
                self.writer.close()
        return Fitted(self.host_state, self.best["step"] if self.best else self.task.total_steps)

    def _check_before_start(self) -> None:
        self.task.backend.check_batch_size(self.task.batch_size)
        self.frozen = {name: compute() for name, compute in self._frozen.items()}
        self.task.check(self.host_state, self.frozen)

    def _run_stages(self) -> None:
        task = self.task
        self.resident = task.backend.replicate(dict(task.feed.resident))
        first = stage_at(task.plan, self.step)
        self.state = task.backend.replicate(self.host_state.replace(frozen={}))
        self._prepare(first)
        with StopSignal() as stop:
            for index in range(first, len(task.plan)):
                self._run_stage(index, stop)
        self.host_state = self._fetch()

    def _run_stage(self, index: int, stop: StopSignal) -> None:
        task, stage = self.task, self.task.plan[index]
        length, unroll = task.block_at(stage, self._with_teachers(self.host_state, stage))
        ready = task.programs.get(task.program_key(stage))
        if self.step == stage.start and index and stage.get("trainable") != task.plan[index - 1].get("trainable"):
            self._restart_optimizer()
        self.state = self.state.replace(frozen=task.backend.replicate(self._teachers(stage)))
        _log.info(
            "%s: stage %d/%d, steps %d-%d: %s; %d step(s) a dispatch%s; waited %.2f s for its program",
            *(self.label, index + 1, len(task.plan), stage.start, stage.stop, dict(stage.settings), length),
            *(" unrolled" if unroll else "", ready.waited),
        )
        if index + 1 < len(task.plan):
            self._prepare(index + 1)
        if task.evaluator is not None:
            task.programs.prepare("evaluation", lambda: task.evaluator.prepare(spec(self.host_state.eval_variables)))
        for inputs in task.feed.blocks(dict(stage.settings), self.seed, self.step, stage.stop, length):
            self._dispatch(ready.program, task.backend.shard(inputs, axis=1), length)
            if self._is_boundary():
                self._between_blocks()
            if stop.agreed(self.blocks):
                self._save(improved=False)
                self.checkpoints.wait()
                raise Interrupted(f"{self.label}: stopped at step {self.step} of {task.total_steps}, saved")

    def _restart_optimizer(self) -> None:
        """Where other parameters are trained than before; after a resume at just this step too."""
        state = self._fetch()
        fresh = restart(self.task.optimizer, state.opt_state, state.params)
        self.state = self.task.backend.replicate(state.replace(opt_state=jax.tree.map(np.asarray, fresh)))

    def _prepare(self, index: int) -> None:
        """Has the program of a stage compiled in the background."""
        task, stage = self.task, self.task.plan[index]
        state = self._with_teachers(self.host_state, stage)
        length, _ = task.block_at(stage, state)
        inputs = spec(task.backend.shard(task.feed.block_example(length), axis=1))
        shapes = (*spec((state, dict(task.feed.resident))), inputs)
        task.programs.prepare(task.program_key(stage), lambda: task.compile(stage, *shapes))

    def _dispatch(self, program, inputs, length) -> None:
        self.state, metrics = program(self.state, self.resident, inputs)
        self.step += length
        self.blocks += 1
        self.pending.append((self.step - length, metrics))
        self._settle(in_flight=max(_STEPS_IN_FLIGHT // length, 1))

    def _settle(self, in_flight: int = 0) -> None:
        """Waits until at most so many blocks are under way, and books what the others measured."""
        while len(self.pending) > in_flight:
            start, metrics = self.pending.popleft()
            metrics = self.task.backend.fetch(metrics)
            for i in range(next(iter(metrics.values())).total.shape[0]):
                self._book(start + i + 1, {name: (m.total[i], m.count[i]) for name, m in metrics.items()})

    def _book(self, step: int, metrics: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
        self._check_finite(step, metrics)
        for name, (total, count) in metrics.items():
            old = self.window.get(name, (0.0, 0.0))
            self.window[name] = (old[0] + float(total), old[1] + float(count))
        if step % self.task.log_every == 0 or step == self.task.total_steps:
            means = {name: total / count for name, (total, count) in sorted(self.window.items())}
            self.window = {}
            self.writer.scalars(step, {f"train/{name}": value for name, value in means.items()})
            shown = {"loss": means["loss"], **({"acc": means["accuracy"]} if "accuracy" in means else {})}
            if self.best:
                shown["best val acc"] = self.best["value"]
            self.progress.update(step, shown)
            self.writer.speeds(step, {"speed/images_per_second": self.progress.images_per_second})

    def _check_finite(self, step: int, metrics: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
        # Terms first: a term is what the user can act on, the loss and the gradient only follow.
        order = sorted(metrics, key=lambda name: (not name.startswith("loss/"), name != "loss", name))
        for name in order:
            total = metrics[name][0]
            if not np.isfinite(total):
                what = f"term {name.removeprefix('loss/')!r}" if name.startswith("loss/") else name
                raise Diverged(f"{self.label}: {what} is {total} at step {step}; {self.checkpoints.kept()}")

    def _is_boundary(self) -> bool:
        task = self.task
        return any(self.step % every == 0 for every in (task.evaluate_every, task.checkpoint_every, task.total_steps))

    def _between_blocks(self) -> None:
        """Evaluates and saves where it is time to. Everything before has been booked, and was finite."""
        task = self.task
        self._settle()
        at_end, improved = self.step == task.total_steps, False
        if task.evaluator is not None and (self.step % task.evaluate_every == 0 or at_end):
            task.programs.get("evaluation")
            values = task.evaluator(self.state.eval_variables)
            self.writer.scalars(self.step, {f"validation/{name}": value for name, value in values.items()})
            improved = self.best is None or values[task.watch] > self.best["value"]
            if improved:
                self.best = {"step": self.step, "value": values[task.watch]}
        if improved or self.step % task.checkpoint_every == 0 or at_end:
            self._save(improved)
        if at_end:
            self.checkpoints.wait()

    def _save(self, improved: bool) -> None:
        self._settle()
        meta = {"best": self.best, "window": self.window}
        self.checkpoints.save(self._fetch(), meta, best_value=self.best["value"] if improved else None)

    def _fetch(self) -> TrainState:
        return self.task.backend.fetch(self.state.replace(frozen={}))

    def _teachers(self, stage: Stage) -> dict[str, Tree]:
        """What the teachers of a stage read; a teacher that no term needs any more is let go."""
        return {name: self.frozen[name] for name in self.task.objective_at(stage).teachers}

    def _with_teachers(self, state: TrainState, stage: Stage) -> TrainState:
        return state.replace(frozen=self._teachers(stage))


def _jsonable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _jsonable(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(v) for v in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)
