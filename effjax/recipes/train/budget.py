"""What a run's step takes at other sizes of its images, and the curriculum that a budget then allows."""

import dataclasses
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from effjax.curricula import Stage, efficienttrain, for_budget, relative_cost
from effjax.errors import UserError, check_known
from effjax.recipes.train.runs import TrainingExperiment
from effjax.runtime.job import spec
from effjax.runtime.programs import Programs
from effjax.steps import resize_state

_BLOCKS = 7  # timed at each size; the median counts


def plan_for_budget(config: Mapping[str, Any], workdir: str | Path, run: str, cost: float) -> dict[str, Any]:
    """Measures a run's steps at EfficientTrain's sizes and fits their lengths to a budget.

    Args:
      config: of the experiment.
      workdir: any folder that can be written.
      run: which of its runs, without plans of its own for the size.
      cost: over the run at full size.

    Returns:
      ``seconds`` by size, ``cost`` as predicted from them, and ``plans`` for the config.

    Raises:
      UserError: if there is no such run, or the budget cannot be met; says what can.
    """
    check_known(run, config["runs"], f"run={run!r}")
    experiment = TrainingExperiment(config, workdir, [run])
    full = min(experiment.datasets.train[0]["image"].shape[:2])
    sizes = [size for _, size in efficienttrain(full)[0].pieces]
    seconds = step_seconds(experiment, run, sizes)
    plans = for_budget(cost, seconds, final_size=full)
    return {
        "seconds": seconds,
        "cost": relative_cost(plans[0], seconds),
        "plans": {plan.setting: plan.pieces for plan in plans},
    }


def step_seconds(experiment: TrainingExperiment, run: str, sizes: Sequence[int]) -> dict[int, float]:
    """What a training step takes, by size of the images.

    Raises:
      UserError: if the run's network cannot follow the size, or has a teacher (its cost is not one of sizes).
    """
    assembled = experiment.runs[run]
    if assembled.frozen:
        raise UserError(
            f"config.runs.{run}.teachers: only the cost of the student depends on the size; measure it alone"
        )
    return {size: _seconds_at(assembled, size) for size in sizes}


def _seconds_at(assembled: Any, size: int) -> float:
    stage = Stage(0, 2**20, (("image_size", size),))
    job = dataclasses.replace(assembled.job, plan=(stage,), programs=Programs(), _lengths={}, _unrolled={})
    state = assembled.initial_state(0)
    sized = dataclasses.replace(job.objective, view=dataclasses.replace(job.objective.view, size=size))
    first = {name: array[:1] for name, array in job.feed.example(dict(stage.settings)).items()}
    params, model_state = jax.eval_shape(lambda key: sized.init(key, first, {}), jax.random.key(0))
    state = resize_state(state, spec(state).replace(params=params, model_state=model_state))
    length, _ = job.block_at(stage, state)
    blocks = job.feed.blocks(dict(stage.settings), 0, 0, (_BLOCKS + 1) * length, length)
    state, resident = job.place(state), job.backend.replicate(dict(job.feed.resident))
    program, taken = None, []
    for inputs in blocks:
        placed = job.backend.shard(inputs, axis=1)
        program = program or job.compile(stage, state, resident, placed)
        start = time.perf_counter()
        state, metrics = program(state, resident, placed)
        jax.block_until_ready(metrics)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken[1:]) / length
