"""What runs cost: compute and seconds, to the end and to an accuracy."""

from collections.abc import Mapping, Sequence

import numpy as np

from effjax import models
from effjax.recipes.train.finished import FinishedRun
from effjax.recipes.train.runs import Finished, TrainingExperiment
from effjax.reports.tables import Table
from effjax.runtime import read_metrics
from effjax.steps.narrowing import Channels

NOTE = (
    "Compute: forward FLOPs of all training images at the sizes that the student saw, over the control's. Seconds: of "
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
    """A row a run, or None where no run changes the size of its images, or the control's metrics are lost."""
    if control is None or not any("image_size" in run["plans"] for run in experiment.config["runs"].values()):
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
    headers = ("run", "steps", "compute", "seconds", "over control", "reach it", "compute to reach", "seconds to reach")
    return Table(headers, rows)


def _flops(run: FinishedRun, experiment: TrainingExperiment) -> np.ndarray:
    """Forward FLOPs of the training images up to each step, ``[steps + 1]``."""
    height, width, channels = experiment.datasets.test[0]["image"].shape
    job, spent = run.assembled.job, [np.zeros(1)]
    for stage in job.plan:
        size = stage.get("image_size", min(height, width))
        shape = (round(height * size / min(height, width)), round(width * size / min(height, width)), channels)
        model = Channels.of(stage.get("channels", 1.0)).of_network(run.assembled.model)
        each = models.flops(model, shape) * job.batch_size
        spent.append(np.full(stage.num_steps, each))
    return np.cumsum(np.concatenate(spent))


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
