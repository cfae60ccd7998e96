"""What the experiment ends with: a table, a plot, one page for people."""

import importlib.metadata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from effjax.recipes.train.runs import TrainingExperiment
from effjax.reports import compress_tables, tables
from effjax.reports.compress import write_report
from effjax.reports.compress_plots import plot_tradeoffs
from effjax.reports.pages import REPORT_FILE, Page
from effjax.reports.provenance import provenance

TRADEOFFS_FILE = "tradeoffs.png"


def report(
    experiment: TrainingExperiment,
    summary: Mapping[str, Any],
    teachers: Mapping[str, Any],
    results: str | Path | None,
) -> None:
    """Writes the table, the plot and the page of an experiment, and prints the table.

    Args:
      experiment: the experiment.
      summary: by export, in the order of the table, as :func:`effjax.recipes.compress.experiment.main` returns it.
      teachers: those that are no runs, by what they are called, with ``params``, ``mflops`` and ``seeds``.
      results: a Markdown file for the table, its plot beside it; None or empty for none.
    """
    config, folder = experiment.config, experiment.workdir
    title = config["title"] or f"Small networks on {experiment.datasets.info.name}"
    labels = {name: export["label"] or name for name, export in summary.items()}
    compared = (
        (compress_tables.comparisons(summary, labels), compress_tables.COMPARED),
        (compress_tables.from_teachers(summary, labels), compress_tables.FROM_TEACHERS),
        (compress_tables.from_elsewhere(teachers), compress_tables.FROM_ELSEWHERE),
    )
    further = [(table, note) for table, note in compared if table is not None]
    plot_tradeoffs(folder / TRADEOFFS_FILE, summary, labels)
    facts = provenance()
    facts["versions"] += "".join(f", {name} {importlib.metadata.version(name)}" for name in ("onnx", "onnxruntime"))
    main, lead = compress_tables.files(summary, labels), compress_tables.lead(summary, labels)
    page = Page(title, lead, facts, main, _notes(experiment, summary, labels), further, config)
    page.publish(folder, folder / TRADEOFFS_FILE, "test accuracy against zipped bytes and milliseconds", results)
    write_report(folder / REPORT_FILE, page, tradeoffs=folder / TRADEOFFS_FILE)


def _notes(experiment: TrainingExperiment, summary: Mapping[str, Any], labels: Mapping[str, str]) -> list[str]:
    runs = {labels[name]: experiment.seeds_of(export["run"]) for name, export in summary.items()}
    data = experiment.config["data"]
    looked = "The test split was looked at once, after all training."
    if data["test"] == data["validation"]:
        looked = "The columns headed test are the validation split too: the test split was not looked at."
    best = [labels[name] for name, export in summary.items() if export["step"] == "best"]
    counts = {0: "the end of training", len(summary): "the best on validation"}
    step = counts.get(len(best), f"the best on validation for {', '.join(best)}, the end of training for the others")
    teachers = {labels[name]: summary[name]["teacher"] for name in summary if summary[name]["teacher"]}
    called = {other: labels.get(other, other) for other in teachers.values()}
    taught = f" ({', '.join(dict.fromkeys(called.values()))})" if teachers else ""
    return [
        f"{tables.averaged_over(experiment.seeds, runs)} Every accuracy is of the exported file, in onnxruntime on "
        "the CPU. Last: the end of training. Best: the checkpoint that was best on the validation split. All other "
        f"columns are of {step}. {looked}",
        "Parameters: what the file stores, with batch normalisation folded; not 0: the share that is not zero, of few "
        "bits after rounding. Multiply-adds: of one image; zeros are multiplied too. Zipped: deflate, level 9.",
        "Agrees with itself: the share of test images with the answer of the same network as it was trained, computed "
        "with floats in JAX (after training with few bits: floats that are rounded). With teacher: with the answer of "
        f"its teacher’s file of the same seed{taught}. ECE: expected calibration error, 15 bins. Same bits: of "
        "quantised files, the share of test images whose logits are bit for bit those of integer arithmetic in JAX.",
        "Milliseconds: least / median of 100 calls of the first seed’s file, one thread, all files in turn.",
    ]
