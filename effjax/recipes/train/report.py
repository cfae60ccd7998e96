"""What an experiment ends with: a table, plots, one page for people."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from effjax.data.base import Subset
from effjax.recipes.train.costs import NOTE as COST_NOTE
from effjax.recipes.train.costs import compute_of, cost_table, methods_of
from effjax.recipes.train.omitted import omitted_table
from effjax.recipes.train.results import test_logits
from effjax.recipes.train.runs import Finished, TrainingExperiment
from effjax.reports import tables
from effjax.reports.accuracies import plot_accuracies
from effjax.reports.active import CaptionedImage
from effjax.reports.against_compute import plot_against_compute
from effjax.reports.boxes import plot_boxes
from effjax.reports.curves import plot_curves
from effjax.reports.drawn_boxes import FOUND, TRUE, Marks, drawn_boxes
from effjax.reports.pages import REPORT_FILE, Page
from effjax.reports.provenance import provenance
from effjax.reports.training import Opinion, write_report
from effjax.runtime import read_metrics
from effjax.tasks import Task

CURVES_FILE, ACCURACIES_FILE, COMPUTE_FILE = "curves.png", "accuracies.png", "compute.png"
_NUM_OPINIONS, _NUM_NETWORKS, _NUM_FOUND = 12, 6, 12
_MOST_IN_A_SENTENCE = 4
_SEEDS_FOR_BOXES = 10  # fewer are better seen one by one


def report(
    experiment: TrainingExperiment,
    finished: Finished,
    summary: Mapping[str, Any],
    teachers: Mapping[str, Any],
    reference: str,
    control: str | None,
    results: str | Path | None,
) -> None:
    """Writes the table, the plots and the page of an experiment, and prints the table.

    Args:
      experiment: the experiment.
      finished: its runs, by name and seed.
      summary: by run ``params``, ``mflops`` and ``seeds``, in the order of the table.
      teachers: the same of teachers that are no runs.
      reference: the teacher whose doubts choose the images that are shown.
      control: the run that others are compared with, if any.
      results: a Markdown file for the table, its plot beside it; None or empty for none.
    """
    config, folder = experiment.config, experiment.workdir
    taught = any(run["teachers"] for run in config["runs"].values())
    title = config["title"] or f"{'Distillation' if taught else 'Training'} on {experiment.datasets.info.name}"
    labels = {name: config["runs"][name]["label"] or name for name in summary}
    notes = _notes(experiment, labels, reference, control, taught)
    task = experiment.datasets.task
    main = tables.results(
        {**teachers, **summary}, labels, control, task.watch, task.label, task.columns, agreement=taught
    )
    key = f"test/{task.watch}" if config["judge"] == "last" else f"test/{task.watch}_best"
    further = _further_tables(config, summary, labels, key)
    if costs := cost_table(experiment, finished, labels, control):
        further.append((costs, COST_NOTE))
    notes += _lost(summary, labels)
    series = {
        name: [read_metrics(finished[name, seed].last.folder) for seed in experiment.seeds_of(name)] for name in labels
    }
    panels = {f"validation/{task.watch}": f"validation {task.watched}"}
    panels |= {"train/loss/ce": "training cross-entropy"} if task.of_classes else {"train/loss": "training loss"}
    plot_curves(folder / CURVES_FILE, series, panels, labels)
    plot = plot_boxes if len(experiment.seeds) >= _SEEDS_FOR_BOXES else plot_accuracies
    metric = "" if task.of_classes else f"test {task.watched}"
    plot(folder / ACCURACIES_FILE, summary, labels, control, key, metric)
    page = Page(title, _lead(summary, labels, control, task), provenance(), main, notes, further, config)
    shown, shows = ACCURACIES_FILE, f"test {task.watched} by run"
    methods = methods_of(config, summary, control) if control is not None and control in summary else [[]]
    if control is not None and len(methods[0]) > 1:  # it is there at several lengths
        shown, shows = COMPUTE_FILE, f"test {task.watched} against compute"
        compute = compute_of(experiment, finished, summary, control)
        plot_against_compute(folder / COMPUTE_FILE, compute, summary, labels, methods, key, metric)
    page.publish(folder, folder / shown, shows, results)
    write_report(
        folder / REPORT_FILE,
        page,
        accuracies=folder / ACCURACIES_FILE,
        curves=folder / CURVES_FILE,
        class_names=experiment.datasets.info.class_names,
        taught=taught,
        opinions=_opinions(experiment, finished, labels, _shown(summary, reference, control)),
        found=_found(experiment, finished, labels),
    )


def _further_tables(config: Mapping[str, Any], summary, labels, key: str) -> list[tuple[tables.Table, str]]:
    """Tables besides the results, each with how to read it."""
    further = []
    if config["claims"]:
        note = tables.VERDICTS
        further.append((tables.claims(summary, labels, config["claims"], key), note))
    if omitted := omitted_table(summary, labels):
        note = "The bias of the classes never seen is raised by the shift that makes most validation images right."
        further.append((omitted, note))
    return further


def _lead(summary, labels, control, task: Task) -> str:
    """The gains, if they are few enough to be read in a sentence."""
    if control not in summary:
        return ""
    alike = [name for name, run in summary.items() if name != control and run["params"] == summary[control]["params"]]
    if not 0 < len(alike) <= _MOST_IN_A_SENTENCE:
        return ""
    seeds = summary[control]["seeds"]
    gains = (tables.Estimate.paired(summary[name]["seeds"], seeds, f"test/{task.watch}").percent("+") for name in alike)
    parts = (f"{labels[name]}: {gain}" for name, gain in zip(alike, gains, strict=True))
    return f"Test {task.watched} against {labels[control]}, seed by seed, with its 95 % interval. {'; '.join(parts)}."


def _shown(summary, reference: str, control: str | None) -> list[str]:
    """The runs whose probabilities are drawn: teacher and control, and of the others the first that are like it."""
    first = [name for name in dict.fromkeys((reference, control)) if name]
    params = summary[control]["params"] if control in summary else None
    alike = [name for name, run in summary.items() if name not in first and params in (None, run["params"])]
    return [*first, *alike][:_NUM_NETWORKS]


def _notes(experiment: TrainingExperiment, labels, reference, control, taught: bool) -> list[str]:
    data = experiment.config["data"]
    runs = {label: experiment.seeds_of(name) for name, label in labels.items()}
    looked = "The test split was looked at once, after all training."
    if data["test"] == data["validation"]:
        looked = "The columns headed test are the validation split too: the test split was not looked at."
    return [
        f"{tables.averaged_over(experiment.seeds, runs)} Last: at the end of training. Best: the checkpoint that "
        f"was best on the validation split. {looked}",
        (
            "Agreement: the share of test images with the same answer as the run's own teacher of the same seed "
            f"({labels.get(reference, reference)} for runs without). "
            if taught and experiment.datasets.task.of_classes
            else ""
        )
        + ("ECE: expected calibration error, 15 bins. " if experiment.datasets.task.of_classes else "")
        + "A multiply-add is two FLOPs."
        + (
            f" Δ: difference to {labels.get(control, control)}, by seed, ± half its 95 % interval (Student's t)."
            if control
            else ""
        ),
    ]


def _lost(summary: Mapping[str, Any], labels: Mapping[str, str]) -> list[str]:
    """What is said of runs whose best checkpoint is gone."""
    runs = [
        f"{labels[name]}, seed {seed['seed']} (step {seed['lost_best']})"
        for name, run in summary.items()
        for seed in run["seeds"]
        if "lost_best" in seed
    ]
    return [f"The best checkpoint is gone, and the last counts as the best: {'; '.join(runs)}."] if runs else []


def _found(experiment: TrainingExperiment, finished: Finished, labels) -> dict[str, list[CaptionedImage]]:
    """The first test images with true boxes and those that each run's network of the first seed finds."""
    task, test = experiment.datasets.task, experiment.datasets.test
    if task.marks is None:
        return {}
    some = Subset(test, test.ids()[:_NUM_FOUND])
    shown, targets = {}, {name: some.column(name) for name in task.targets}
    for name, label in labels.items():
        done = finished[name, experiment.seeds_of(name)[0]]
        kept = done.assembled.predict(done.variables("last"), some)
        marks = [[Marks(true, TRUE), Marks(found, FOUND)] for true, found in task.marks(kept, targets)]
        shown[label] = [
            CaptionedImage(drawn_boxes(some[row]["image"], marks[row]), f"test image {int(some[row]['id'])}")
            for row in range(len(some))
        ]
    return shown


def _opinions(experiment: TrainingExperiment, finished, labels, names: Sequence[str]) -> list[Opinion]:
    """The test images on which the first network, the teacher, is least sure, for the first seed."""
    seed, test = experiment.seeds[0], experiment.datasets.test
    if not experiment.datasets.task.of_classes:
        return []
    probs = {name: np.asarray(jax.nn.softmax(test_logits(finished[name, seed]))) for name in names}
    teacher = probs[names[0]]
    entropy = -(teacher * np.log(np.maximum(teacher, 1e-12))).sum(-1)
    classes = experiment.datasets.info.class_names
    shown = []
    for row in np.argsort(-entropy)[:_NUM_OPINIONS]:
        example = test[int(row)]
        label = int(example["label"])
        caption = f"{classes[label]} (test image {int(example['id'])})"
        rows = {labels.get(name, name): probs[name][row] for name in names}
        shown.append(Opinion(example["image"], label, caption, rows))
    return shown
