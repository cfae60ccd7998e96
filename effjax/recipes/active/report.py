"""What an active-learning experiment ends with, or shows while its loops wait: a table, curves, one page for people."""

import functools
import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from effjax.files import write_whole
from effjax.recipes.active import sections
from effjax.recipes.active.comparison import Comparison
from effjax.recipes.active.folder import LoopFolder
from effjax.recipes.active.kinds import formats
from effjax.recipes.active.sections import LedgerOf
from effjax.recipes.active.shown import words_of
from effjax.recipes.active.watch import watched_table
from effjax.recipes.build.datasets import Datasets
from effjax.reports import tables
from effjax.reports.active import CaptionedImage, Pictures, write_active
from effjax.reports.active_maps import dataset_maps, queried_classes
from effjax.reports.active_plots import calibration_curves, learning_curves
from effjax.reports.analysis_plots import reliability
from effjax.reports.pages import REPORT_FILE, Page
from effjax.reports.provenance import provenance
from effjax.selection.registry import RANDOM

_log = logging.getLogger("effjax")

CURVES_FILE = "learning_curves.png"
_CALIBRATION = (
    "ECE: expected calibration error, 15 bins; NLL: negative log-likelihood in nats; scaled: with the temperature that "
    "fits the validation split best."
)
Looks = Callable[[dict[str, str]], Mapping[str, Sequence[CaptionedImage]]]


class Reported(Protocol):
    """What of an experiment is reported.

    Attributes:
      config: as :func:`effjax.recipes.schema.experiment` lays it out, plain.
      workdir: where the loops have their folders; everything is written here.
      datasets: the loops'.
      watched: the ids of what ``config.active.watch`` names, and their share of the pool; None if it names nothing.
    """

    config: Mapping[str, Any]
    workdir: Path
    datasets: Datasets
    watched: tuple[np.ndarray, float] | None


def report(
    experiment: Reported,
    summary: Mapping[str, Any],
    results: str | Path | None,
    *,
    final: bool,
    looks: Looks | None = None,
) -> None:
    """Writes the table, the learning curves and the page of an experiment, and prints the table.

    Whatever loops have not left in their folders is left out. If no loop has measured a round yet, nothing is written.

    Args:
      experiment: what is reported.
      summary: by run ``seeds``, each with its ``seed`` and ``rounds``: by round ``round``, ``labels``, ``cost``,
        ``temperature`` and the accuracy, nll and ece on the validation split; if final, on the test split too.
      results: a Markdown file for the table, its plot beside it; None or empty for none.
      looks: from what the report calls the runs to pictures of where their networks look.
      final: whether all loops are over. If not, everything is said of the validation split; so it is where the
        config names that split as the test split, too.
    """
    config, workdir, datasets = experiment.config, experiment.workdir, experiment.datasets
    on_test = final and config["data"]["test"] != config["data"]["validation"]  # a search leaves the test split alone
    split = "test" if on_test else "validation"
    measured = _measured(config, summary)
    if not measured:
        _log.info("no loop has measured a round yet: there is nothing to report")
        return
    control = _control(config)
    labels = _labels(config, measured)
    task, levels = datasets.task, config["active"].get("levels", ())
    compared = Comparison(measured, labels, control, config["claims"], levels, split, task)
    further = compared.further()
    folders = {
        name: [LoopFolder.of(workdir, name, seed["seed"]) for seed in run["seeds"]] for name, run in measured.items()
    }
    ledger_of = functools.cache(LoopFolder.ledger)  # several parts look at all of them, and they are long
    if experiment.watched:
        ledgers = {
            name: [
                (seed["seed"], ledger)
                for seed, folder in zip(measured[name]["seeds"], several, strict=True)
                if (ledger := ledger_of(folder))
            ]
            for name, several in folders.items()
        }
        further.append(_watched(config, ledgers, experiment.watched, labels, control))
    so_far = "" if final else _so_far(config, workdir, summary)
    whole = _with_all_labels(config, summary)
    notes = [*_notes(compared), *_ceilings(whole, summary, f"{split}/{task.watch}")]
    firsts = {labels[name]: several[0] for name, several in folders.items()}
    whole_folders = {label: LoopFolder.of(workdir, name, config["seed"]) for name, label in whole.items()}
    maps, image_of = sections.dataset_maps({**firsts, **whole_folders}), sections.images_by_id(datasets.train)
    name_of = words_of(datasets.train)
    class_names = datasets.info.class_names
    answers = task.answers(class_names)
    asked_by = {labels[name]: formats(config["runs"][name]["query"], answers) for name in measured}
    pictures = _pictures(compared, folders, ledger_of, firsts, maps, datasets)
    write_whole(workdir / CURVES_FILE, lambda file: file.write(pictures.learning))
    title = config["title"] or f"Active learning on {datasets.info.name}"
    page = Page(title, compared.lead(), provenance(), compared.results(), notes, further, config)
    page.publish(workdir, workdir / CURVES_FILE, f"{split} {task.watched} by the number of labels", results)
    write_active(
        workdir / REPORT_FILE,
        page,
        so_far=so_far,
        split=split,
        watch=task.watched,
        pictures=pictures,
        asked=sections.asked(firsts, ledger_of, image_of, name_of, asked_by),
        looks=looks(labels) if looks else {},
        extremes={name: sections.extremes(found, image_of, name_of, class_names) for name, found in maps.items()},
    )


def _measured(config: Mapping[str, Any], summary: Mapping[str, Any]) -> dict[str, Any]:
    """The loops to report, the control first, with the seeds that have measured a round."""
    names = list(config["table"]) or sorted(summary, key=lambda name: name != _control(config))
    names = [name for name in names if config["runs"][name]["query"]]
    seeds = {name: [seed for seed in summary[name]["seeds"] if seed["rounds"]] for name in names if name in summary}
    return {name: {"seeds": found} for name, found in seeds.items() if found}


def _with_all_labels(config: Mapping[str, Any], summary: Mapping[str, Any]) -> dict[str, str]:
    """The labels, by name, of runs without a query that are done: they had the labels of the whole pool."""
    names = [name for name, run in summary.items() if not config["runs"][name]["query"]]
    return {
        name: config["runs"][name]["label"] or name
        for name in names
        if all(s["rounds"] for s in summary[name]["seeds"])
    }


def _ceilings(whole: Mapping[str, str], summary: Mapping[str, Any], key: str) -> list[str]:
    """What the labels of the whole pool would have given."""
    return [
        f"With all {summary[name]['seeds'][0]['rounds'][0]['labels']:,} labels of the pool ({label}): "
        + tables.Estimate.of([s["rounds"][0][key] for s in summary[name]["seeds"]]).percent()
        for name, label in whole.items()
    ]


def _labels(config: Mapping[str, Any], names: Collection[str]) -> dict[str, str]:
    """What the report calls the runs; two of one label have their names beside it."""
    given = {name: config["runs"][name]["label"] or name for name in names}
    several = {label for label, count in Counter(given.values()).items() if count > 1}
    return {name: f"{label} ({name})" if label in several else label for name, label in given.items()}


def _control(config: Mapping[str, Any]) -> str | None:
    """The run that others are compared with: the first that chooses at random, if the config names none."""
    queries = {name: run["query"] for name, run in config["runs"].items() if run["query"]}
    at_random = (name for name, query in queries.items() if query["selector"] == RANDOM)
    return config["control"] or next(at_random, None)


def _watched(config, ledgers, watched, labels, control: str | None) -> tuple[tables.Table, str]:
    """Whether the loops chase the examples that are watched."""
    ids, share = watched
    note = (
        f"Of the pool, {100 * share:.1f} % are {' or '.join(config['active']['watch'])}: their share of what was asked "
        "after the first round, which is random."
    )
    return watched_table(ledgers, ids, labels, control), note


def _notes(compared: Comparison) -> list[str]:
    task, control = compared.task, compared.control
    seeds = sorted({s["seed"] for run in compared.measured.values() for s in run["seeds"]})
    looked = "looked at once, after all loops" if compared.split == "test" else "not looked at"
    by_seed = f"Δ: difference to {compared.labels.get(control or '')}, by seed, ± half its 95 % interval (Student's t)."
    return [
        f"{tables.averaged_over(seeds)} Labels, {task.watched}{', ECE, NLL' if task.of_classes else ''}: after the "
        f"last round. {compared.area()} The test split was {looked}.",
        " ".join([_CALIBRATION] * task.of_classes + [by_seed] * (control in compared.measured)),
    ]


def _so_far(config, workdir: Path, summary: Mapping[str, Any]) -> str:
    """Which loops wait, and for how many labels."""
    waiting = []
    for name, run in summary.items():
        for seed in run["seeds"]:
            ledger = LoopFolder.of(workdir, name, seed["seed"]).ledger()
            if ledger and (count := len(ledger.open())):
                waiting.append(
                    f"{_labels(config, summary)[name]} seed {seed['seed']}, round {ledger.round}: {count} labels"
                )
    said = "The loops are not over: this is what they measure on the validation split, so far."
    return said + (f" Waiting for people: {'; '.join(waiting)}." if waiting else "")


def _pictures(compared: Comparison, folders, ledger_of: LedgerOf, firsts, maps, datasets: Datasets) -> Pictures:
    task, measured, labels, control = compared.task, compared.measured, compared.labels, compared.control
    split = compared.split
    watched = f"{split}/{task.watch}"
    named = {"labels": "images", "items": task.counted, "cost": "seconds"} if task.counted else {}
    titles = {"labels": "labels", "cost": "cost", **named, watched: f"{split} {task.watched}"}
    ledgers = {
        labels[name]: [ledger for folder in several if (ledger := ledger_of(folder)) and ledger.labels()]
        for name, several in folders.items()
    }
    counts = {
        label: sections.class_counts(several, datasets.info.num_classes)
        for label, several in ledgers.items()
        if several and task.of_classes
    }
    last = {labels[name]: run["seeds"][0]["rounds"][-1] for name, run in measured.items()}
    bins = {}
    if split == "test" and task.of_classes:
        bins = sections.reliability(firsts, last, datasets.test.column("label"))
    return Pictures(
        learning=learning_curves(measured, labels, control, "labels", watched, titles),
        costs=learning_curves(measured, labels, control, "cost", watched, titles) if compared.costs_differ() else None,
        by_item=learning_curves(measured, labels, control, "items", watched, titles) if task.counted else None,
        calibration=calibration_curves(measured, labels, control, split) if task.of_classes else None,
        reliability=reliability(bins) if bins else None,
        classes=queried_classes(counts, datasets.info.class_names) if counts else None,
        maps=dataset_maps(maps) if maps else None,
    )
