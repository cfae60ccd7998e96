"""What of a run's config says how it changes over its steps: lengths, stages, view, pace, schedules."""

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from effjax import models
from effjax.curricula import Stage, pacing, stages
from effjax.data.paced import Pace
from effjax.errors import UserError, nearest
from effjax.recipes.schema.keys import number, take
from effjax.runtime.job import resized
from effjax.steps import TrainState, View, make_optimizer, make_schedule
from effjax.steps.views import REDUCTIONS

_SETTINGS = ("data", "image_size", "magnitude", "terms", "trainable")  # what a plan may change
_UP_TO = "up to "  # in a plan of what is trained: the layers up to an activation


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
    if magnitude is not None and not view.has_magnitude:
        raise UserError(f"{key}.plans.magnitude: config.view.operations=0: nothing has a magnitude; 2 is usual")
    allowed = (*REDUCTIONS, "loader")
    if config["reduction"] not in allowed:
        raise UserError(f"{key}.reduction={config['reduction']!r}; {nearest(config['reduction'], allowed)}")
    reduction = config["reduction"] if config["reduction"] in REDUCTIONS else "resize"  # where a whole image comes
    view = dataclasses.replace(view, reduction=reduction)
    return view if magnitude is None else view.at_magnitude(magnitude)


def check_resizable(key: str, before: TrainState, after: TrainState, members: int) -> None:
    """Refuses a change of size that the student cannot follow.

    Raises:
      UserError: naming a parameter whose shape would change.
    """
    try:
        jax.eval_shape(lambda state: resized(state, after, members), before)
    except UserError as error:
        raise UserError(f"{key}.plans.image_size: {error}") from error


def _piecewise(starts: Sequence[int], values: Sequence[float]) -> optax.Schedule:
    """A piecewise constant schedule of the global step."""

    def at(step: jax.Array) -> jax.Array:
        index = jnp.searchsorted(jnp.asarray(starts), step, side="right") - 1
        return jnp.asarray(values, jnp.float32)[index]

    return at


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
    exact = config["steps"] or config["epochs"] * num_examples / config["batch_size"]
    granule = 2 ** min(max(int(exact / (4 * count)), 1).bit_length() - 1, 5)
    if total := config["steps"]:
        every = max(total // count, 1)
        if total % every == 0 and not config["plans"]:
            return total, every, every
        return total, every, math.gcd(granule, every, total)
    every = max(round(exact / count / granule), 1) * granule
    return every * count, every, granule


def make_run_optimizer(config: Mapping[str, Any], total: int) -> optax.GradientTransformation:
    options, schedule = dict(config["optimizer"]), dict(config["schedule"])
    peak = number(take(options, "learning_rate", "optimizer"), "optimizer.learning_rate")
    rate = make_schedule(take(schedule, "name", "schedule"), peak, total, **_tuples(schedule))
    return make_optimizer(take(options, "name", "optimizer"), rate, **options)


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
