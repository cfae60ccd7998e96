"""What one kind of run is: everything but its seed, its teachers and its folder."""

import dataclasses
import functools
from collections.abc import Callable, Generator, Hashable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import jax
import numpy as np
import optax

from effjax.curricula import Stage
from effjax.errors import UserError
from effjax.runtime.backends import Backend
from effjax.runtime.evaluators import Evaluator
from effjax.runtime.layouts import WHOLE, Layout
from effjax.runtime.programs import Programs, block_length
from effjax.steps import (
    Network,
    Objective,
    Together,
    TrainState,
    check_terms_act,
    has_convolution,
    make_block,
    make_train_step,
    over_members,
    resize_state,
)
from effjax.steps.axes import on_axis
from effjax.steps.settings import SETTINGS, Entry, apply_settings, values_that
from effjax.steps.state import prune_first
from effjax.typing import PyTree

#: Training images that a network is calibrated on, and how many go through it at a time.
CALIBRATION_IMAGES = 512
_CALIBRATION_BATCH = 64


class Feed(Protocol):
    """Where a run's batches come from."""

    def source(self, settings: Mapping[str, Hashable]) -> Any:
        """Where a stage reads examples, by row."""
        ...

    def rows(self, settings: Mapping[str, Hashable]) -> np.ndarray:
        """The rows that a stage draws from."""
        ...

    @property
    def resident(self) -> Mapping[str, np.ndarray]:
        """The dataset's arrays ``[N, ...]`` if it lives on the device whole; otherwise empty."""
        ...

    def example(self, settings: Mapping[str, Hashable] = ...) -> Mapping[str, np.ndarray]:
        """A batch of this process in a stage of these settings, for its shapes."""
        ...

    def block_example(self, length: int, settings: Mapping[str, Hashable] = ...) -> PyTree:
        """What :meth:`blocks` yields, for its shapes."""
        ...

    def blocks(
        self, settings: Mapping[str, Hashable], seeds: int | Sequence[int], start: int, stop: int, length: int
    ) -> Generator[PyTree, None, None]:
        """Yields, for every ``length`` steps from ``start`` to ``stop``, this process's inputs ``[length, B, ...]``.

        They are a function of seed and step alone: rows of ``resident`` as ``{"row": int32 [length, B]}``, or batches;
        with a seed each for several networks, ``[length, M, B, ...]``.
        """
        ...


@dataclasses.dataclass(frozen=True)
class Job:
    """Everything that runs of different seeds share; compiled programs too.

    Attributes:
      objective: what is minimised, over all stages.
      optimizer: over all parameters.
      plan: the stages.
      feed: the training data.
      backend: the devices.
      batch_size: examples a step, over all devices.
      evaluator: what gives the validation metrics, or None.
      evaluate_every: steps between evaluations; the end is always one.
      checkpoint_every: steps between checkpoints; an evaluation that is the best so far, and the end, always make one.
      log_every: steps between lines of training metrics.
      watch: the validation metric that says which checkpoint is best (higher is better).
      accumulate: see :func:`effjax.steps.make_train_step`.
      ema_decay: see :func:`effjax.steps.make_train_step`.
      record: see :func:`effjax.steps.make_train_step`.
      members: the networks that train in one program; None is one alone.
      patience: the run ends after so many evaluations without a better one, of every member; 0 goes on to the end.
      shapes_at: from a stage to the state's shapes in it; None where they are always those at the start.
      layout: how the state lies on the devices.
      steps_per_dispatch: an upper limit for the steps in one dispatch; None leaves the choice to the backend.
      programs: the compiled programs.
    """

    objective: Objective
    optimizer: optax.GradientTransformation
    plan: Sequence[Stage]
    feed: Feed
    backend: Backend
    batch_size: int
    evaluate_every: int
    checkpoint_every: int
    log_every: int
    evaluator: Evaluator | None = None
    watch: str = "accuracy"
    accumulate: int = 1
    ema_decay: float | None = None
    record: bool = False
    members: Together | None = None
    patience: int = 0
    shapes_at: Callable[[Stage], TrainState] | None = None
    layout: Layout = WHOLE
    steps_per_dispatch: int | None = None
    programs: Programs = dataclasses.field(default_factory=Programs)
    _checked: list[bool] = dataclasses.field(default_factory=list)
    _lengths: dict[Hashable, tuple[int, bool]] = dataclasses.field(default_factory=dict)
    _unrolled: dict[Hashable, bool] = dataclasses.field(default_factory=dict)

    @property
    def total_steps(self) -> int:
        """How many steps the run has."""
        return self.plan[-1].stop

    @property
    def example_axis(self) -> int:
        """The axis of a block's inputs that examples lie along."""
        return 2 if self.members else 1

    @property
    def watch_from(self) -> int:
        """Evaluations after this step count towards the best: from where all that makes them unlike stays as it is."""
        moving = [name for name, setting in SETTINGS.items() if not setting.keeps_best]
        last = [self.plan[-1].get(name) for name in moving]
        changed = next((a.stop for a in reversed(self.plan) if [a.get(name) for name in moving] != last), 0)
        pruned = self.objective.pruning.settled if self.objective.pruning else 0
        return max(changed, min(pruned, self.total_steps - 1))  # the end always counts

    def objective_at(self, stage: Stage) -> Objective:
        """The objective with a stage's settings applied."""
        return apply_settings(self.objective.restrict(self.objective.terms), stage.settings)

    @property
    def network_at_end(self) -> Network:
        """The network as it is in the last stage, and so whenever it is used afterwards, at its images' own size."""
        return dataclasses.replace(self.objective_at(self.plan[-1]).network, view=self.objective.view)

    def place(self, state: PyTree) -> PyTree:
        """Lays a state, or some of its fields by name, on the devices."""
        return self.backend.place(state, self.layout)

    def begin(self, state: TrainState) -> TrainState:
        """The state before the first step, of one network or of several, where its parameters were trained before."""
        pruning = self.objective.pruning
        if pruning is None:
            return state
        return self._over_members(lambda state: prune_first(state, pruning, trained=True), state)

    def enter(
        self, state: TrainState, stage: Stage, before: Stage, shapes: TrainState, *, abstract: bool = False
    ) -> TrainState | None:
        """What the beginning of a stage makes of the state, of one network or of several; None where it leaves it.

        Args:
          state: at the end of the stage before, on the host.
          stage: that begins.
          before: that has ended.
          shapes: the state's in the stage that begins.
          abstract: whether only shapes are looked at, so that no image is read.
        """
        begun = {name: setting.enter for name, setting in SETTINGS.items() if setting.enter}
        changed = {name: begin for name, begin in begun.items() if stage.get(name) != before.get(name)}
        one = _one(shapes) if self.members else shapes
        seen = self.objective_at(before).network, self.image_shape(before), self.objective.terms
        for name, begin in changed.items():
            objective, images = self.objective_at(stage), functools.partial(self._images, stage, abstract)
            entry = Entry(before.get(name), stage.get(name), self.optimizer, one, objective, images, *seen)
            try:
                state = self._over_members(lambda state, begin=begin, entry=entry: begin(state, entry), state)
            except UserError as error:
                raise UserError(f"{name}: {error}") from error
        return state if changed else None

    def image_shape(self, stage: Stage) -> tuple[int, int, int]:
        """``(H, W, C)`` of the images that the student reads in a stage; of other networks, what they read first."""
        example = spec(self.feed.example(dict(stage.settings)))
        return self.objective_at(stage).network.shapes(_one(example) if self.members else example)[0].shape[1:]

    def _images(self, stage: Stage, abstract: bool) -> Iterator[jax.Array]:
        """Some of a stage's training images, in batches, as its network is shown them in evaluation."""
        settings, network = dict(stage.settings), self.objective_at(stage).network
        source, rows = self.feed.source(settings), self.feed.rows(settings)
        shown = jax.jit(lambda images: network.reads(network.view.see({"image": images}))[0])
        draw = np.random.default_rng(0).permutation(len(rows))[: 1 if abstract else CALIBRATION_IMAGES]
        for some in np.array_split(np.sort(draw), -(-len(draw) // _CALIBRATION_BATCH)):
            yield shown(np.stack([source[int(row)]["image"] for row in rows[some]]))

    def _over_members(self, function: Callable[[TrainState], TrainState], state: TrainState) -> TrainState:
        return over_members(function, (0,), unroll=True)(state) if self.members else function(state)

    def check(self, state: TrainState, frozen: Mapping[str, PyTree]) -> None:
        """Checks, once for all seeds, that every stage's terms act and its teachers fit.

        Args:
          state: arrays or shapes, without teachers.
          frozen: by teacher, what it reads: arrays or shapes.

        Raises:
          UserError: naming the term or the teacher.
        """
        if self._checked:
            return
        for stage in self.plan:
            objective = self.objective_at(stage)
            shapes = self.shapes_at(stage) if self.shapes_at else state
            self.backend.check_layout(self.layout, shapes.replace(frozen=frozen))
            with_teachers = shapes.replace(frozen={name: frozen[name] for name in objective.teachers})
            batch = self.feed.example(dict(stage.settings))
            if self.members:
                with_teachers, batch = _one_state(with_teachers), _one(batch)
            check_terms_act(objective, with_teachers, batch, axis_name=self.backend.axis_name)
        self._checked.append(True)

    def program_key(self, stage: Stage) -> Hashable:
        """What tells a stage's program from another's: its settings, but for what only the feed looks at."""
        return tuple((name, value) for name, value in stage.settings if SETTINGS[name].kind != "feed")

    def evaluated_at(self, stage: Stage) -> Hashable:
        """Those of a stage's settings with which networks are evaluated in it."""
        return values_that(stage.settings, "evaluated")

    def step_at(self, stage: Stage, *, unroll_members: bool = False) -> Callable:
        """A stage's pure step."""
        step = self._step_of_one(stage)
        return _together(step, unroll_members) if self.members else step

    def _step_of_one(self, stage: Stage) -> Callable:
        return make_train_step(
            self.objective_at(stage),
            self.optimizer,
            axis_name=self.backend.axis_name,
            accumulate=self.accumulate,
            ema_decay=self.ema_decay,
            record=self.record,
            spread=self.backend.spread,
            devices=self.backend.devices_seen,
        )

    def _loss_of_one(self, stage: Stage) -> Callable:
        """What a stage's step differentiates: a gradient has no operation of a kind that it has not."""
        objective, axis = self.objective_at(stage), self.backend.axis_name

        def loss(state: TrainState, batch: PyTree) -> jax.Array:
            frozen, now = state.frozen, (state.seed, state.step)
            given = state.params, state.model_state, frozen, batch, *now
            return objective.evaluate(*given, axis_name=axis, memory=state.memory)[0]

        return loss

    def block_at(self, stage: Stage, state: TrainState) -> tuple[int, bool]:
        """How many steps of a stage go into one dispatch, and whether they are unrolled."""
        key = self.program_key(stage)
        if key not in self._lengths:
            convolutions = self._asks_for_convolutions and self._has_convolution(stage, state)
            boundaries = [s.stop for s in self.plan] + [self.evaluate_every, self.checkpoint_every]
            self._lengths[key] = block_length(
                self.backend.platform, convolutions, bool(self.feed.resident), boundaries, self.steps_per_dispatch
            )
            self._unrolled[key] = self.backend.platform == "cpu" and convolutions
        return self._lengths[key]

    @property
    def _asks_for_convolutions(self) -> bool:
        """Whether it makes a difference to the program if there are any: to know it, the network is traced."""
        is_block = bool(self.feed.resident) and self.steps_per_dispatch != 1
        return self.backend.platform == "cpu" and (is_block or self.members is not None)

    def _has_convolution(self, stage: Stage, state: TrainState) -> bool:
        batch = self.feed.example(dict(stage.settings))
        one = (_one_state(state), _one(batch)) if self.members else (state, batch)
        return has_convolution(on_axis(self._loss_of_one(stage), self.backend.axis_name), *one)

    def compile(self, stage: Stage, state: TrainState, resident: PyTree, inputs: PyTree) -> Callable:
        """Compiles a stage's program for arrays of these shapes."""
        _, unroll = self.block_at(stage, state)
        step = self.step_at(stage, unroll_members=self._unrolled[self.program_key(stage)])
        block = make_block(step, unroll=unroll)
        options: dict[str, Any] = {"axis": self.example_axis, "layout": self.layout}
        return self.backend.compile(block, state, resident, inputs, donate=True, **options)


def _together(step: Callable, unroll: bool) -> Callable:
    """A step of several networks; their teachers are the same ones, and what these read is there once."""

    def one(frozen: PyTree, state: TrainState, batch: PyTree) -> tuple[TrainState, PyTree]:
        new, metrics = step(state.replace(frozen=frozen), batch)
        return new.replace(frozen={}), metrics

    members = over_members(one, (None, 0, 0), unroll=unroll)

    def together(state: TrainState, batch: PyTree) -> tuple[TrainState, PyTree]:
        new, metrics = members(state.frozen, state.replace(frozen={}), batch)
        return new.replace(frozen=state.frozen), metrics

    return together


def spec(tree: PyTree) -> PyTree:
    """Shapes and types for arrays."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(np.shape(x), x.dtype), tree)


def resized(state: TrainState, shapes: TrainState, members: Together | None) -> TrainState:
    """A state taken over to another image size, of one network or of several; see :func:`effjax.steps.resize_state`."""
    if not members:
        return resize_state(state, shapes)
    one = _one(shapes)
    return over_members(lambda state: resize_state(state, one), (0,), unroll=True)(state)


def _one_state(state: TrainState) -> TrainState:
    """The shapes of one member's state."""
    return _one(state.replace(frozen={})).replace(frozen=state.frozen)


def _one(tree: PyTree) -> PyTree:
    """The shapes of one member's part."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(np.shape(x)[1:], x.dtype), tree)
