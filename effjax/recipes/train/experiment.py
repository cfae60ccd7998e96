"""The distillation experiment: teachers, students alone, students distilled, over seeds; one table, one report."""

import functools
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from effjax.recipes.build.sharing import experiment_held
from effjax.recipes.build.writing import write_json
from effjax.recipes.train.finished import FinishedRun
from effjax.recipes.train.report import report
from effjax.recipes.train.results import measure
from effjax.recipes.train.runs import TrainingExperiment, cost
from effjax.runtime.hosts import is_primary

SUMMARY_FILE = "summary.json"


def main(
    config: Mapping[str, Any], workdir: str | Path, results: str | Path | None = None, only: Collection[str] = ()
) -> dict[str, Any]:
    """Trains every run of every seed, evaluates it on the test split once, and reports.

    Args:
      config: as :func:`effjax.recipes.schema.experiment` lays it out, plain.
      workdir: everything is written here; a second call continues, or finds everything done.
      results: a Markdown file for the table; its plot lies beside it.
      only: the runs to train, besides those that they need, without looking at the test split and without a report:
        several processes may share an experiment's folder so, see :mod:`effjax.recipes.build.sharing`. Empty: all,
        and the report.

    Returns:
      The summary: by run ``params``, ``mflops`` and ``seeds``, one entry a seed. Empty if ``only`` is given.

    Raises:
      UserError: if anything in the config cannot be used, or another command for all runs is at work in the folder.
    """
    with experiment_held(config, workdir, results, only, _problems):
        return _run(config, workdir, results, only)


def _run(config: Mapping[str, Any], workdir: str | Path, results, only: Collection[str]) -> dict[str, Any]:
    experiment = TrainingExperiment(config, workdir, only)
    reference = reference_teacher(config)
    control = config["control"] or control_run(config)
    names = list(config["table"]) or sorted(config["runs"], key=lambda name: (name != reference, name != control, name))
    finished: dict[tuple[str, int], FinishedRun] = {(done.name, done.seed): done for done in experiment.train()}
    if only:
        return {}
    summary: dict[str, Any] = {name: {**cost(experiment, name), "seeds": []} for name in names}

    @functools.cache
    def measured(name: str, seed: int) -> dict[str, Any]:
        teacher = own_teacher(config, name, reference)
        if teacher == name:
            return measure(experiment, finished[name, seed], None)
        taught_by = seed if seed in experiment.seeds_of(teacher) else experiment.seeds.start
        measured(teacher, taught_by)  # leaves the answers that agreement is measured with
        return measure(experiment, finished[name, seed], finished[teacher, taught_by])

    for name in names:  # after all training: the test split has no part in it
        summary[name]["seeds"] = [measured(name, seed) for seed in experiment.seeds_of(name)]
    teachers = experiment.foreign.rows(experiment.seeds)
    if is_primary():
        write_json(experiment.workdir / SUMMARY_FILE, summary)
        report(experiment, finished, summary, teachers, reference, control, results)
    return summary


def _problems(config: Mapping[str, Any]) -> Iterator[str]:
    if config["data"]["pool"]:
        yield "config.data.pool: images without labels are for the recipe 'active'"
    if config["exports"]:
        yield "config.exports: files are measured by the recipe 'compress'"


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
