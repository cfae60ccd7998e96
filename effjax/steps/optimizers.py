"""Optimisers and learning-rate schedules of optax, by name."""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from effjax.errors import UserError, check_known, nearest
from effjax.steps.masks import path_mask

Schedule = optax.Schedule

DECAYED = r".*/kernel"  # weight decay acts on kernels, not on biases or normalisation


def _sgd(learning_rate: Schedule, mask: Callable, *, momentum: float, nesterov: bool, weight_decay: float):
    # Decay enters before the momentum, as the published SGD recipes have it (an L2 penalty on the loss).
    decay = optax.add_decayed_weights(weight_decay, mask) if weight_decay else optax.identity()
    return optax.chain(decay, optax.sgd(learning_rate, momentum or None, nesterov))


def _adam(learning_rate: Schedule, mask: Callable, *, b1: float, b2: float, eps: float):
    return optax.adam(learning_rate, b1, b2, eps)


def _adamw(learning_rate: Schedule, mask: Callable, *, b1: float, b2: float, eps: float, weight_decay: float):
    return optax.adamw(learning_rate, b1, b2, eps, weight_decay=weight_decay, mask=mask)


def _lamb(learning_rate: Schedule, mask: Callable, *, b1: float, b2: float, eps: float, weight_decay: float):
    return optax.lamb(learning_rate, b1, b2, eps, weight_decay=weight_decay, mask=mask)


_ADAM = {"b1": 0.9, "b2": 0.999, "eps": 1e-8}
OPTIMIZERS: dict[str, tuple[Callable[..., optax.GradientTransformation], dict[str, Any]]] = {
    "sgd": (_sgd, {"momentum": 0.9, "nesterov": False, "weight_decay": 0.0}),
    "adam": (_adam, _ADAM),
    "adamw": (_adamw, {**_ADAM, "weight_decay": 1e-4}),
    "lamb": (_lamb, {**_ADAM, "eps": 1e-6, "weight_decay": 0.0}),
}


def make_optimizer(
    name: str, learning_rate: float | Schedule, *, clip_norm: float = 0.0, decay_mask: str = DECAYED, **options: Any
) -> optax.GradientTransformation:
    """Makes an optimiser.

    Args:
      name: one of ``OPTIMIZERS``.
      learning_rate: a number or a schedule of the global step.
      clip_norm: the gradient's global norm is cut to this; 0 leaves it.
      decay_mask: a regular expression over parameter paths; weight decay acts on those it fully matches.
      **options: the optimiser's own.

    Returns:
      An optax transformation.

    Raises:
      UserError: if there is no such optimiser, or it has no such option.
    """
    check_known(name, OPTIMIZERS, f"optimizer.name={name!r}")
    make, defaults = OPTIMIZERS[name]
    for option in options:
        if option not in defaults:
            allowed = nearest(option, [*defaults, "learning_rate", "clip_norm", "decay_mask"])
            raise UserError(f"optimizer.{option}: {name} has no such option; {allowed}")

    def mask(params):
        return path_mask(params, decay_mask, key="optimizer.decay_mask")

    optimizer = make(learning_rate, mask, **{**defaults, **options})
    return optax.chain(optax.clip_by_global_norm(clip_norm), optimizer) if clip_norm else optimizer


def restart(optimizer: optax.GradientTransformation, opt_state: optax.OptState, params: Any) -> optax.OptState:
    """Starts an optimiser afresh, but for its schedules, which go on by the global step.

    For a stage that trains other parameters than the one before: what the optimiser has remembered is of no use, and
    Adam would take the newly trained ones for old acquaintances (its bias correction is over, their moments are zero:
    a first step three times as long as it should be).

    Args:
      optimizer: that made ``opt_state``.
      opt_state: the state so far.
      params: the parameters as they are.

    Returns:
      The new state; its structure is that of the parameters.
    """

    def is_schedule(node: Any) -> bool:
        return isinstance(node, optax.ScaleByScheduleState)

    kept = iter([node for node in jax.tree.leaves(opt_state, is_leaf=is_schedule) if is_schedule(node)])
    new = optimizer.init(params)
    return jax.tree.map(lambda node: next(kept) if is_schedule(node) else node, new, is_leaf=is_schedule)


def make_schedule(
    name: str,
    peak: float,
    total_steps: int,
    *,
    begin: float = 0.0,
    warmup: float = 0.0,
    end: float = 0.0,
    boundaries: tuple[float, ...] = (),
    factor: float = 0.1,
    progress: tuple[tuple[float, float], ...] = (),
    warmups: tuple[tuple[float, float], ...] = (),
    **unknown: Any,
) -> Schedule:
    """Makes a schedule of the global step.

    Args:
      name: ``constant``, ``cosine``, ``linear`` (to ``end``) or ``step``.
      peak: the value after the warm-up.
      total_steps: the length of the run.
      begin: the share of the run after which the schedule begins; until then it stays at its first value.
      warmup: the share of what is left of the run over which the value rises linearly from 0 to ``peak``.
      end: the value at the end of a ``cosine`` or ``linear`` schedule.
      boundaries: for ``step``, the fractions of the run at which the value is multiplied by ``factor``.
      factor: see ``boundaries``.
      progress: corners ``(share of the steps, share of the schedule)`` of a piecewise linear function, if the schedule
        is to follow something else than the steps, as :func:`effjax.curricula.compute_progress` gives them.
      warmups: ``(from which share of the run, warm-up)``, in the place of ``warmup``: from there on it is the schedule
        with that warm-up, at the same step.
      **unknown: refused.

    Returns:
      An optax schedule.

    Raises:
      UserError: if there is no such schedule or option, or a share of the run lies outside of it.
    """
    for option in unknown:
        raise UserError(f"schedule.{option}: no such option; {nearest(option, make_schedule.__kwdefaults__ or ())}")
    if warmups:
        given = {"begin": begin, "end": end, "boundaries": boundaries, "factor": factor, "progress": progress}
        make = functools.partial(make_schedule, name, peak, total_steps, **given)
        return _by_stage(warmups, make, total_steps)
    for share, value in (("warmup", warmup), ("begin", begin)):
        if not 0.0 <= value < 1.0:
            raise UserError(f"schedule.{share}={value}: allowed: a share of the run, from 0 to below 1")
    if progress:
        options = {"begin": begin, "warmup": warmup, "end": end, "boundaries": boundaries, "factor": factor}
        return _following(progress, make_schedule(name, peak, total_steps, **options), total_steps)
    if begin:
        wait = round(begin * total_steps)
        options = {"warmup": warmup, "end": end, "boundaries": boundaries, "factor": factor}
        schedule = make_schedule(name, peak, max(total_steps - wait, 1), **options)
        return optax.join_schedules([optax.constant_schedule(schedule(0)), schedule], [wait])
    if not all(0.0 < b < 1.0 for b in boundaries):
        raise UserError(f"schedule.boundaries={boundaries}: allowed: shares of the run, between 0 and 1")
    warmup_steps = round(warmup * total_steps)
    rest = max(total_steps - warmup_steps, 1)
    drops: dict[int, float] = {}
    for boundary in boundaries:  # in a short run several may fall on one step
        step = round(boundary * total_steps) - warmup_steps
        drops[step] = drops.get(step, 1.0) * factor
    makers: dict[str, Callable[[], Schedule]] = {
        "constant": lambda: optax.constant_schedule(peak),
        "cosine": lambda: optax.cosine_decay_schedule(peak, rest, alpha=end / peak if peak else 0.0),
        "linear": lambda: optax.linear_schedule(peak, end, rest),
        "step": lambda: optax.piecewise_constant_schedule(peak, drops),
    }
    check_known(name, makers, f"schedule.name={name!r}")
    if not warmup_steps:
        return makers[name]()
    return optax.join_schedules([optax.linear_schedule(0.0, peak, warmup_steps), makers[name]()], [warmup_steps])


def _following(progress: tuple[tuple[float, float], ...], schedule: Schedule, total_steps: int) -> Schedule:
    """A schedule of something that grows with the steps, but not evenly."""
    steps, shares = (np.array(corners, np.float64) for corners in zip(*progress, strict=True))
    if steps[0] != 0 or steps[-1] != 1 or any(np.any(np.diff(x) <= 0) for x in (steps, shares)):
        raise UserError(f"schedule.progress={progress}: allowed: corners from (0, 0) to (1, 1) that rise")

    def at(step: Any) -> Any:
        return schedule(jnp.interp(step / total_steps, jnp.asarray(steps), jnp.asarray(shares)) * total_steps)

    return at


def _by_stage(warmups: Sequence[tuple[float, float]], make: Callable[..., Schedule], total_steps: int) -> Schedule:
    """Of schedules that differ in their warm-up, now the one, now the other."""
    starts, shares = zip(*warmups, strict=True)
    if starts[0] != 0 or any(b <= a for a, b in itertools.pairwise(starts)) or starts[-1] >= 1:
        raise UserError(
            f"schedule.warmups={warmups}: allowed: (from which share of the run, warm-up), from 0 on, rising"
        )
    schedules = [make(warmup=share) for share in shares]
    boundaries = np.array([round(start * total_steps) for start in starts[1:]], np.int64)

    def at(step: Any) -> Any:
        stage = jnp.searchsorted(jnp.asarray(boundaries), step, side="right")
        return jnp.stack([jnp.asarray(schedule(step)) for schedule in schedules])[stage]

    return at
