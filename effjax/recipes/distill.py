"""The distillation experiment: teachers, students alone, students distilled, over seeds; one table, one report."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from effjax.recipes.results import measure
from effjax.recipes.runs import Done, Experiment, cost, write_json

_log = logging.getLogger("effjax")

SUMMARY_FILE = "summary.json"


def main(config: Mapping[str, Any], workdir: str | Path) -> dict[str, Any]:
    """Trains every run of every seed, evaluates it on the test split once, and writes ``summary.json``.

    Args:
      config: as :func:`effjax.recipes.config.experiment` lays it out, plain.
      workdir: everything is written here; a second call continues, or finds everything done.

    Returns:
      The summary: by run ``params``, ``mflops`` and ``seeds``, one entry a seed.

    Raises:
      UserError: if anything in the config cannot be used.
    """
    experiment = Experiment(config, workdir)
    finished: dict[tuple[str, int], Done] = {}
    summary: dict[str, Any] = {}
    for name in experiment.names:
        summary[name] = {**cost(experiment.runs[name], experiment.datasets.test[0]["image"].shape), "seeds": []}
    reference = reference_teacher(config)
    for done in experiment.train():
        finished[done.name, done.seed] = done
        teacher = None if done.name == reference else finished.get((reference, done.seed))
        result = measure(experiment, done, teacher)
        summary[done.name]["seeds"].append(result)
        _log.info("%s seed %d: test %.2f %%", done.name, done.seed, 100 * result["test_accuracy"])
    write_json(experiment.workdir / SUMMARY_FILE, summary)
    return summary


def reference_teacher(config: Mapping[str, Any]) -> str:
    """The run that the others' agreement is measured with: the first that teaches, or else the first."""
    for run in config["runs"].values():
        for source in run["teachers"].values():
            if source["run"]:
                return source["run"]
    return next(iter(config["runs"]))
