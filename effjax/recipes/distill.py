"""The distillation experiment: teachers, students alone, students distilled, over seeds; one table, one report."""

import functools
import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import yaml

from effjax.recipes.omitted import omitted_notes
from effjax.recipes.results import measure, test_logits
from effjax.recipes.runs import Done, Experiment, cost, write_json
from effjax.reports import tables
from effjax.reports.accuracies import plot_accuracies
from effjax.reports.curves import plot_curves
from effjax.reports.html import Opinion, write_report
from effjax.reports.provenance import provenance
from effjax.runtime import read_metrics
from effjax.runtime.hosts import is_primary

_log = logging.getLogger("effjax")

SUMMARY_FILE, TABLE_FILE, REPORT_FILE = "summary.json", "table.md", "report.html"
CURVES_FILE, ACCURACIES_FILE = "curves.png", "accuracies.png"
_NUM_OPINIONS = 12


def main(config: Mapping[str, Any], workdir: str | Path, results: str | Path | None = None) -> dict[str, Any]:
    """Trains every run of every seed, evaluates it on the test split once, and reports.

    Args:
      config: as :func:`effjax.recipes.config.experiment` lays it out, plain.
      workdir: everything is written here; a second call continues, or finds everything done.
      results: a Markdown file for the table; its plot lies beside it.

    Returns:
      The summary: by run ``params``, ``mflops`` and ``seeds``, one entry a seed.

    Raises:
      UserError: if anything in the config cannot be used.
    """
    experiment = Experiment(config, workdir)
    reference = reference_teacher(config)
    control = config["control"] or control_run(config)
    names = list(config["table"]) or sorted(config["runs"], key=lambda name: (name != reference, name != control, name))
    finished: dict[tuple[str, int], Done] = {(done.name, done.seed): done for done in experiment.train()}
    summary: dict[str, Any] = {name: {**cost(experiment, name), "seeds": []} for name in names}

    @functools.cache
    def measured(name: str, seed: int) -> dict[str, Any]:
        teacher = own_teacher(config, name, reference)
        if teacher == name:
            return measure(experiment, finished[name, seed], None)
        measured(teacher, seed)  # leaves the answers that agreement is measured with
        return measure(experiment, finished[name, seed], finished[teacher, seed])

    for name in names:  # after all training: the test split has no part in it
        summary[name]["seeds"] = [measured(name, seed) for seed in experiment.seeds]
    if is_primary():
        write_json(experiment.workdir / SUMMARY_FILE, summary)
        _report(experiment, finished, summary, reference, control, results)
    return summary


def reference_teacher(config: Mapping[str, Any]) -> str:
    """The run that agreement is measured with where a run has no teacher: the first that teaches, or else the first."""
    taught_by = [source["run"] for run in config["runs"].values() for source in run["teachers"].values()]
    return config["reference"] or next((name for name in taught_by if name), next(iter(config["runs"])))


def own_teacher(config: Mapping[str, Any], name: str, reference: str) -> str:
    """The run that another's agreement is measured with: its first teacher that is a run, itself if it only teaches."""
    own = [source["run"] for source in config["runs"][name]["teachers"].values() if source["run"]]
    taught_by = {source["run"] for run in config["runs"].values() for source in run["teachers"].values()}
    if own:
        return own[0]
    return name if name in taught_by else reference


def control_run(config: Mapping[str, Any]) -> str | None:
    """The student alone: the first run that has no teacher and is none."""
    taught_by = {source["run"] for run in config["runs"].values() for source in run["teachers"].values()}
    return next((name for name, run in config["runs"].items() if not run["teachers"] and name not in taught_by), None)


def _report(experiment: Experiment, finished, summary, reference, control, results) -> None:
    config, folder = experiment.config, experiment.workdir
    title = config["title"] or f"Distillation on {experiment.datasets.info.name}"
    labels = {name: config["runs"][name]["label"] or name for name in summary}
    notes, facts = _notes(experiment, labels, control), provenance()
    page = [tables.markdown(summary, labels, control)]
    if config["claims"]:
        page.append("\n".join(tables.claims(summary, labels, config["claims"])))
        notes.append("A claim holds if the 95 % interval of its difference is above zero; each is taken by itself.")
    page += [*omitted_notes(summary, labels), *notes, *(f"{name}: {value}" for name, value in facts.items())]
    (folder / TABLE_FILE).write_text("\n\n".join(page) + "\n")
    print(tables.text(summary, labels, control))
    series = {name: [read_metrics(finished[name, seed].folder) for seed in experiment.seeds] for name in labels}
    panels = {"validation/accuracy": "validation accuracy", "train/loss/ce": "training cross-entropy"}
    plot_curves(folder / CURVES_FILE, series, panels, labels)
    plot_accuracies(folder / ACCURACIES_FILE, summary, labels, control)
    if results:
        _publish(Path(results), title, page, folder / ACCURACIES_FILE)
    write_report(
        folder / REPORT_FILE,
        title=title,
        lead=_lead(summary, labels, control),
        headers=tables.headers(),
        rows=tables.rows(summary, labels, control),
        notes=notes,
        curves=folder / CURVES_FILE,
        class_names=experiment.datasets.info.class_names,
        opinions=_opinions(experiment, finished, labels, reference),
        facts={**facts, "config": yaml.safe_dump(_readable(config), sort_keys=False, width=110)},
    )
    _log.info("the report: %s", folder / REPORT_FILE)


def _publish(path: Path, title: str, page: Sequence[str], plot: Path) -> None:
    """Writes the table as a page of its own, its plot beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = path.with_suffix(".png")
    shutil.copyfile(plot, picture)
    path.write_text("\n\n".join([f"# {title}", page[0], f"![test accuracy by run]({picture.name})", *page[1:]]) + "\n")
    _log.info("wrote %s and %s", path, picture)


def _lead(summary, labels, control) -> str:
    if control is None:
        return ""
    parts = []
    for name, run in summary.items():
        if name == control or run["params"] != summary[control]["params"]:
            continue
        gain = tables.Estimate.paired(run["seeds"], summary[control]["seeds"], "test_accuracy")
        parts.append(f"{labels[name]}: {gain.percent('+')}")
    return f"Test accuracy against {labels[control]}, seed by seed, with its 95 % interval. " + "; ".join(parts) + "."


def _notes(experiment: Experiment, labels, control) -> list[str]:
    seeds = ", ".join(map(str, experiment.seeds))
    data = experiment.config["data"]
    looked = "The test split was looked at once, after all training."
    if data["test"] == data["validation"]:
        looked = "The columns headed test are the validation split too: the test split was not looked at."
    return [
        f"Mean ± standard deviation over the seeds {seeds}. Last: at the end of training. Best: the checkpoint that "
        f"was best on the validation split. {looked}",
        "Agreement: the share of test images with the same answer as the run's own teacher of the same seed "
        f"({labels.get(reference_teacher(experiment.config), reference_teacher(experiment.config))} for runs without). "
        "ECE: expected calibration error, 15 bins. A multiply-add is two FLOPs."
        + (
            f" Δ: difference to {labels.get(control, control)}, seed by seed, ± half its 95 % interval (Student's t)."
            if control
            else ""
        ),
    ]


def _opinions(experiment: Experiment, finished, labels, reference) -> list[Opinion]:
    """The test images on which the first seed's teacher is least sure, with every network's probabilities."""
    seed, test = experiment.seeds[0], experiment.datasets.test
    shown_runs = {reference: labels.get(reference, reference), **labels}
    probs = {name: np.asarray(jax.nn.softmax(test_logits(finished[name, seed]))) for name in shown_runs}
    teacher = probs[reference]
    entropy = -(teacher * np.log(np.maximum(teacher, 1e-12))).sum(-1)
    names = experiment.datasets.info.class_names
    shown = []
    for row in np.argsort(-entropy)[:_NUM_OPINIONS]:
        example = test[int(row)]
        label = int(example["label"])
        caption = f"{names[label]} (test image {int(example['id'])})"
        shown.append(
            Opinion(example["image"], label, caption, {shown_runs[name]: probs[name][row] for name in shown_runs})
        )
    return shown


def _readable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _readable(item) for key, item in value.items()}
    return [_readable(item) for item in value] if isinstance(value, list | tuple) else value
