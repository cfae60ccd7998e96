"""What runs cost: compute and seconds, to the end and to an accuracy."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import numpy as np

from effjax import models
from effjax.data.feeds import Feed
from effjax.recipes.build.datasets import read_of
from effjax.recipes.train.finished import FinishedRun
from effjax.recipes.train.runs import Finished, TrainingExperiment
from effjax.reports.tables import Table
from effjax.runtime import read_metrics
from effjax.steps.narrowing import Channels

#: Keys of a run that say how long it is and what is noted of it, and not how it learns.
_OF_LENGTH = (
    "label",
    "steps",
    "epochs",
    "record",
    "forgetting",
    "evaluations",
    "num_seeds",
    "keep",
    "checkpoint_every",
    "log_every",
)

_HEADERS = ("run", "steps", "compute", "seconds", "over control", "reach it", "compute to reach", "seconds to reach")

NOTE = (
    "Compute: forward FLOPs of all training images at the sizes that the student saw, over the control's; of "
    "candidates that a step asked its student about, a third. What ranked examples before is not counted. Seconds: of "
    "training alone, without evaluation, saving and compiling, on the machine named below. To reach: until the "
    "validation accuracy, at the full size, is that of the control at its end (mean over seeds); the number of seeds "
    "that did, and the mean over these."
)


def cost_table(
    experiment: TrainingExperiment,
    finished: Finished,
    labels: Mapping[str, str],
    control: str | None,
) -> Table | None:
    """A row a run, or None where all runs cost the same by nature, or the control's metrics are lost."""
    if control is None or not any(_saves(run) for run in experiment.config["runs"].values()):
        return None
    seeds = experiment.seeds_of(control)
    ends = [_curve(finished[control, seed])[-1:] for seed in seeds]
    if not all(ends):  # its metrics are lost
        return None
    goal = float(np.mean([value for ((_, value),) in ends]))
    whole = _flops(finished[control, seeds[0]], experiment)[-1]
    base = np.mean([_seconds(finished[control, seed]) for seed in seeds])
    rows = []
    for name, label in labels.items():
        runs = [finished[name, seed] for seed in experiment.seeds_of(name)]
        flops = _flops(runs[0], experiment)
        seconds = float(np.mean([_seconds(run) for run in runs]))
        reached = [(run, step) for run in runs if (step := _first(run, goal)) is not None]
        to_reach = [flops[step] / whole for _, step in reached]
        times = [_seconds_at(run, step) for run, step in reached]
        rows.append(
            (
                label,
                f"{runs[0].last.step:,}",
                f"{flops[-1] / whole:.2f}",
                f"{seconds:.1f}",
                f"{seconds / base:.2f}",
                f"{len(reached)} of {len(runs)}",
                f"{np.mean(to_reach):.2f}" if reached else "",
                f"{np.mean(times) / base:.2f}" if reached else "",
            )
        )
    if any("replay" in run["plans"] for run in experiment.config["runs"].values()):
        rows = [
            (*row, f"{_decoded(finished[name, experiment.seeds_of(name)[0]]):,}")
            for row, name in zip(rows, labels, strict=True)
        ]
        return Table((*_HEADERS, "images decoded"), rows)
    return Table(_HEADERS, rows)


def compute_of(
    experiment: TrainingExperiment, finished: Finished, names: Iterable[str], control: str
) -> dict[str, float]:
    """What runs compute as they train, over the control, as :func:`cost_table` counts it."""
    first = {name: finished[name, experiment.seeds_of(name)[0]] for name in {*names, control}}
    whole = _flops(first[control], experiment)[-1]
    return {name: float(_flops(first[name], experiment)[-1] / whole) for name in names}


def methods_of(config: Mapping[str, Any], names: Iterable[str], control: str) -> list[list[str]]:
    """Groups of runs that differ in nothing but their length; that of the control first."""
    groups: list[list[str]] = []
    for name in names:
        same = next((group for group in groups if _method(config, group[0]) == _method(config, name)), None)
        groups.append([name]) if same is None else same.append(name)
    return sorted(groups, key=lambda group: control not in group)


def _method(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in config["runs"][name].items() if key not in _OF_LENGTH}


def _saves(run: Mapping[str, Any]) -> bool:
    """Whether a run is there to save compute: by smaller images, some of their patches, or fewer or chosen examples."""
    return bool({"image_size", "candidates", "tokens", "replay"} & set(run["plans"])) or bool(run["coreset"])


def _flops(run: FinishedRun, experiment: TrainingExperiment) -> np.ndarray:
    """Forward FLOPs of the training images up to each step, ``[steps + 1]``, with those of choosing them."""
    first, *others = read_of(experiment.datasets.test, experiment.datasets.task.inputs)
    height, width, channels = first.shape[1:]
    job, spent = run.assembled.job, [np.zeros(1)]
    for stage in job.plan:
        size = stage.get("image_size", min(height, width))
        shape = (round(height * size / min(height, width)), round(width * size / min(height, width)), channels)
        model, training = Channels.of(stage.get("channels", 1.0)).of_network(run.assembled.model), False
        if "tokens" in dict(stage.settings) and hasattr(model, "token_share"):
            model, training = model.clone(token_share=float(cast(float, stage["tokens"]))), True
        selection, candidates = job.objective.selection, stage.get("candidates", 1)
        # Backward costs twice as much as forward, so that to look at a candidate costs a third of training on it.
        looked = candidates / 3 if selection is not None and selection.asks and candidates > 1 else 0.0
        views = 1 + len(job.objective_at(stage).further)
        each = models.flops(model, shape, others=others, training=training) * job.batch_size * (1 + looked) * views
        spent.append(np.full(stage.num_steps, each))
    return np.cumsum(np.concatenate(spent))


def _decoded(run: FinishedRun) -> int:
    """How many training images were decoded, and not shown again from a replay buffer."""
    job = run.assembled.job
    return sum(stage.num_steps * cast(Feed, job.feed).decoded(dict(stage.settings)) for stage in job.plan)


def _curve(run: FinishedRun) -> Sequence[tuple[int, float]]:
    """Validation accuracy by step, where the images have their last size."""
    lines = read_metrics(run.last.folder)
    key = f"validation/{run.assembled.job.watch}"
    found = [(int(line["step"]), line[key]) for line in lines if key in line]
    return [(step, value) for step, value in found if step > run.assembled.job.watch_from]


def _first(run: FinishedRun, goal: float) -> int | None:
    return next((step for step, value in _curve(run) if value >= goal), None)


def _seconds(run: FinishedRun) -> float:
    return sum(stage[0] for stage in run.clock["stages"])


def _seconds_at(run: FinishedRun, step: int) -> float:
    return next(seconds for at, seconds in run.clock["at"] if at == step)
