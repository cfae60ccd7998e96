"""From a run's config to a task for the loop."""

import dataclasses
import functools
import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from effjax import models
from effjax.curricula import Stage, pacing, stages
from effjax.data.base import Source
from effjax.data.paced import Pace
from effjax.data.pipeline import eval_batches
from effjax.errors import UserError, nearest
from effjax.recipes.answers import answers_shapes
from effjax.recipes.config import number, take
from effjax.recipes.datasets import Datasets
from effjax.recipes.networks import make_model
from effjax.recipes.teachers import Taught
from effjax.runtime import Backend, Evaluator, Task
from effjax.runtime.task import spec
from effjax.steps import (
    Objective,
    TrainState,
    View,
    has_convolution,
    init_records,
    init_state,
    make_eval_step,
    make_optimizer,
    make_predict,
    make_schedule,
    make_term,
    over_members,
    resize_state,
    stack_members,
)
from effjax.steps.views import REDUCTIONS

Tree = Any

_SETTINGS = ("data", "image_size", "magnitude", "terms", "trainable")  # what a plan may change
_UP_TO = "up to "  # in a plan of what is trained: the layers up to an activation


@dataclasses.dataclass(frozen=True)
class Assembled:
    """A run made from its config: what all its seeds share.

    Attributes:
      config: the run's config, plain.
      model: the student.
      task: what the loop runs.
      init: from a seed to the state before the first step, compiled once for all seeds.
      train: what it is trained on.
      frozen: by teacher, the shapes of what it reads.
      predict: ``(variables on the host, source) -> logits [N, K]`` over a whole source, in row order.
    """

    config: Mapping[str, Any]
    model: nn.Module
    task: Task
    init: Callable[[jax.Array], TrainState]
    train: Source
    frozen: Mapping[str, Tree]
    predict: Callable[[Tree, Any], np.ndarray]
    pace: Pace | None = None

    def initial_state(self, seeds: int | Sequence[int]) -> TrainState:
        """Draws the state before the first step, on the host; of networks that train together, from a seed each."""
        if not self.task.members:
            return jax.tree.map(np.asarray, self.init(np.uint32(seeds)))
        return jax.tree.map(np.asarray, together([self.init(np.uint32(seed)) for seed in seeds]))


def assemble(
    name: str,
    config: Mapping[str, Any],
    datasets: Datasets,
    backend: Backend,
    eval_batch_size: int,
    taught: Mapping[str, Taught],
    members: int = 0,
) -> Assembled:
    """Makes a run.

    Args:
      name: the run's name, for errors.
      config: its config, as :func:`effjax.recipes.config.run` lays it out, plain, its teachers expanded.
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
    axis_name = backend.axis_name if config["sync_batch_norm"] else None
    model = make_model(config["model"], datasets.info.num_classes, axis_name)
    frozen = {name: frozen_shapes(f"{key}.teachers.{name}", one, train, datasets) for name, one in taught.items()}
    pace = make_pace(config["pacing"], total)
    feed = datasets.feed(
        config["batch_size"],
        train,
        resize=config["reduction"] == "loader",
        pace=pace,
        members=members,
        folds=bool(config["folds"]),
    )
    shape = train[0]["image"].shape
    plan, magnitude = make_plan(key, config["plans"], total, granule, model, shape)
    view = make_view(key, datasets.view, config, magnitude)
    objective = Objective(
        student=model,
        terms={term: make_term(term, **_scheduled(term, options, total)) for term, options in config["terms"].items()},
        teachers={teacher: one.in_step(datasets.info.num_classes) for teacher, one in taught.items()},
        view=view,
    )
    for stage in plan:
        feed.rows(dict(stage.settings))  # an unknown source is said now
    optimizer = _optimizer(config, total)
    example = spec(feed.example(dict(plan[0].settings)))
    if members:
        example = spec({name: np.empty(x.shape[1:], x.dtype) for name, x in example.items()})

    def init_at(size: int | None, seed: jax.Array) -> TrainState:
        sized = dataclasses.replace(objective, view=dataclasses.replace(view, size=size))
        state = init_state(sized, optimizer, seed, example, frozen=frozen, ema=config["ema"] > 0)
        return state.replace(records=init_records(feed.joined.num_ids)) if config["record"] else state

    def shapes_at(stage: Stage) -> TrainState:
        shapes = jax.eval_shape(functools.partial(init_at, stage.get("image_size")), np.uint32(0))
        return jax.eval_shape(lambda one: together([one] * members), shapes) if members else shapes

    if len({stage.get("image_size") for stage in plan}) > 1:
        for before, after in itertools.pairwise(plan):
            check_resizable(key, shapes_at(before), shapes_at(after))
    else:
        shapes_at = None
    task = Task(
        objective=objective,
        optimizer=optimizer,
        plan=plan,
        feed=feed,
        backend=backend,
        batch_size=config["batch_size"],
        evaluate_every=every,
        checkpoint_every=config["checkpoint_every"] or every,
        log_every=config["log_every"] or max(every // 10, 1),
        evaluator=_evaluator(model, view, datasets, backend, eval_batch_size, members),
        accumulate=config["accumulate"],
        ema_decay=config["ema"] or None,
        record=config["record"],
        members=members,
        patience=config["patience"],
        shapes_at=shapes_at,
        steps_per_dispatch=config["steps_per_dispatch"] or None,
    )
    # Compiling the drawing of numbers well would take seconds, to save milliseconds once.
    options = {"xla_backend_optimization_level": 0} if backend.platform == "cpu" else None
    init = jax.jit(functools.partial(init_at, plan[0].get("image_size")), compiler_options=options)
    predict = predictor(model, datasets.view, backend, eval_batch_size)
    return Assembled(config, model, task, init, train, frozen, predict, pace)


def together(states: Sequence[TrainState]) -> TrainState:
    """The state of networks that train in one program, each of which keeps what did best."""
    state = stack_members(states)
    return state.replace(best=state.eval_variables)


def make_pace(config: Mapping[str, Any], total: int) -> Pace | None:
    """What the examples are paced by; their difficulty is not known yet."""
    if not config:
        return None
    share = pacing(config["kind"], start=config["start"], full_at=config["full_at"])
    return Pace(share, config["order"], total)


def make_plan(
    key: str, plans: Mapping[str, Any], total: int, granule: int, model: nn.Module, shape: tuple[int, int, int]
) -> tuple[tuple[Stage, ...], optax.Schedule | None]:
    """Cuts a run into stages; the magnitude of augmentation needs no new program, and becomes a schedule.

    Raises:
      UserError: naming the setting that cannot be used.
    """
    for setting in plans:
        if setting not in _SETTINGS:
            raise UserError(f"{key}.plans.{setting} is not a setting; {nearest(setting, _SETTINGS)}")
    plans, magnitude = dict(_trainable_by_taps(plans, model, shape)), None
    try:
        if "magnitude" in plans:
            levels = stages(total, {"magnitude": plans.pop("magnitude")}, multiple_of=granule)
            magnitude = _piecewise([stage.start for stage in levels], [stage["magnitude"] for stage in levels])
        plan = stages(total, plans or {"trainable": [[0.0, ".*"]]}, multiple_of=granule)
    except ValueError as error:
        raise UserError(f"{key}.plans: {error}") from error
    for stage in plan:
        size = stage.get("image_size", min(shape[:2]))
        if isinstance(size, bool) or not isinstance(size, int) or not 0 < size <= min(shape[:2]):
            raise UserError(f"{key}.plans.image_size: {size!r} must be a number of pixels, at most {min(shape[:2])}")
    return plan, magnitude


def make_view(key: str, view: View, config: Mapping[str, Any], magnitude: optax.Schedule | None) -> View:
    """The experiment's view as one run has it.

    Raises:
      UserError: if there is nothing that has a magnitude, or no such reduction.
    """
    if magnitude is not None and not view.operations:
        raise UserError(f"{key}.plans.magnitude: config.view.operations=0: nothing has a magnitude; 2 is usual")
    allowed = (*REDUCTIONS, "loader")
    if config["reduction"] not in allowed:
        raise UserError(f"{key}.reduction={config['reduction']!r}; {nearest(config['reduction'], allowed)}")
    reduction = config["reduction"] if config["reduction"] in REDUCTIONS else "resize"  # where a whole image comes
    changed = {} if magnitude is None else {"magnitude": magnitude}
    return dataclasses.replace(view, reduction=reduction, **changed)


def check_resizable(key: str, before: TrainState, after: TrainState) -> None:
    """Refuses a change of size that the student cannot follow.

    Raises:
      UserError: naming a parameter whose shape would change.
    """
    try:
        jax.eval_shape(lambda state: resize_state(state, after), before)
    except UserError as error:
        raise UserError(f"{key}.plans.image_size: {error}") from error


def _piecewise(starts: Sequence[int], values: Sequence[float]) -> optax.Schedule:
    """A piecewise constant schedule of the global step."""

    def at(step: jax.Array) -> jax.Array:
        index = jnp.searchsorted(jnp.asarray(starts), step, side="right") - 1
        return jnp.asarray(values, jnp.float32)[index]

    return at


def frozen_shapes(key: str, taught: Taught, train: Source, datasets: Datasets) -> Tree:
    """The shapes of what a teacher reads inside the step: its variables, or its stored answers.

    Raises:
      UserError: if the answers are too many to be kept on the device.
    """
    if not taught.cached:
        return taught.shapes
    shapes = answers_shapes(datasets.info.num_classes, train, datasets.view, taught.cached)
    size = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in shapes.values()) / 2**20
    if size > datasets.on_device_mib:
        raise UserError(
            f"{key}.cached={taught.cached!r}: the answers take {size:,.0f} MiB on the device, more than "
            f"config.data.on_device_mib={datasets.on_device_mib}: keep fewer classes (top5), fewer config.view.replays"
        )
    return shapes


def _trainable_by_taps(plans: Mapping[str, Any], model: nn.Module, shape: tuple[int, int, int]) -> Mapping[str, Any]:
    """Makes ``"up to <tap>"`` a pattern of the student's parameters up to that activation, and of all the terms'."""
    if "trainable" not in plans:
        return plans
    made = []
    for begin, value in plans["trainable"]:
        if isinstance(value, str) and value.startswith(_UP_TO):
            below = models.params_up_to(model, value.removeprefix(_UP_TO), shape)
            value = f"student/({'|'.join(map(re.escape, below))})|(?!student/).*"
        made.append((begin, value))
    return {**plans, "trainable": made}


def lengths(config: Mapping[str, Any], num_examples: int) -> tuple[int, int, int]:
    """A run's length, the steps between evaluations, and what stages are aligned to.

    A length in epochs is rounded so that evaluations, stages and blocks of steps fall together; a length in steps is
    taken as it is.

    Returns:
      ``(total_steps, evaluate_every, granule)``.
    """
    count = max(config["evaluations"], 1)
    if config["steps"]:
        total = config["steps"]
        every = max(total // count, 1)
        return total, every, every if total % every == 0 and not config["plans"] else 1
    exact = config["epochs"] * num_examples / config["batch_size"]
    granule = 2 ** min(max(int(exact / (4 * count)), 1).bit_length() - 1, 5)
    every = max(round(exact / count / granule), 1) * granule
    return every * count, every, granule


def predictor(model: nn.Module, view, backend: Backend, batch_size: int) -> Callable[[Tree, Any], np.ndarray]:
    """Makes ``(variables, source) -> logits [N, K]``, compiled once."""
    predict = make_predict(model, view, axis_name=backend.axis_name)
    programs: dict[Any, Callable] = {}

    def function(variables: Tree, _, batch):
        return predict(variables, batch)

    def run(variables: Tree, source) -> np.ndarray:
        variables = backend.replicate(variables)
        logits = []
        with _batches(source, batch_size) as batches:
            for batch in batches:
                placed = backend.shard(batch, axis=0)
                shape = placed["image"].shape
                if shape not in programs:
                    programs[shape] = backend.compile(function, variables, {}, placed, axis=0, donate=False)
                logits.append(backend.fetch(programs[shape](variables, {}, placed)))
        return np.concatenate(logits)[: len(source)]

    return run


def _batches(source, batch_size: int):
    return eval_batches(source, batch_size, process_index=jax.process_index(), process_count=jax.process_count())


def _evaluator(
    model: nn.Module, view: View, datasets: Datasets, backend: Backend, batch_size: int, members: int
) -> Evaluator:
    image = jax.ShapeDtypeStruct((1, *datasets.validation[0]["image"].shape), jnp.float32)
    unroll = backend.platform == "cpu" and has_convolution(model.init, jax.random.key(0), image)

    def step_at(size: int | None) -> Callable:
        step = make_eval_step(model, dataclasses.replace(view, size=size), axis_name=backend.axis_name)
        return over_members(step, (0, None), unroll=unroll) if members else step

    def batches():
        return _batches(datasets.validation, batch_size)

    return Evaluator(step_at, backend, batches, keep=datasets.on_device, members=members)


def _optimizer(config: Mapping[str, Any], total: int) -> optax.GradientTransformation:
    options, schedule = dict(config["optimizer"]), dict(config["schedule"])
    peak = number(take(options, "learning_rate", "optimizer"), "optimizer.learning_rate")
    rate = make_schedule(take(schedule, "name", "schedule"), peak, total, **_tuples(schedule))
    return make_optimizer(take(options, "name", "optimizer"), rate, **options)


def _scheduled(term: str, options: Mapping[str, Any], total: int) -> dict[str, Any]:
    """A term's options, those given as ``{"name": "linear", "peak": 4.0, "end": 1.0}`` made schedules."""
    if not isinstance(options, Mapping):
        raise UserError(f"terms.{term}={options!r} must be a mapping of its options, e.g. {{'weight': 1.0}}")
    made = {}
    for name, value in options.items():
        key = f"terms.{term}.{name}"
        if isinstance(value, Mapping):
            value = dict(value)
            made[name] = make_schedule(
                take(value, "name", key), number(take(value, "peak", key), f"{key}.peak"), total, **_tuples(value)
            )
        else:
            made[name] = value
    return made


def _tuples(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
