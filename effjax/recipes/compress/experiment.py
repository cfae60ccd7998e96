"""The compression experiment: every run of every seed is trained, exported and measured as a file; one table."""

import functools
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from effjax.recipes.build.folders import contents
from effjax.recipes.build.identity import data_facts, plain
from effjax.recipes.build.sharing import experiment_held
from effjax.recipes.build.writing import write_json
from effjax.recipes.compress.checks import check_exports, export_problems
from effjax.recipes.compress.files import ModelFile
from effjax.recipes.compress.measures import agreement, logits_of, measure
from effjax.recipes.compress.report import report
from effjax.recipes.compress.times import times
from effjax.recipes.train.runs import Finished, TrainingExperiment

SUMMARY_FILE, EXPORTS = "summary.json", "exports"
_OF_FILE = ("parameters", "nonzero", "multiply_adds", "bytes", "bytes_zipped")


def main(
    config: Mapping[str, Any], workdir: str | Path, results: str | Path | None = None, only: Collection[str] = ()
) -> dict[str, Any]:
    """Trains every run of every seed, exports what ``config.exports`` names, measures the files, and reports.

    Args:
      config: as :func:`effjax.recipes.schema.experiment` lays it out, plain.
      workdir: everything is written here, files into ``exports/NAME/seed_N``; a second call continues, or finds
        everything done.
      results: a Markdown file for the table; its plot lies beside it.
      only: the runs to train, besides those that they need, without files and without a report: several processes may
        share an experiment's folder so. Empty: all.

    Returns:
      The summary, by export: what its config says, ``seeds``, one entry a seed, and ``latency``, in milliseconds by
      batch size. Empty if ``only`` is given.

    Raises:
      UserError: if anything in the config cannot be used, or another command for all runs is at work in the folder.
    """
    with experiment_held(config, workdir, results, only, export_problems):
        experiment = TrainingExperiment(config, workdir, only)
        if not only:
            check_exports(experiment)
        finished = {(done.name, done.seed): done for done in experiment.train()}
        if only:
            return {}
        summary = Measurements(experiment, finished).summary()  # after all training: the test split has no part in it
        teachers = experiment.foreign.rows(experiment.seeds)
        write_json(experiment.workdir / SUMMARY_FILE, summary)
        report(experiment, summary, teachers, results)
        return summary


class Measurements:
    """The files of an experiment, and what is measured of them.

    Args:
      experiment: the experiment.
      finished: its runs, by name and seed.
    """

    def __init__(self, experiment: TrainingExperiment, finished: Finished):
        self.experiment, self.finished = experiment, finished
        self.names = list(experiment.config["table"]) or list(experiment.config["exports"])
        config, self.test = experiment.config["data"], experiment.datasets.test
        self.facts = {
            **plain(data_facts(config, "crop_pct")),
            "test": config["test"],
            "examples": len(self.test),
            **contents(self.test),
        }
        self._file = functools.cache(self._make_file)

    def summary(self) -> dict[str, Any]:
        """By export, in the order of the table; files that are done are not made again."""
        found = {}
        for name in self.names:
            said = {key: self._export(name)[key] for key in ("label", "run", "step", "teacher", "control")}
            seeds = [self._seed(name, seed) for seed in self._seeds(name)]
            bits = self._chosen(name, seeds[0]["seed"]).record["bits"]
            found[name] = {**said, "bits": bits, "seeds": seeds}
        first = {name: self._chosen(name, self._seeds(name)[0]) for name in self.names}
        for name, latency in times(first, self.experiment.workdir / EXPORTS).items():
            found[name]["latency"] = latency
        return found

    def _seed(self, name: str, seed: int) -> dict[str, Any]:
        """What is measured of an export's file of a seed, and the accuracy of the other one of its steps."""
        chosen = self._chosen(name, seed)
        files = {step: self._file(name, seed, step) for step in ("last", "best")}
        measured = {step: self._measured(file) for step, file in files.items()}
        own = measured[chosen.step]
        entry = {
            "seed": seed,
            **{key: chosen.record[key] for key in _OF_FILE},
            "test/accuracy": measured["last"]["accuracy"],
            "test/accuracy_best": measured["best"]["accuracy"],
            **{key: own[key] for key in ("accuracy", "nll", "ece", "agreement_own", "same_bits")},
            "best_step": chosen.done.best_step,
            **chosen.identity,
        }
        if teacher := self._export(name)["teacher"]:
            taught_by = seed if seed in self._seeds(teacher) else self._seeds(teacher)[0]
            other = self._chosen(teacher, taught_by)
            self._measured(other)  # leaves its answers
            entry["agreement"] = agreement(logits_of(chosen), logits_of(other))
        return entry

    def _export(self, name: str) -> Mapping[str, Any]:
        return self.experiment.config["exports"][name]

    def _seeds(self, name: str) -> range:
        return self.experiment.seeds_of(self._export(name)["run"])

    def _chosen(self, name: str, seed: int) -> ModelFile:
        """The file at the step that counts."""
        return self._file(name, seed, self._export(name)["step"])

    def _make_file(self, name: str, seed: int, step: str) -> ModelFile:
        """A file; where last is best, both are the one at the step that counts."""
        export, folder = self._export(name), self.experiment.workdir / EXPORTS / name / f"seed_{seed}"
        done, source = self.finished[export["run"], seed], self.experiment.datasets.train
        file = ModelFile(name, export, done, step, folder / step, source)
        if step != export["step"]:
            chosen = self._chosen(name, seed)
            return chosen if chosen.identity == file.identity else file
        return file

    def _measured(self, file: ModelFile) -> dict[str, Any]:
        measured = measure(file, self.experiment.datasets.task, self.test, self.facts)
        file.release()
        return measured
