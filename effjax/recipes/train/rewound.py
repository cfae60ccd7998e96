"""Lottery tickets: a run that starts where another was at an early step, without what a third has removed."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from effjax.errors import UserError
from effjax.recipes.build.assemble import AssembledRun
from effjax.recipes.build.hashes import params_sha256
from effjax.recipes.train.finished import FinishedRun
from effjax.runtime import Job, checkpoints
from effjax.steps import TrainState
from effjax.steps.student_masks import masked_student


def check_rewound(key: str, assembled: AssembledRun, runs: Mapping[str, AssembledRun]) -> None:
    """Refuses a step whose checkpoint will not be there.

    Args:
      key: of the run's config, for errors.
      assembled: the run.
      runs: by name, those that could be made so far.

    Raises:
      UserError: saying what is needed.
    """
    told = assembled.config["rewind"]
    for part in ("run", "masks"):
        if told[part] in runs and runs[told[part]].job.members:
            raise UserError(
                f"{key}.rewind.{part}={told[part]!r}: it is several networks in one program: train them apart"
            )
    if not told["step"] or told["run"] not in runs:  # what that run cannot use has been said
        return
    source, step = runs[told["run"]], told["step"]
    job = source.job
    of = f"config.runs.{assembled.config['rewind']['run']}"
    if step >= job.total_steps or step % job.checkpoint_every:
        raise UserError(
            f"{key}.rewind.step={step}: {of} has {job.total_steps} steps, and a checkpoint at every "
            f"{job.checkpoint_every}-th: name one of them before its end, or 0"
        )
    if source.config["keep"] < (needed := _saved_from(step, job)):
        raise UserError(f"{key}.rewind.step={step}: {of}.keep={source.config['keep']} must be {needed} or more")


def rewound(
    state: TrainState, assembled: AssembledRun, seed: int, runs: Mapping[str, AssembledRun], done: Callable[[str], Any]
) -> tuple[TrainState, dict[str, str]]:
    """Puts another run's parameters in the place of those drawn, and removes what a third has removed.

    Args:
      state: the state before the first step, on the host.
      assembled: the run.
      seed: its seed.
      runs: all runs.
      done: from a run's name to how it ended with this seed.

    Returns:
      The state, and the hashes of what it was made of.

    References:
      Frankle & Carbin, `The Lottery Ticket Hypothesis <https://arxiv.org/abs/1803.03635>`_, 2019; Frankle et al.,
      `Stabilizing the Lottery Ticket Hypothesis <https://arxiv.org/abs/1903.01611>`_, 2019.
    """
    told = assembled.config["rewind"]
    if told["step"]:
        source: FinishedRun = done(told["run"])
        found = checkpoints.read_variables(source.last.folder / "checkpoints", told["step"])
    else:
        first = runs[told["run"]].initial_state(seed)
        found = {"params": first.params["student"], **first.model_state}
    hashes = {"params": params_sha256(found)}
    params = {**state.params, "student": found["params"]}
    rest = {name: value for name, value in found.items() if name != "params"}
    state = state.replace(params=params, model_state=rest)
    if told["masks"]:
        last: FinishedRun = done(told["masks"])
        masks = checkpoints.read_masks(last.last.folder / "checkpoints", last.last.step)
        hashes["masks"] = params_sha256(masks)
        state = state.replace(masks=masks, params=masked_student(state.params, masks))
    else:
        state = assembled.job.begin(state)
    if state.ema != ():
        state = state.replace(ema=jax.tree.map(jnp.copy, state.params))
    return jax.tree.map(np.asarray, state), hashes


def _saved_from(step: int, job: Job) -> int:
    """How many checkpoints there may be from a step to the end: at an evaluation that is the best there is one, too."""
    left = range(step, job.total_steps + 1)
    return sum(
        at in (step, job.total_steps) or at % job.checkpoint_every == 0 or at % job.evaluate_every == 0 for at in left
    )
