"""What of a run's config says how it changes over its steps: lengths, stages, view, pace, schedules."""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import optax

from effjax.curricula import Stage, pacing, stages
from effjax.data.coreset import Coreset, kept
from effjax.data.paced import Pace
from effjax.errors import UserError, nearest
from effjax.recipes.schema.keys import number, take
from effjax.steps import Objective, View, make_optimizer, make_schedule
from effjax.steps.settings import Setting, Subject, find_setting
from effjax.steps.views import REDUCTIONS


def make_pace(config: Mapping[str, Any], total: int) -> Pace | None:
    """What the examples are paced by; their difficulty is not known yet."""
    if not config:
        return None
    share = pacing(config["kind"], start=config["start"], full_at=config["full_at"])
    return Pace(share, config["order"], total, balanced=config.get("balanced", False))


def make_coreset(config: Mapping[str, Any]) -> Coreset | None:
    """The part of the examples that is drawn from; their difficulty is not known yet."""
    return Coreset(config["share"], config["part"], config["balanced"]) if config else None


def make_plan(
    key: str, plans: Mapping[str, Any], total: int, granule: int, subject: Subject
) -> tuple[tuple[Stage, ...], Objective]:
    """Cuts a run into stages; settings that need no new program become schedules of the objective.

    Returns:
      The stages, and the objective with the schedules applied.

    Raises:
      UserError: naming the setting that cannot be used.
    """
    static: dict[str, Any] = {}
    objective = subject.objective
    try:
        for name, pieces in plans.items():
            setting, read = _read(f"{key}.plans", name, pieces, subject)
            if setting.kind == "schedule":
                levels = stages(total, {name: read}, multiple_of=granule)
                schedule = setting.schedule([(stage.start, stage[name]) for stage in levels], total)
                objective = setting.apply(objective, schedule)
            else:
                static[name] = read
        return stages(total, static or {"trainable": [[0.0, ".*"]]}, multiple_of=granule), objective
    except UserError:  # which is a ValueError, and names its key
        raise
    except ValueError as error:
        raise UserError(f"{key}.plans: {error}") from error


def beginnings(plans: Mapping[str, Any], total: int, granule: int) -> tuple[int, ...]:
    """The steps from which on anything in a run's plans has another value than before, and 0."""
    cut = (stages(total, {name: pieces}, multiple_of=granule) for name, pieces in plans.items())
    return tuple(sorted({0, *(stage.start for stages_ in cut for stage in stages_)}))


def _read(key: str, name: str, pieces: Iterable[Sequence[Any]], subject: Subject) -> tuple[Setting, list[Any]]:
    """A setting, and what the values of its plan stand for."""
    try:
        setting = find_setting(name)
    except UserError as error:
        raise UserError(f"{key}.{error}") from error
    read = [(begin, setting.read(value, subject)) for begin, value in pieces]
    if setting.late and read[0][1] is not None:
        raise UserError(f"{key}.{name}: a run begins with None, and with {read[0][1]!r} later: [[0.0, None], [0.5, …]]")
    for _, value in read:
        if problem := setting.check(value, subject):
            raise UserError(f"{key}.{name}: {problem}")
    return setting, read


def make_view(key: str, view: View, config: Mapping[str, Any]) -> View:
    """The experiment's view as one run has it.

    Raises:
      UserError: if there is no such reduction, or teachers would see what it does.
    """
    allowed, early = (*REDUCTIONS, "early", "loader"), config["reduction"] == "early"
    if config["reduction"] not in allowed:
        raise UserError(f"{key}.reduction={config['reduction']!r}; {nearest(config['reduction'], allowed)}")
    if early and config["teachers"]:
        raise UserError(
            f"{key}.reduction='early': {key}.teachers would see small images, unlike in their training: use 'resize'"
        )
    reduction = config["reduction"] if config["reduction"] in REDUCTIONS else "resize"  # where a whole image comes
    return dataclasses.replace(view, reduction=reduction, early=early)


def lengths(config: Mapping[str, Any], num_examples: int) -> tuple[int, int, int]:
    """A run's length, the steps between evaluations, and what stages are aligned to.

    A length in epochs is rounded so that evaluations, stages and blocks of steps fall together; a length in steps is
    taken as it is. An epoch is a pass over what the run draws from: all that its coreset keeps, and where steps choose
    among candidates, over these.

    Returns:
      ``(total_steps, evaluate_every, granule)``.
    """
    count = max(config["evaluations"], 1)
    coreset = config["coreset"]
    drawn = kept(num_examples, coreset["share"]) if coreset else num_examples
    exact = config["steps"] or config["epochs"] * drawn / (config["batch_size"] * _mean_candidates(config["plans"]))
    granule = 2 ** min(max(int(exact / (4 * count)), 1).bit_length() - 1, 5)
    if total := config["steps"]:
        every = max(total // count, 1)
        if total % every == 0 and not config["plans"]:
            return total, every, every
        return total, every, math.gcd(granule, every, total)
    every = max(round(exact / count / granule), 1) * granule
    return every * count, every, granule


def _mean_candidates(plans: Mapping[str, Any]) -> float:
    """How many candidates there are for each example that is trained on, over the run."""
    pieces = plans.get("candidates") or [(0.0, 1.0)]
    ends = [*(start for start, _ in pieces[1:]), 1.0]
    mean = sum((end - start) * value for (start, value), end in zip(pieces, ends, strict=True))
    return max(mean, 1.0)  # what is no plan is refused where it is read


def make_run_optimizer(config: Mapping[str, Any], total: int) -> optax.GradientTransformation:
    """The optimiser that a run's config describes, over ``total`` steps."""
    options = dict(config["optimizer"])
    rate = make_run_schedule(config, total)
    take(options, "learning_rate", "optimizer")
    return make_optimizer(take(options, "name", "optimizer"), rate, **options)


def make_run_schedule(config: Mapping[str, Any], total: int) -> optax.Schedule:
    """The learning rate that a run's config describes, over ``total`` steps."""
    options, schedule = dict(config["optimizer"]), dict(config["schedule"])
    peak = number(take(options, "learning_rate", "optimizer"), "optimizer.learning_rate")
    return make_schedule(take(schedule, "name", "schedule"), peak, total, **_tuples(schedule))


def scheduled_options(term: str, options: Mapping[str, Any], total: int) -> dict[str, Any]:
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
