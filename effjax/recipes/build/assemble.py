"""From a run's config to a job for the loop."""

import dataclasses
import functools
import itertools
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from effjax.curricula import Stage
from effjax.data.base import Source
from effjax.data.coreset import Coreset
from effjax.data.feeds import Feed, ResidentFeed, StreamFeed
from effjax.data.joined import JoinedSource
from effjax.data.paced import Pace
from effjax.data.tables import Lookup
from effjax.errors import UserError
from effjax.models.convolutions import check_usable
from effjax.models.normalised import Parts
from effjax.recipes.build.answers import answers_shapes
from effjax.recipes.build.datasets import Datasets
from effjax.recipes.build.drawing import Drawing, together, together_shapes
from effjax.recipes.build.evaluation import make_evaluator, predictor
from effjax.recipes.build.networks import check_words, make_model
from effjax.recipes.build.planning import (
    beginnings,
    lengths,
    make_coreset,
    make_pace,
    make_plan,
    make_run_optimizer,
    make_view,
    scheduled_options,
)
from effjax.recipes.build.teachers import TeacherSpec
from effjax.runtime import Backend, Job
from effjax.runtime.layouts import Layout
from effjax.steps import (
    Objective,
    Together,
    TrainState,
    make_term,
)
from effjax.steps.batch_selection import BatchSelection, make_selection
from effjax.steps.narrowing import Channels
from effjax.steps.pruning import Pruning
from effjax.steps.settings import Subject, values_that
from effjax.steps.weightings import make_weighting
from effjax.typing import PyTree

_log = logging.getLogger("effjax")


@dataclasses.dataclass(frozen=True)
class AssembledRun:
    """A run made from its config: what all its seeds share.

    Attributes:
      config: the run's config, plain.
      model: the student with the channels that it has at the end, in floats.
      job: what the loop runs.
      init: from a seed to the state before the first step, compiled once for all seeds.
      train: what it is trained on.
      frozen: by teacher, the shapes of what it reads.
      predict: ``(variables on the host, source) -> predictions [N, ...]`` over a whole source, in row order.
      pace: what draws from a growing share of the examples, or None.
      coreset: the part of the examples that is drawn from, or None.
      lookups: by teacher whose stored answers are too many for the device, where the feed looks them up.
    """

    config: Mapping[str, Any]
    model: nn.Module
    job: Job
    init: Callable[[Any], TrainState]
    train: Source
    frozen: Mapping[str, PyTree]
    predict: Callable[[PyTree, Any], np.ndarray]
    pace: Pace | None = None
    coreset: Coreset | None = None
    lookups: Mapping[str, Lookup] = dataclasses.field(default_factory=dict)

    def initial_state(self, seeds: int | Sequence[int]) -> TrainState:
        """Draws the state before the first step, on the host; of networks that train together, from a seed each."""
        if isinstance(seeds, int):
            return jax.tree.map(np.asarray, self.init(np.uint32(seeds)))
        return jax.tree.map(np.asarray, together([self.init(np.uint32(seed)) for seed in seeds]))

    def check(self) -> None:
        """Checks that in every stage the terms act and the teachers fit; nothing is computed.

        Raises:
          UserError: naming the term or the teacher.
        """
        shapes = jax.eval_shape(self.init, np.uint32(0))
        if self.job.members:
            shapes = together_shapes(shapes, self.job.members)
        self.job.check(shapes, self.frozen)


def assemble(
    name: str,
    config: Mapping[str, Any],
    datasets: Datasets,
    backend: Backend,
    eval_batch_size: int,
    taught: Mapping[str, TeacherSpec],
    members: Together | None = None,
) -> AssembledRun:
    """Makes a run.

    Args:
      name: the run's name, for errors.
      config: its config, as :func:`effjax.recipes.schema.run` lays it out, plain, its teachers expanded.
      datasets: the experiment's data.
      backend: the devices.
      eval_batch_size: examples an evaluation step, over all devices.
      taught: its teachers by name.
      members: the networks that train in one program; None is one alone.

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
    for name, parts in _accumulated(config):
        if each % parts:
            raise UserError(f"{key}.{name}={parts} does not divide the {each} examples of each device")
    across = backend.axis_name if config["sync_batch_norm"] else _alone(backend)
    task, model = datasets.task, make_model(config["model"], datasets.info.num_classes, across, datasets.task)
    check_words(f"{key}.model", model, datasets.info)
    frozen, lookups = _what_teachers_read(key, config, taught, train, datasets)
    pace, coreset = make_pace(config["pacing"], total), make_coreset(config["coreset"])
    feed = datasets.feed(
        config["batch_size"],
        train,
        resize=config["reduction"] == "loader",
        pace=pace,
        coreset=coreset,
        members=members,
        lookups=list(lookups.values()),
        repeats=config["repeats"],
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
        views={name: make_view(key, view, config) for name, view in datasets.views.items()},
        inputs=task.inputs,
        metrics=task.metrics,
        outcome=task.outcome,
        pruning=Pruning(**config["pruning"]) if "sparsity" in config["plans"] else None,
        weighting=make_weighting(**config["weighting"]) if config["weighting"] else None,
        selection=_selection(config["selection"]),
        remat=config["remat"],
        convolutions=_convolutions(key, config, backend),
    )
    subject = Subject(objective, train[0]["image"].shape)
    plan, objective = make_plan(key, config["plans"], total, granule, subject)
    for stage in plan:
        feed.rows(dict(stage.settings))  # an unknown source is said now
        _check_candidates(key, config["batch_size"], stage, feed, backend)
    if replays := any(feed.replay(dict(stage.settings)) for stage in plan):
        feed = _replaying(key, config, feed, plan, beginnings(config["plans"], total, granule))
    drawing = Drawing(objective, make_run_optimizer(config, total), feed, frozen, members, config["ema"] > 0)
    if config["record"]:
        if task.outcome is None:
            raise UserError(f"{key}.record=True: the task {task.name!r} has no outcome of an example to record")
        noted = {"num_records": feed.joined.num_ids, "forgetting": config["forgetting"]}
        drawing = dataclasses.replace(drawing, **noted)
    if objective.remembers:
        if config["repeats"] > 1 or replays:
            what = "plans.replay" if replays else f"repeats={config['repeats']}"
            raise UserError(f"{key}.{what}: {key}.terms.{objective.remembers[0]} remembers one view of each")
        drawing = dataclasses.replace(drawing, classes=_classes(feed.joined))
    if objective.remembers_ids:
        drawing = dataclasses.replace(drawing, num_ids=feed.joined.num_ids)
    if objective.pruning is not None:
        _check_prunable(key, drawing, plan[0])
    if objective.remembers or objective.remembers_ids:
        _say_memory(key, drawing.shapes_at(plan[0]).memory)
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
        evaluator=make_evaluator(objective, datasets, backend, eval_batch_size, members),
        accumulate=config["accumulate"],
        ema_decay=config["ema"] or None,
        record=config["record"],
        members=members,
        patience=config["patience"],
        shapes_at=drawing.shapes_at if _is_reshaped(plan) else None,
        layout=Layout(tuple((pattern, axis) for pattern, axis in config["sharding"])),
        steps_per_dispatch=config["steps_per_dispatch"] or None,
    )
    _check_transitions(key, job)
    # Compiling the drawing of numbers well would take seconds, to save milliseconds once.
    options = {"xla_backend_optimization_level": 0} if backend.platform == "cpu" else None
    init = jax.jit(functools.partial(drawing.one, plan[0]), compiler_options=options)
    network = dataclasses.replace(job.network_at_end, view=datasets.view)
    predict = predictor(network, backend, eval_batch_size, task.kept)
    model = Channels.of(plan[-1].get("channels", 1.0)).of_network(model)
    return AssembledRun(config, model, job, init, train, frozen, predict, pace, coreset, lookups)


def _convolutions(key: str, config: Mapping[str, Any], backend: Backend) -> str:
    """What computes convolutions on CPUs, if it can here."""
    name = config["convolutions"]
    if name != "xla" and backend.platform == "cpu":
        try:
            check_usable(name)
        except UserError as error:
            raise UserError(f"{key}.{error}") from error
        if backend.axis_name is None and len(backend.devices) > 1:
            raise UserError(
                f"{key}.convolutions={name!r}: a program of several devices would have each compute the whole batch; "
                "use config.backend='pmap'"
            )
    return name


def _alone(backend: Backend) -> Parts | None:
    """What has each device normalise its own examples: nothing, where a step sees no others."""
    return Parts(backend.devices_seen) if backend.devices_seen > 1 else None


def _selection(config: Mapping[str, Any]) -> BatchSelection | None:
    """How steps choose among candidates; the reference that it may have is not known yet."""
    options = {name: value for name, value in config.items() if name not in ("by", "run")}
    return make_selection(**options) if options else None


def _check_candidates(key: str, batch_size: int, stage: Stage, feed: Feed, backend: Backend) -> None:
    """Refuses candidates of which there is no whole number, or which the devices do not divide.

    Raises:
      UserError: naming the plan.
    """
    share = stage.get("candidates", 1)
    if abs(share * batch_size - feed.drawn(dict(stage.settings))) > 1e-6:
        raise UserError(f"{key}.plans.candidates: {share} times {key}.batch_size={batch_size} is no whole number")
    try:
        backend.check_batch_size(feed.drawn(dict(stage.settings)))
    except UserError as error:
        raise UserError(f"{key}.plans.candidates: with {share} there are {share * batch_size:g}: {error}") from error


def _replaying(
    key: str, config: Mapping[str, Any], feed: ResidentFeed | StreamFeed, plan: Sequence[Stage], emptied: Sequence[int]
) -> StreamFeed:
    """The feed of a run in which examples are shown again, which are forgotten where the plan goes on.

    Raises:
      UserError: if nothing is decoded that could be kept, or the batch is not divided.
    """
    if not isinstance(feed, StreamFeed):
        raise UserError(
            f"{key}.plans.replay: this set is small and kept on the device whole, where nothing is decoded: leave it "
            "out, or set config.data.on_device_mib=0"
        )
    for stage in plan:
        replay = feed.replay(dict(stage.settings))
        parts = replay.times * feed.process_count if replay else 1
        if config["batch_size"] % parts:
            of = f" on {feed.process_count} processes" if feed.process_count > 1 else ""
            raise UserError(
                f"{key}.plans.replay: {parts // feed.process_count} times{of} do not divide {key}.batch_size="
                f"{config['batch_size']}"
            )
        if replay:
            size = sum(array.nbytes for array in feed.example(dict(stage.settings)).values()) // replay.times
            room = size * min(replay.batches, stage.num_steps) / 2**20
            _log.info("%s.plans.replay: from step %d on up to %.1f MiB in each process", key, stage.start, room)
    return dataclasses.replace(feed, emptied=tuple(emptied))


def _accumulated(config: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """By key, into how many parts a batch is cut, in all stages."""
    yield "accumulate", config["accumulate"]
    yield from (("plans.accumulate", parts) for _, parts in config["plans"].get("accumulate", ()))


def _classes(source: JoinedSource) -> np.ndarray:
    """The classes of examples by global id, −1 where an id is no example's."""
    classes = np.full(source.num_ids, -1, np.int32)
    classes[source.ids()] = source.column("label")
    return classes


def _say_memory(key: str, memory: Mapping[str, PyTree]) -> None:
    """Says how much of each device terms take for what they remember: every device holds all of it."""
    for name, own in memory.items():
        size = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(own))
        what = name if name in ("weighting", "selection") else f"terms.{name}"
        _log.info("%s.%s remembers the examples: %.1f MiB, on every device", key, what, size / 2**20)


def _check_prunable(key: str, drawing: Drawing, stage: Stage) -> None:
    """Refuses to prune a network that has nothing that can be.

    Raises:
      UserError: naming what leaves nothing.
    """
    try:
        jax.eval_shape(functools.partial(drawing.one, stage), np.uint32(0))
    except UserError as error:
        raise UserError(f"{key}.{error}") from error


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
        enter = functools.partial(job.enter, stage=after, before=before, shapes=job.shapes_at(after), abstract=True)
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
