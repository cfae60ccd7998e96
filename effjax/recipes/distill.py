"""The distillation experiment: teachers, students alone, students distilled, over seeds; one table, one report."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import yaml

from effjax.recipes.results import measure, test_logits
from effjax.recipes.runs import Done, Experiment, cost, write_json
from effjax.reports import tables
from effjax.reports.curves import plot_curves
from effjax.reports.html import Opinion, write_report
from effjax.reports.provenance import provenance
from effjax.runtime import read_metrics
from effjax.runtime.hosts import is_primary

_log = logging.getLogger("effjax")

SUMMARY_FILE, TABLE_FILE, CURVES_FILE, REPORT_FILE = "summary.json", "table.md", "curves.png", "report.html"
_NUM_OPINIONS = 12


def main(config: Mapping[str, Any], workdir: str | Path) -> dict[str, Any]:
    """Trains every run of every seed, evaluates it on the test split once, and reports.

    Args:
      config: as :func:`effjax.recipes.config.experiment` lays it out, plain.
      workdir: everything is written here; a second call continues, or finds everything done.

    Returns:
      The summary: by run ``params``, ``mflops`` and ``seeds``, one entry a seed.

    Raises:
      UserError: if anything in the config cannot be used.
    """
    experiment = Experiment(config, workdir)
    reference = reference_teacher(config)
    names = sorted(config["runs"], key=lambda name: (name != reference, name != control_run(config), name))
    summary: dict[str, Any] = {name: {**cost(experiment, name), "seeds": []} for name in names}
    finished: dict[tuple[str, int], Done] = {}
    for done in experiment.train():
        finished[done.name, done.seed] = done
    for name in names:  # the reference first; and all after training: the test split has no part in it
        for seed in experiment.seeds:
            teacher = None if name == reference else finished[reference, seed]
            summary[name]["seeds"].append(measure(experiment, finished[name, seed], teacher))
    if is_primary():
        write_json(experiment.workdir / SUMMARY_FILE, summary)
        _report(experiment, finished, summary, reference)
    return summary


def reference_teacher(config: Mapping[str, Any]) -> str:
    """The run that the others' agreement is measured with: the first that teaches, or else the first."""
    taught_by = [source["run"] for run in config["runs"].values() for source in run["teachers"].values()]
    return next((name for name in taught_by if name), next(iter(config["runs"])))


def control_run(config: Mapping[str, Any]) -> str | None:
    """The student alone: the first run that has no teacher and is none."""
    taught_by = {source["run"] for run in config["runs"].values() for source in run["teachers"].values()}
    return next((name for name, run in config["runs"].items() if not run["teachers"] and name not in taught_by), None)


def _report(experiment: Experiment, finished, summary, reference) -> None:
    config, folder = experiment.config, experiment.workdir
    labels = {name: config["runs"][name]["label"] or name for name in summary}
    control = control_run(config)
    notes, facts = _notes(experiment, labels, reference, control), provenance()
    page = [tables.markdown(summary, labels, control), *notes, *(f"{name}: {value}" for name, value in facts.items())]
    (folder / TABLE_FILE).write_text("\n\n".join(page) + "\n")
    print(tables.text(summary, labels, control))
    series = {name: [read_metrics(finished[name, seed].folder) for seed in experiment.seeds] for name in labels}
    panels = {"validation/accuracy": "validation accuracy", "train/loss/ce": "training cross-entropy"}
    plot_curves(folder / CURVES_FILE, series, panels, labels)
    write_report(
        folder / REPORT_FILE,
        title=f"Distillation on {experiment.datasets.info.name}",
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


def _lead(summary, labels, control) -> str:
    if control is None:
        return ""
    parts = []
    for name, run in summary.items():
        if name == control or run["params"] != summary[control]["params"]:
            continue
        gain = tables.Estimate.paired(run["seeds"], summary[control]["seeds"], "test_accuracy")
        parts.append(f"{labels[name]}: {gain.percent('+')}")
    return f"Test accuracy against {labels[control]}, seed by seed, mean ± standard error. " + "; ".join(parts) + "."


def _notes(experiment: Experiment, labels, reference, control) -> list[str]:
    seeds = ", ".join(map(str, experiment.seeds))
    data = experiment.config["data"]
    looked = "The test split was looked at once, after all training."
    if data["test"] == data["validation"]:
        looked = "The columns headed test are the validation split too: the test split was not looked at."
    return [
        f"Mean ± standard deviation over the seeds {seeds}. Last: at the end of training. Best: the checkpoint that "
        f"was best on the validation split. {looked}",
        f"Agreement: the share of test images with the same answer as {labels[reference]} of the same seed. "
        "ECE: expected calibration error, 15 bins. A multiply-add is two FLOPs."
        + (f" Δ: difference to {labels[control]}, seed by seed, mean ± standard error." if control else ""),
    ]


def _opinions(experiment: Experiment, finished, labels, reference) -> list[Opinion]:
    """The test images on which the first seed's teacher is least sure, with every network's probabilities."""
    seed, test = experiment.seeds[0], experiment.datasets.test
    probs = {name: np.asarray(jax.nn.softmax(test_logits(finished[name, seed]))) for name in labels}
    teacher = probs[reference]
    entropy = -(teacher * np.log(np.maximum(teacher, 1e-12))).sum(-1)
    names = experiment.datasets.info.class_names
    shown = []
    for row in np.argsort(-entropy)[:_NUM_OPINIONS]:
        example = test[int(row)]
        label = int(example["label"])
        caption = f"{names[label]} (test image {int(example['id'])})"
        shown.append(Opinion(example["image"], label, caption, {labels[name]: probs[name][row] for name in labels}))
    return shown


def _readable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _readable(item) for key, item in value.items()}
    return [_readable(item) for item in value] if isinstance(value, list | tuple) else value
