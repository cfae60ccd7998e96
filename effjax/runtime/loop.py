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
import jax.numpy as jnp
import numpy as np

from effjax.curricula import Stage, stage_at
from effjax.errors import Diverged
from effjax.runtime.best import Best
from effjax.runtime.checkpoints import Checkpoints, best_is_gone
from effjax.runtime.clock import Clock, describe_cost, describe_stage
from effjax.runtime.hosts import is_primary
from effjax.runtime.interrupt import Interrupted, StopSignal
from effjax.runtime.job import Job, spec
from effjax.runtime.machine import differences, machine
from effjax.runtime.prefetch import Prefetch
from effjax.runtime.progress import Progress
from effjax.runtime.writers import Writer, mend_metrics
from effjax.steps import TrainState
from effjax.typing import PyTree

_log = logging.getLogger("effjax")


_STEPS_IN_FLIGHT = 16  # more, unanswered, and the all-reduce of virtual CPU devices hangs


@dataclasses.dataclass(frozen=True)
class Fitted:
    """What a run ended with.

    Attributes:
      state: the last state, on the host.
      best_step: the step that was best on validation, or the last without validation, or where that checkpoint is
        gone; of several networks, one each.
      last_step: the last step: the plan's, or where nothing got better any more.
      clock: what :meth:`effjax.runtime.clock.Clock.notes` says of the time it took.
      lost_best: the step that was best, where its checkpoint is gone and the last counts as the best.
    """

    state: TrainState
    best_step: int | tuple[int, ...]
    last_step: int
    clock: Mapping[str, Any]
    lost_best: int | None = None


def fit(
    job: Job,
    state: TrainState,
    *,
    workdir: str | Path,
    identity: Mapping[str, Any],
    frozen: Mapping[str, Callable[[], PyTree]] | None = None,
    keep: int = 2,
    label: str = "train",
    comparable: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict,
) -> Fitted:
    """Trains to the end of the plan, or goes on from where an earlier process was stopped.

    Args:
      job: what to run.
      state: the state before the first step.
      workdir: the run's folder: ``checkpoints/``, ``metrics.jsonl``, ``events/``.
      identity: the run's config, JSON-like; the checkpoint of another is refused.
      frozen: by teacher, a function that computes what it reads, on the host; not called for a run that is done.
      keep: how many of the newest checkpoints to keep, besides the best.
      label: what the progress line calls the run.
      comparable: from an identity, of this version or an earlier one, to what of it is compared.

    Returns:
      The end of the run.

    Raises:
      UserError: if a term does not act, the checkpoints are another run's, or the folder cannot be written.
      Diverged: if a loss or a gradient is not finite.
      Interrupted: after SIGTERM or SIGINT, once the state is saved.
    """
    stages = [{"start": s.start, "stop": s.stop, **dict(s.settings)} for s in job.plan]
    identity = {**identity, "stages": _jsonable(stages)}
    checkpoints = Checkpoints(Path(workdir) / "checkpoints", identity, keep=keep, comparable=comparable)
    try:
        return _Loop(job, state, checkpoints, Path(workdir), frozen or {}, label).run()
    finally:
        checkpoints.close()


class _Loop:
    """One call of :func:`fit`."""

    def __init__(self, job, state, checkpoints, workdir, frozen, label):
        self.job, self.checkpoints, self.label = job, checkpoints, label
        self._frozen, self.frozen = frozen, {}
        self.workdir = workdir
        self.initial = state
        restored = checkpoints.restore(self._shapes_after)
        notes: Mapping[str, Any] = restored.meta if restored else {"lines": ""}
        self.host_state = restored.state if restored else state
        self.step = restored.step if restored else 0
        patience = job.patience * job.evaluate_every
        self.best = Best(job.members, patience, notes.get("best"))
        self.clock = Clock(len(job.plan), notes.get("clock"))
        self.stopped = bool(notes.get("stopped"))
        self.lines, self.machine = notes.get("lines"), machine(job.backend)
        self.moved = differences(notes.get("machine"), self.machine)
        # Sums of the training metrics since the last line; part of the checkpoint, for a run may stop between lines.
        self.window: dict[str, tuple[float, float]] = dict(notes.get("window", {}))
        self.pending: collections.deque[tuple[int, Mapping[str, Any]]] = collections.deque()
        self.seeds = np.asarray(self.host_state.seed).tolist()
        self.blocks = 0
        self.opened: Prefetch | None = None
        if restored:
            _log.info("%s: resuming at step %d of %d", label, self.step, job.total_steps)

    def run(self) -> Fitted:
        if self.step < self.job.total_steps and not self.stopped:
            self._check_before_start()
            self._warn_of_what_differs()
            self.writer = Writer(self.workdir, self.step, self.lines)
            self.progress = Progress(self.label, self.job.total_steps, self.step, self.job.batch_size)
            try:
                self._run_stages()
            finally:
                self.writer.close()
                if self.opened:
                    self.opened.close()
        elif is_primary():
            mend_metrics(self.workdir, self.step, self.lines)
        lost = self._lost_best()
        if lost is not None:
            _log.warning("%s: %s", self.label, best_is_gone(self.checkpoints.directory, lost, self.step))
        return Fitted(self.host_state, self._best_step(lost), self.step, self.clock.notes(), lost)

    def _best_step(self, lost: int | None) -> int | tuple[int, ...]:
        best = self.best.notes()
        if best is None or lost is not None:
            return self.step
        return tuple(best["step"]) if self.job.members else best["step"]

    def _lost_best(self) -> int | None:
        """The step that is the best so far, if its checkpoint is not there. Of several networks each has it."""
        best = self.best.notes()
        return best["step"] if best and not self.job.members and not self.checkpoints.has(best["step"]) else None

    def _warn_of_what_differs(self) -> None:
        """Says of a run that goes on what is not as the process before it left it."""
        if self.moved:
            said = "goes on elsewhere than it was, so that the last bits of its numbers may differ"
            _log.warning("%s: %s (%s)", self.label, said, self.moved)
        if (lost := self._lost_best()) is not None:
            said = "the last counts as the best, if none that comes is better"
            folder = self.checkpoints.directory / str(lost)
            _log.warning("%s: the best checkpoint on validation so far, %s, is gone: %s", self.label, folder, said)

    def _check_before_start(self) -> None:
        self.job.backend.check_batch_size(self.job.batch_size)
        self.frozen = {name: compute() for name, compute in self._frozen.items()}
        self.job.check(self.initial, self.frozen)

    def _run_stages(self) -> None:
        job = self.job
        self.resident = job.backend.replicate(dict(job.feed.resident))
        first = stage_at(job.plan, self.step)
        self.state = job.place(self.host_state.replace(frozen={}))
        self._prepare(first)
        with StopSignal() as stop:
            for index in range(first, len(job.plan)):
                self._run_stage(index, stop)
                if self.stopped:
                    break
        self.host_state = self._fetch()
        if not self.stopped and (said := describe_cost(self.clock, job.plan)):
            _log.info("%s: %s", self.label, said)

    def _run_stage(self, index: int, stop: StopSignal) -> None:
        job, stage = self.job, self.job.plan[index]
        length, unroll = job.block_at(stage, self._with_teachers(self._shapes(stage), stage))
        ready = job.programs.get(job.program_key(stage))
        if self.step == stage.start and index:
            self._enter(stage, job.plan[index - 1])
        self.state = self.state.replace(**job.place({"frozen": self._teachers(stage)}))
        _log.info(
            "%s: stage %d/%d, steps %d-%d: %s; %d step(s) a dispatch%s; waited %.2f s for its program",
            *(self.label, index + 1, len(job.plan), stage.start, stage.stop, dict(stage.settings), length),
            *(" unrolled" if unroll else "", ready.waited),
        )
        if index + 1 < len(job.plan):
            self._prepare(index + 1)
        self._prepare_evaluation(stage)
        blocks = self.opened or job.feed.blocks(dict(stage.settings), self.seeds, self.step, stage.stop, length)
        self.opened = None
        self.clock.start()
        for inputs in self.clock.loading(blocks, index):
            self._dispatch(ready.program, job.backend.shard(inputs, axis=job.example_axis), length)
            self.clock.steps(index, length)
            self._open_next(index)
            if self._is_boundary():
                self._settle()
                self.clock.stop(index)
                self._between_blocks(stage)
                self.clock.start()
            if stop.agreed(self.blocks):
                self._settle()
                self.clock.stop(index)
                self._save()
                self.checkpoints.wait()
                raise Interrupted(f"{self.label}: stopped at step {self.step} of {job.total_steps}, saved")
            if self.stopped:
                break
        self._settle()
        self.clock.stop(index)
        if len(job.plan) > 1 or not job.feed.resident:
            said = describe_stage(self.clock, index, job.batch_size * (job.members.count if job.members else 1))
            _log.info("%s: stage %d/%d: %s", self.label, index + 1, len(job.plan), said)

    def _open_next(self, index: int) -> None:
        """In the last quarter of a stage, starts what reads for the next."""
        job, stage = self.job, self.job.plan[index]
        if job.feed.resident or self.opened or index + 1 == len(job.plan):
            return
        if self.step >= stage.stop - stage.num_steps // 4:
            coming = job.plan[index + 1]
            length, _ = job.block_at(coming, self._with_teachers(self._shapes(coming), coming))
            self.opened = Prefetch(
                job.feed.blocks(dict(coming.settings), self.seeds, coming.start, coming.stop, length)
            )

    def _enter(self, stage: Stage, before: Stage) -> None:
        """What a stage changes of the state; after a resume at just this step too."""
        state = self.job.enter(self._fetch(), stage, before, self._shapes(stage))
        if state is not None:
            self.state = self.job.place(jax.tree.map(np.asarray, state))

    def _prepare_evaluation(self, stage: Stage) -> None:
        job, settings = self.job, self.job.evaluated_at(stage)
        if job.evaluator is not None:
            variables = jax.eval_shape(lambda state: state.eval_variables, spec(self._shapes(stage)))
            job.programs.prepare(("evaluation", settings), lambda: job.evaluator.prepare(variables, settings))

    def _shapes(self, stage: Stage) -> TrainState:
        """The state, or its shapes, as it is in a stage."""
        return self.job.shapes_at(stage) if self.job.shapes_at else self.initial

    def _shapes_after(self, step: int) -> TrainState:
        """The same after a step: where a stage ends, its own, not yet those of the next."""
        return self._shapes(self.job.plan[stage_at(self.job.plan, max(step - 1, 0))])

    def _prepare(self, index: int) -> None:
        """Has the program of a stage compiled in the background."""
        job, stage = self.job, self.job.plan[index]
        state = self._with_teachers(self._shapes(stage), stage)
        length, _ = job.block_at(stage, state)
        example = job.feed.block_example(length, dict(stage.settings))
        inputs = spec(job.backend.shard(example, axis=job.example_axis))
        shapes = (*spec((state, dict(job.feed.resident))), inputs)
        job.programs.prepare(job.program_key(stage), lambda: job.compile(stage, *shapes))

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
            metrics = self.job.backend.fetch(metrics)
            for i in range(next(iter(metrics.values())).total.shape[0]):
                self._book(start + i + 1, {name: (m.total[i], m.count[i]) for name, m in metrics.items()})

    def _book(self, step: int, metrics: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
        self._check_finite(step, metrics)
        for name, (total, count) in metrics.items():
            old = self.window.get(name, (0.0, 0.0))
            self.window[name] = (old[0] + float(np.sum(total)), old[1] + float(np.sum(count)))
        if step % self.job.log_every == 0 or step == self.job.total_steps:
            means = {name: total / count for name, (total, count) in sorted(self.window.items())}
            self.window = {}
            self.writer.scalars(step, {f"train/{name}": value for name, value in means.items()})
            watch = self.job.watch
            name = {"accuracy": "acc"}.get(watch, watch)
            shown = {"loss": means["loss"], **({name: means[watch]} if watch in means else {})}
            if self.best.value is not None:
                shown[f"best val {name}"] = self.best.value
            self.progress.update(step, shown)
            self.writer.speeds(step, {"speed/images_per_second": self.progress.images_per_second})

    def _check_finite(self, step: int, metrics: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
        # Terms first: a term is what the user can act on, the loss and the gradient only follow.
        order = sorted(metrics, key=lambda name: (not name.startswith("loss/"), name != "loss", name))
        for name in order:
            total = metrics[name][0]
            if not np.all(np.isfinite(total)):
                what = f"term {name.removeprefix('loss/')!r}" if name.startswith("loss/") else name
                raise Diverged(f"{self.label}: {what} is {total} at step {step}; {self.checkpoints.kept()}")

    def _is_boundary(self) -> bool:
        job = self.job
        return any(self.step % every == 0 for every in (job.evaluate_every, job.checkpoint_every, job.total_steps))

    def _between_blocks(self, stage: Stage) -> None:
        """Evaluates and saves where it is time to. Everything before has been booked, and was finite."""
        job = self.job
        at_end, improved = self.step == job.total_steps, False
        if job.evaluator is not None and (self.step % job.evaluate_every == 0 or at_end):
            improved = self._evaluate(stage)
            self.stopped = self.best.all_stopped(self.step)
        if improved or self.step % job.checkpoint_every == 0 or at_end or self.stopped:
            self._save()
        if at_end or self.stopped:
            self.checkpoints.wait()

    def _evaluate(self, stage: Stage) -> bool:
        """Measures the network on the validation set; returns whether a checkpoint should keep it as the best."""
        job, settings = self.job, self.job.evaluated_at(stage)
        job.programs.get(("evaluation", settings))
        variables = job.backend.whole(self.state.eval_variables)
        values = job.evaluator(variables, settings)
        self.clock.mark(self.step)
        self.writer.scalars(self.step, {f"validation/{name}": np.mean(value) for name, value in values.items()})
        if self.step <= job.watch_from:
            return False
        improved = self.best.update(self.step, values[job.watch])
        if not job.members:
            return bool(improved.any())
        self.state = self.state.replace(best=_chosen(improved, variables, self.state.best))
        return False  # the best of each member is in every checkpoint

    def _save(self) -> None:
        self._settle()
        meta = {"best": self.best.notes(), "window": self.window, "clock": self.clock.notes(), "stopped": self.stopped}
        self.checkpoints.save(self._fetch(), {**meta, "lines": self.writer.sums(), "machine": self.machine})

    def _fetch(self) -> TrainState:
        return self.job.backend.fetch(self.state.replace(frozen={}))

    def _teachers(self, stage: Stage) -> dict[str, PyTree]:
        """What the teachers of a stage read; a teacher that no term needs any more is let go."""
        return {name: self.frozen[name] for name in self.job.objective_at(stage).teachers}

    def _with_teachers(self, state: TrainState, stage: Stage) -> TrainState:
        return state.replace(frozen=self._teachers(stage))


def _chosen(improved: np.ndarray, new: PyTree, old: PyTree) -> PyTree:
    """By member, the new or the old."""

    def choose(new: jax.Array, old: jax.Array) -> jax.Array:
        chosen = jnp.where(improved.reshape(-1, *[1] * (new.ndim - 1)), new, old)
        return jax.device_put(chosen, old.sharding)  # which the programs have been compiled for

    return jax.tree.map(choose, new, old)


def _jsonable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _jsonable(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(v) for v in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)
