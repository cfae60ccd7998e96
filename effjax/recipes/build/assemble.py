"""From a run's config to a job for the loop."""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from effjax.curricula import Stage
from effjax.data.base import Source
from effjax.data.feeds import Feed
from effjax.data.paced import Pace
from effjax.data.pipeline import eval_batches
from effjax.data.tables import Lookup
from effjax.errors import UserError
from effjax.recipes.build.answers import answers_shapes
from effjax.recipes.build.datasets import Datasets
from effjax.recipes.build.networks import make_model
from effjax.recipes.build.planning import (
    lengths,
    make_pace,
    make_plan,
    make_run_optimizer,
    make_view,
    scheduled_options,
)
from effjax.recipes.build.teachers import TeacherSpec
from effjax.runtime import Backend, Evaluator, Job
from effjax.runtime.job import spec
from effjax.steps import (
    Network,
    Objective,
    TrainState,
    has_convolution,
    init_records,
    init_state,
    make_eval_step,
    make_predict,
    make_term,
    over_members,
    stack_members,
)
from effjax.steps.settings import Subject, apply_settings, values_that
from effjax.typing import PyTree


@dataclasses.dataclass(frozen=True)
class Assembled:
    """A run made from its config: what all its seeds share.

    Attributes:
      config: the run's config, plain.
      model: the student.
      job: what the loop runs.
      init: from a seed to the state before the first step, compiled once for all seeds.
      train: what it is trained on.
      frozen: by teacher, the shapes of what it reads.
      predict: ``(variables on the host, source) -> predictions [N, ...]`` over a whole source, in row order.
      pace: what draws from a growing share of the examples, or None.
      lookups: by teacher whose stored answers are too many for the device, where the feed looks them up.
    """

    config: Mapping[str, Any]
    model: nn.Module
    job: Job
    init: Callable[[jax.Array], TrainState]
    train: Source
    frozen: Mapping[str, PyTree]
    predict: Callable[[PyTree, Any], np.ndarray]
    pace: Pace | None = None
    lookups: Mapping[str, Lookup] = dataclasses.field(default_factory=dict)

    def initial_state(self, seeds: int | Sequence[int]) -> TrainState:
        """Draws the state before the first step, on the host; of networks that train together, from a seed each."""
        if not self.job.members:
            return jax.tree.map(np.asarray, self.init(np.uint32(seeds)))
        return jax.tree.map(np.asarray, together([self.init(np.uint32(seed)) for seed in seeds]))

    def check(self) -> None:
        """Checks that in every stage the terms act and the teachers fit; nothing is computed.

        Raises:
          UserError: naming the term or the teacher.
        """
        shapes = jax.eval_shape(self.init, np.uint32(0))
        if count := self.job.members:
            shapes = jax.eval_shape(lambda one: together([one] * count), shapes)
        self.job.check(shapes, self.frozen)


@dataclasses.dataclass(frozen=True)
class Drawing:
    """How a run's state before its first step is drawn, and what shapes the state has in each stage.

    Attributes:
      objective: of the run, which says what parameters there are.
      optimizer: of all parameters.
      feed: an example of whose batches says what networks read.
      frozen: by teacher, the shapes of what it reads.
      members: 0, or how many networks train in one program.
      ema: whether an average of the parameters is kept.
      num_records: of how many examples it is noted what becomes of them; 0: of none.
    """

    objective: Objective
    optimizer: optax.GradientTransformation
    feed: Feed
    frozen: Mapping[str, PyTree]
    members: int
    ema: bool
    num_records: int = 0

    def one(self, stage: Stage, seed: jax.Array) -> TrainState:
        """The state of one network, if the run began with this stage."""
        objective = apply_settings(self.objective, values_that(stage.settings, "reshapes"))
        state = init_state(objective, self.optimizer, seed, self._example(stage), frozen=self.frozen, ema=self.ema)
        return state.replace(records=init_records(self.num_records)) if self.num_records else state

    def shapes_at(self, stage: Stage) -> TrainState:
        """The shapes of the state, of one network or of several, in a stage."""
        shapes = jax.eval_shape(functools.partial(self.one, stage), np.uint32(0))
        return jax.eval_shape(lambda one: together([one] * self.members), shapes) if self.members else shapes

    def _example(self, stage: Stage) -> PyTree:
        """A batch of one network in a stage, as shapes: a loader may decode its images to the stage's size."""
        example = spec(self.feed.example(dict(stage.settings)))
        if not self.members:
            return example
        return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), example)


def together(states: Sequence[TrainState]) -> TrainState:
    """The state of networks that train in one program, each of which keeps what did best."""
    state = stack_members(states)
    return state.replace(best=state.eval_variables)


def assemble(
    name: str,
    config: Mapping[str, Any],
    datasets: Datasets,
    backend: Backend,
    eval_batch_size: int,
    taught: Mapping[str, TeacherSpec],
    members: int = 0,
) -> Assembled:
    """Makes a run.

    Args:
      name: the run's name, for errors.
      config: its config, as :func:`effjax.recipes.schema.run` lays it out, plain, its teachers expanded.
      datasets: the experiment's data.
      backend: the devices.
      eval_batch_size: examples an evaluation step, over all devices.
      taught: its teachers by name.
      members: 0, or how many networks train in one program.

    Returns:
      The run, with nothing compiled or computed yet.

    Raises:
      UserError: naming the key that cannot be used.
    """
    key = f"config.runs.{name}"
    backend.check_batch_size(config["batch_size"])
    backend.check_batch_size(eval_batch_size)
    train = datasets.train_without(config["without_classes"], key)
    total, every, granule = lengths(config, len(train))
    if total >= 2**31:
        raise UserError(f"{key}.epochs={config['epochs']}: {total:,} steps are more than 2,147,483,647: fewer epochs")
    each = config["batch_size"] // (1 if backend.axis_name is None else len(backend.devices))
    if each % config["accumulate"]:
        raise UserError(f"{key}.accumulate={config['accumulate']} does not divide the {each} examples of each device")
    axis_name = backend.axis_name if config["sync_batch_norm"] else None
    task, model = datasets.task, make_model(config["model"], datasets.info.num_classes, axis_name, datasets.task)
    frozen, lookups = _what_teachers_read(key, config, taught, train, datasets)
    pace = make_pace(config["pacing"], total)
    feed = datasets.feed(
        config["batch_size"],
        train,
        resize=config["reduction"] == "loader",
        pace=pace,
        members=members,
        folds=bool(config["folds"]),
        lookups=list(lookups.values()),
    )
    objective = Objective(
        student=model,
        terms={
            term: make_term(term, **scheduled_options(term, options, total))
            for term, options in config["terms"].items()
        },
        teachers={
            teacher: one.in_step(datasets.info.num_classes, lookups.get(teacher)) for teacher, one in taught.items()
        },
        view=make_view(key, datasets.view, config),
        inputs=task.inputs,
        metrics=task.metrics,
        outcome=task.outcome,
    )
    subject = Subject(objective, train[0]["image"].shape)
    plan, objective = make_plan(key, config["plans"], total, granule, subject)
    for stage in plan:
        feed.rows(dict(stage.settings))  # an unknown source is said now
    drawing = Drawing(objective, make_run_optimizer(config, total), feed, frozen, members, config["ema"] > 0)
    if config["record"]:
        if task.outcome is None:
            raise UserError(f"{key}.record=True: the task {task.name!r} has no outcome of an example to record")
        drawing = dataclasses.replace(drawing, num_records=feed.joined.num_ids)
    job = Job(
        objective=objective,
        optimizer=drawing.optimizer,
        plan=plan,
        feed=feed,
        backend=backend,
        batch_size=config["batch_size"],
        evaluate_every=every,
        checkpoint_every=config["checkpoint_every"] or every,
        log_every=config["log_every"] or max(every // 10, 1),
        watch=task.watch,
        evaluator=_evaluator(objective, datasets, backend, eval_batch_size, members),
        accumulate=config["accumulate"],
        ema_decay=config["ema"] or None,
        record=config["record"],
        members=members,
        patience=config["patience"],
        shapes_at=drawing.shapes_at if _is_reshaped(plan) else None,
        steps_per_dispatch=config["steps_per_dispatch"] or None,
    )
    _check_transitions(key, job)
    # Compiling the drawing of numbers well would take seconds, to save milliseconds once.
    options = {"xla_backend_optimization_level": 0} if backend.platform == "cpu" else None
    init = jax.jit(functools.partial(drawing.one, plan[0]), compiler_options=options)
    predict = predictor(Network(model, datasets.view, datasets.task.inputs), backend, eval_batch_size)
    return Assembled(config, model, job, init, train, frozen, predict, pace, lookups)


def _is_reshaped(plan: Sequence[Stage]) -> bool:
    """Whether the state has other shapes in one stage than in another."""
    return len({values_that(stage.settings, "reshapes") for stage in plan}) > 1


def _check_transitions(key: str, job: Job) -> None:
    """Refuses a change from stage to stage that the state cannot follow.

    Raises:
      UserError: naming what would have another shape.
    """
    if job.shapes_at is None:
        return
    for before, after in itertools.pairwise(job.plan):
        enter = functools.partial(job.enter, stage=after, before=before, shapes=job.shapes_at(after))
        try:
            jax.eval_shape(enter, job.shapes_at(before))
        except UserError as error:
            raise UserError(f"{key}.plans.{error}") from error


def _what_teachers_read(
    key: str, config: Mapping[str, Any], taught: Mapping[str, TeacherSpec], train: Source, datasets: Datasets
) -> tuple[dict[str, PyTree], dict[str, Lookup]]:
    """What teachers read inside the step, as shapes: their variables, or their stored answers.

    And, of answers that are too many to be kept on the device, the lookups that add them to each batch.

    Raises:
      UserError: if answers are stored and there are examples that they are not about.
    """
    frozen, lookups = {}, {}
    for name, one in taught.items():
        if not one.cached:
            frozen[name] = one.shapes
            continue
        if datasets.also and "data" in config["plans"]:
            raise UserError(
                f"{key}.teachers.{name}.cached={one.cached!r}: answers are stored for config.data.train alone, and "
                f"{key}.plans.data draws from other sets too: leave cached empty"
            )
        shapes = answers_shapes(datasets.info.num_classes, train, datasets.view, one.cached)
        size = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in shapes.values()) / 2**20
        fits = size <= datasets.on_device_mib
        frozen[name] = shapes if fits else {}
        if not fits:
            lookups[name] = Lookup(f"answers/{name}/", shapes)
    return frozen, lookups


def predictor(network: Network, backend: Backend, batch_size: int) -> Callable[[PyTree, Any], PyTree]:
    """Makes ``(variables, source) -> predictions [N, ...]``, compiled once."""
    predict = make_predict(network, axis_name=backend.axis_name)
    programs: dict[Any, Callable] = {}

    def function(variables: PyTree, _, batch):
        return predict(variables, batch)

    def run(variables: PyTree, source) -> PyTree:
        variables, found = backend.replicate(variables), []
        with _batches(source, batch_size) as batches:
            for batch in batches:
                placed = backend.shard(batch, axis=0)
                shapes = tuple((name, array.shape) for name, array in placed.items())
                if shapes not in programs:
                    programs[shapes] = backend.compile(function, variables, {}, placed, axis=0, donate=False)
                found.append(backend.fetch(programs[shapes](variables, {}, placed)))
        return jax.tree.map(lambda *parts: np.concatenate(parts)[: len(source)], *found)

    return run


def _batches(source, batch_size: int):
    return eval_batches(source, batch_size, process_index=jax.process_index(), process_count=jax.process_count())


def _evaluator(objective: Objective, datasets: Datasets, backend: Backend, batch_size: int, members: int) -> Evaluator:
    image = jax.ShapeDtypeStruct((1, *datasets.validation[0]["image"].shape), jnp.float32)
    unroll = backend.platform == "cpu" and has_convolution(objective.student.init, jax.random.key(0), image)

    def step_at(settings: Any) -> Callable:
        network = apply_settings(objective, settings).network
        step = make_eval_step(network, objective.metrics, axis_name=backend.axis_name)
        return over_members(step, (0, None), unroll=unroll) if members else step

    def batches():
        return _batches(datasets.validation, batch_size)

    on_host = {name: metric for name, metric in objective.metrics.items() if metric.on_host}
    return Evaluator(step_at, backend, batches, keep=datasets.on_device, members=members, on_host=on_host)
