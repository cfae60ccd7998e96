"""The active-learning experiment: labelling loops that differ in how they choose, over seeds; learning curves."""

import contextlib
import dataclasses
import functools
from collections.abc import Collection, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from effjax import selection
from effjax.data.base import Subset, available_ids
from effjax.data.cached import cached
from effjax.data.ledger import KINDS, TAG, Ledger
from effjax.data.ledger_state import CORRECT
from effjax.data.unlabelled_folder import UnlabelledFolder
from effjax.recipes import schema
from effjax.recipes.active.acquisition import Acquisition
from effjax.recipes.active.checks import check_ledger, check_names, check_passes_differ, loop_problems
from effjax.recipes.active.folder import LoopFolder
from effjax.recipes.active.kinds import STRONG, formats
from effjax.recipes.active.looks import looks
from effjax.recipes.active.loop import Asked, Loop, Waiting, run_loops
from effjax.recipes.active.measures import ClassMeasures, Measures, TaskMeasures
from effjax.recipes.active.oracles import CorrectingOracle, DatasetOracle, Oracle, people
from effjax.recipes.active.pool import PoolPredictor
from effjax.recipes.active.pool_numbers import name_files, numbered_pool
from effjax.recipes.active.pseudo_boxes import pseudo_boxes
from effjax.recipes.active.report import report
from effjax.recipes.active.rounds import Rounds
from effjax.recipes.active.trainer import Trainer
from effjax.recipes.active.watch import watched_ids
from effjax.recipes.build.assemble import AssembledRun, assemble
from effjax.recipes.build.datasets import Datasets
from effjax.recipes.build.experiment import Experiment
from effjax.recipes.build.folders import with_test
from effjax.recipes.build.identity import beyond_defaults, data_facts, identity
from effjax.recipes.build.sharing import experiment_held, free_first, loops_held
from effjax.recipes.build.writing import write_json
from effjax.recipes.schema.loop_keys import TEACHER, Active, Query
from effjax.runtime.hosts import barrier, is_primary
from effjax.specs import Spec
from effjax.steps import Together
from effjax.tasks import AnswerFormat
from effjax.tasks.answers import with_prices
from effjax.tasks.box_answers import BoxAnswers

SUMMARY_FILE = "summary.json"


def main(
    config: Mapping[str, Any], workdir: str | Path, results: str | Path | None = None, only: Collection[str] = ()
) -> dict[str, Any]:
    """Runs every loop of every seed, then compares all rounds with the test split, and reports.

    A loop that waits for people lets the others go on; the report is then of the validation split.

    Args:
      config: as :func:`effjax.recipes.schema.experiment` lays it out, plain. Runs with a query are loops; one without
        is trained once, on the labels of the whole pool.
      workdir: everything is written here; a second call continues.
      results: a Markdown file for the table.
      only: the loops to run, without a report: several processes may share an experiment's folder so. Empty: all.

    Returns:
      By run, for each seed what every round measured. Empty if ``only`` is given.

    Raises:
      UserError: if anything in the config cannot be used, or another command for all loops is at work in the folder.
      Waiting: if people have to answer first; the message says what to do.
    """
    with experiment_held(config, workdir, results, only, loop_problems):
        return _run(config, workdir, results, only)


def _run(config: Mapping[str, Any], workdir: str | Path, results, only: Collection[str]) -> dict[str, Any]:
    experiment = ActiveExperiment(config, Path(workdir), only)
    summary: dict[str, Any] = {}
    waiting: list[str] = []
    loops: list[Loop] = []
    with contextlib.closing(experiment.loops()) as several:
        for together in several:
            loops.extend(together)
            try:
                run_loops(together)
            except Waiting as wait:
                waiting.append(str(wait))
    if not only:
        for loop in loops:  # after all choices: the test split has no part in them
            rounds = loop.measured if waiting else loop.test()
            summary.setdefault(loop.rounds.name, {"seeds": []})["seeds"].append(
                {"seed": loop.rounds.seed, "rounds": rounds}
            )
        write_json(experiment.workdir / SUMMARY_FILE, summary)
        if is_primary():
            final = not waiting
            looking = functools.partial(looks, loops, experiment.datasets, experiment.seeds[0])
            report(experiment, summary, results if final else None, final=final, looks=looking)
    if waiting:
        raise Waiting("\n".join(waiting))
    return summary


class ActiveExperiment(Experiment):
    """The labelling loops of an experiment, and their programs.

    Args:
      config: as for :func:`main`.
      workdir: where everything is written.
      only: the loops to run, besides those that they need; the others are not even looked at. Empty: all.

    Attributes:
      names: of the loops that are run, in that order.

    Raises:
      UserError: if anything in the config cannot be used, or one of ``only`` is no run; nothing has been trained then.
    """

    def __init__(self, config: Mapping[str, Any], workdir: Path, only: Collection[str] = ()):
        schema.check(config, loop_problems)
        super().__init__(with_test(config), workdir)
        data = self.config["data"]
        self.datasets = _cached(_numbered(self.datasets, workdir, data), data)
        self.watched = watched_ids(self.config)
        answers = self.datasets.task.answers(self.datasets.info.class_names)
        self.answers: AnswerFormat = with_prices(answers, self.config["active"]["prices"])
        self._made: dict[str, tuple[AssembledRun, dict[Any, PoolPredictor]]] = {}
        self.names = schema.needed_by(self.config["runs"], only)
        self.make_all(self.names, self._check)

    def _check(self, name: str) -> None:
        assembled, _ = self._make(name)
        assembled.check()
        query = self.config["runs"][name]["query"]
        if query:
            check_names(f"config.runs.{name}.query", query, self.datasets.info)
        if query and query["predictions"] == "dropout":
            check_passes_differ(f"config.runs.{name}.query", assembled, self.datasets)

    def loops(self) -> Generator[list[Loop], None, None]:
        """The loops as far as they have come, those that others need first; those that train together at once.

        Their folders are held until the next ones are asked for.
        """
        apart = [self.seeds] if self.config["seeds_together"] else [[seed] for seed in self.seeds]
        for name, seeds in free_first(dict.fromkeys(self.names, apart), self._folders, self.runs_before):
            with loops_held(self._folders(name, seeds)):
                yield self.make(name, seeds)

    def _folders(self, name: str, seeds: Sequence[int]) -> list[Path]:
        """What the loops of some seeds write to."""
        return [self.folder(name, seed) for seed in (*seeds, *[None] * self.config["seeds_together"])]

    def make(self, name: str, seeds: Sequence[int]) -> list[Loop]:
        """A run's loops of some seeds, trained together; a run without a query is one round, of all the labels."""
        run, together = self.config["runs"][name], self.config["seeds_together"]
        active, pool = dict(self.config["active"]), self.datasets.train
        query = run["query"] or schema.query(selector="random").to_dict()
        if not run["query"]:
            active.update(initial=len(pool), rounds=1, budget=0.0)
        folders = [LoopFolder(self.folder(name, seed)) for seed in seeds]
        identities = [self._identity(name, seed, active) for seed in seeds]
        ledgers = [Ledger(folder.ledger_file, own) for folder, own in zip(folders, identities, strict=True)]
        barrier(f"{folders} read")  # before one process writes to them
        for ledger in ledgers:
            check_ledger(ledger, pool, formats(run["query"], self.answers))
            if self.config["data"]["pool"]:
                name_files(ledger, cast(UnlabelledFolder, pool))
        kinds = STRONG if query["kinds"] else KINDS
        labels_of = [functools.partial(_labels_of, ledger, getattr(pool, "gone", ()), kinds) for ledger in ledgers]
        assembled, predict = self._make(name)
        trainer = Trainer(
            name=name,
            folder=LoopFolder(self.folder(name, None)) if together else folders[0],
            assembled=assembled,
            pool=pool,
            capacity=min(most_labels(active, query, len(pool)) * len(seeds), len(pool)),
            warm=active["start"] == "warm",
            identity={**identities[0], "seed": list(seeds)} if together else identities[0],
            seeds=seeds,
            labels_of=labels_of,
            answers=self.answers,
            specs=self._specs(),
        )
        loops = []
        for i, (seed, folder) in enumerate(zip(seeds, folders, strict=True)):
            needed = 2 if query["predictions"] == TEACHER else 1
            measures = self._measures(trainer, predict, bool(query["kinds"]))
            rounds = Rounds(seed, folder, trainer, i, predict, measures, labels_of[i], needed)
            full_map, discounted = self._full_map(query, seed), self._class_of(query["discount"])
            has_items = not self.datasets.task.of_classes
            acquisition = Acquisition(query, rounds, predict, pool, active["rounds"], full_map, discounted, has_items)
            asked = {
                kind: Asked(self._oracle(run["query"], folder, kind, answers), answers)
                for kind, answers in formats(run["query"], self.answers).items()
            }
            counts = bool(self.datasets.task.counted)
            loops.append(Loop(ledgers[i], rounds, acquisition, pool, active, asked, counts))
        if TAG in query["kinds"]:
            trainer.beside = [
                functools.partial(pseudo_boxes, loop.rounds, loop.ledger, pool, cast(BoxAnswers, self.answers))
                for loop in loops
            ]
        return loops

    def _make(self, name: str) -> tuple[AssembledRun, PoolPredictor]:
        """What trains and what predicts; loops that train alike share their programs."""
        run = self.config["runs"][name]
        query = run["query"] or schema.query().to_dict()
        members = Together(query["members"], "ensemble") if query["predictions"] == "ensemble" else None
        if self.config["seeds_together"]:
            members = Together(self.config["num_seeds"], "seeds")
        capacity = most_labels(self.config["active"], query, len(self.datasets.train))
        key = repr(
            ({k: v for k, v in run.items() if k not in ("label", "query")}, members, capacity, bool(run["query"]))
        )
        if key not in self._made:
            # The labelled part alone lives on the device, so the pool may be larger: what is assembled needs but one.
            pool = self.datasets.train
            few = Subset(pool, available_ids(pool)[: 1 if run["query"] else None])
            datasets = dataclasses.replace(self.datasets, train=few, on_device=True, _read={}, _without={})
            parts = (name, run, datasets, self.backend, self.config["eval_batch_size"], {})
            self._made[key] = assemble(*parts, members=members), {}
        assembled, predictors = self._made[key]
        kind, passes, aggregate = query["predictions"], query["passes"], query["aggregate"]
        if (kind, passes, aggregate) not in predictors:
            batch = self.config["active"]["scoring_batch"]
            predictors[kind, passes, aggregate] = PoolPredictor(
                assembled.job.network_at_end,
                self.datasets.task.items,
                "ensemble" if kind == TEACHER else kind,
                backend=self.backend,
                batch_size=batch,
                passes=passes,
                aggregate=aggregate,
                following=self.datasets.task.following,
            )
        return assembled, predictors[kind, passes, aggregate]

    def _specs(self) -> dict[str, Spec]:
        """Of what an answer becomes; where that differs in length, with the room that the data have."""
        room = self.datasets.validation.info.features
        return {name: room[name] if spec.is_ragged else spec for name, spec in self.answers.specs.items()}

    def _measures(self, trainer: Trainer, predict: PoolPredictor, tags: bool) -> Measures:
        task = self.datasets.task
        if task.of_classes:
            return ClassMeasures(self.datasets, predict)
        return TaskMeasures(task, self.datasets, trainer.assembled.predict, trainer.networks_of, tags)

    def _full_map(self, query: Mapping[str, Any], seed: int):
        """Reads the map that a run without a query has recorded of the whole pool, when it is asked for."""
        if not query["outliers"] or query["outliers"]["source"] != "labels":
            return None
        return functools.cache(lambda: self._map_of(query["outliers"]["run"], seed))

    def _map_of(self, name: str, seed: int) -> tuple[np.ndarray, selection.DatasetMap]:
        seeds = self.seeds if self.config["seeds_together"] else [seed]
        return self.make(name, seeds)[seeds.index(seed)].rounds.recorded_map(0)

    def _identity(self, name: str, seed: int, active: Mapping[str, Any]) -> dict[str, Any]:
        said = {key: value for key, value in active.items() if key not in (*_NOT_OF_THE_LOOP, *_LATER)}
        said |= beyond_defaults({key: active[key] for key in _LATER}, Active)
        data = data_facts(self.config["data"], "label_noise", "padded", "pool", "crop_pct")
        facts = identity(self.config, self.config["runs"][name], self.datasets.info, seed, active=said, data=data)
        if "query" in facts["run"]:
            facts["run"]["query"] = beyond_defaults(facts["run"]["query"], Query)
        return facts

    def _class_of(self, name: str) -> int | None:
        return self.datasets.info.class_names.index(name) if name else None

    def _oracle(self, query: Mapping[str, Any], folder: LoopFolder, kind: str, answers: AnswerFormat) -> Oracle:
        who = self.config["active"]["oracle"] if query else "dataset"
        if who != "dataset":
            return people(who, folder.questions, answers)
        if kind == CORRECT:
            return CorrectingOracle(self.datasets.train, cast(BoxAnswers, answers))
        return DatasetOracle(self.datasets.train, answers, query["annotator"] if query else "")


def _cached(datasets: Datasets, settings: Mapping[str, Any]) -> Datasets:
    """Remembers the images of the pool too, that every round of every loop looks at again.

    But for a folder of photos: there people answer, and each round is a process of its own.
    """
    if settings["pool"]:
        return datasets
    return dataclasses.replace(datasets, train=cached(datasets.train, datasets.on_device_mib * 2**20))


def _numbered(datasets: Datasets, workdir: Path, settings: Mapping[str, Any]) -> Datasets:
    """Gives the images of a folder the ids that they have had so far."""
    if not settings["pool"]:
        return datasets
    return dataclasses.replace(
        datasets, train=numbered_pool(cast(UnlabelledFolder, datasets.train), workdir, settings["pool"])
    )


def _labels_of(ledger: Ledger, gone: Collection[int], kinds: Collection[str], round_: int) -> dict[int, Any]:
    """The answers that a round trains on; what is gone cannot be trained on."""
    return {id_: answer for id_, answer in ledger.labels(before=round_ + 1, kinds=kinds).items() if id_ not in gone}


#: What a person may change while a loop goes on: how long it goes, and how it is reported.
_NOT_OF_THE_LOOP = ("rounds", "budget", "target", "patience", "levels", "watch", "watch_by")
#: Keys that came later: said only where they are not the default, so that loops of before go on.
_LATER = ("prices", "seconds")


def most_labels(active: Mapping[str, Any], query: Mapping[str, Any], pool: int) -> int:
    """The most labels that a loop can have at its end."""
    if query["stream"] or query["kinds"]:  # how many it asks for is known on average only
        return pool
    return min(active["initial"] + (active["rounds"] - 1) * active["per_round"], pool)
