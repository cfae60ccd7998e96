"""Runs of an experiment, over seeds, each after its teachers; what is done is not done again."""

import dataclasses
import functools
import hashlib
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import flax.linen as nn
import jax
import numpy as np

from effjax import models
from effjax.data.feeds import Feed
from effjax.errors import UserError
from effjax.recipes import schema
from effjax.recipes.build.answers import stored_answers
from effjax.recipes.build.assemble import AssembledRun, assemble
from effjax.recipes.build.datasets import read_of
from effjax.recipes.build.early_checks import check_start
from effjax.recipes.build.experiment import Experiment
from effjax.recipes.build.folders import contents
from effjax.recipes.build.hashes import params_sha256
from effjax.recipes.build.identity import as_of_today, data_facts, identity, plain
from effjax.recipes.build.networks import make_model, network_in
from effjax.recipes.build.sharing import free_first, run_held
from effjax.recipes.build.start import start_from
from effjax.recipes.build.teachers import TeacherSpec, expand, make_teacher
from effjax.recipes.build.trained import TrainedRun
from effjax.recipes.schema.example_keys import HELD_OUT
from effjax.recipes.train.finished import FinishedRun
from effjax.recipes.train.foreign_teachers import ForeignTeachers
from effjax.recipes.train.kept_scores import kept_difficulty
from effjax.recipes.train.rewound import check_rewound, rewound
from effjax.runtime import Fitted, fit
from effjax.steps import Together, TrainState
from effjax.typing import PyTree

_log = logging.getLogger("effjax")

#: By run and seed.
Finished = Mapping[tuple[str, int], FinishedRun]


class TrainingExperiment(Experiment):
    """The runs of an experiment, each of which is trained once, after its teachers.

    Args:
      config: as :func:`effjax.recipes.schema.experiment` lays it out, plain.
      workdir: where everything is written.
      only: the runs to train, besides those that they need; the others are not even looked at. Empty: all.

    Attributes:
      names: of the runs that are trained, in that order.
      runs: by name.
      foreign: what its teachers from elsewhere know.

    Raises:
      UserError: if anything in the config cannot be used, or one of ``only`` is no run; nothing has been trained then.
    """

    def __init__(self, config: Mapping[str, Any], workdir: str | Path, only: Collection[str] = ()):
        super().__init__(config, workdir)
        self.names = schema.needed_by(config["runs"], only)
        self.runs: dict[str, AssembledRun] = {}
        self._teachers: dict[str, dict[str, TeacherSpec]] = {}
        self.foreign = ForeignTeachers(self.workdir, self.datasets, self.backend, config["eval_batch_size"])
        self._scores: dict[tuple[str, str], np.ndarray] = {}  # by run, and the part of its config that names them
        self.make_all(self.names, self._make)

    def _make(self, name: str) -> None:
        key, run = f"config.runs.{name}", expand(self.config["runs"][name])
        shape = self.datasets.train[0]["image"].shape
        self._teachers[name] = {
            teacher: make_teacher(f"{key}.teachers.{teacher}", source, self._module_at_end, self.datasets, shape)
            for teacher, source in run["teachers"].items()
        }
        self.runs[name] = assemble(
            *(name, run, self.datasets, self.backend, self.config["eval_batch_size"], self._teachers[name]),
            members=self._members(name, run),
        )
        self.runs[name].check()
        check_start(key, self.runs[name], self.datasets)
        if run["rewind"]:
            check_rewound(key, self.runs[name], self.runs)

    def _module_at_end(self, name: str) -> nn.Module:
        """The module that a run ends with, as it predicts on one device."""
        model = make_model(self.config["runs"][name]["model"], self.datasets.info.num_classes, task=self.datasets.task)
        if name not in self.runs:  # what is wrong with it is said of it
            return model
        return network_in(model, dict(self.runs[name].job.plan[-1].settings)).module

    def _members(self, name: str, run: Mapping[str, Any]) -> Together | None:
        """The networks of a run that train in one program.

        Raises:
          UserError: for what such runs cannot do.
        """
        key, members = f"config.runs.{name}", None
        if run["folds"]:
            members = Together(run["folds"], "folds")
        elif self.config["seeds_together"] and run["num_seeds"] != 1:
            # A teacher of one seed, for students of many, is one network as ever.
            members = Together(len(self.seeds_of(name)), "seeds")
        for part in ("init", "rewind") if members else ():
            if run[part]:
                raise UserError(f"{key}.{part}: networks that train together have none")
        for teacher, source in run["teachers"].items() if members else ():
            if run["folds"] or (source["run"] and not source["seeds"]):
                raise UserError(
                    f"{key}.teachers.{teacher}: networks that train together share their teachers: name one by "
                    "seeds=(…), as schema.teacher_of_run has it; a cross-validation has none"
                )
            if source["cached"] and self.datasets.view.is_random:
                raise UserError(
                    f"{key}.teachers.{teacher}.cached={source['cached']!r}: with a random view each seed has answers "
                    "of its own, which networks that train together cannot share"
                )
        return members

    def train(self) -> Iterator[FinishedRun]:
        """Trains every run of every seed, yielding each as it is done; the teachers of a run before it."""
        done: dict[tuple[str, int], FinishedRun] = {}
        apart = {name: self._trained_apart(name) for name in self.names}
        for name, seed in free_first(apart, lambda *part: [self.folder(*part)], self.runs_before):
            with run_held(self.folder(name, seed), self.runs[name].job.total_steps):
                if seed is None:
                    finished = list(self._train_together(name, done))
                else:
                    finished = [self._train_one(name, seed, done)]
            for one in finished:
                done[name, one.seed] = one
                yield one

    def _trained_apart(self, name: str) -> Sequence[int | None]:
        """The seeds of a run, one by one; None for all that train together."""
        members = self.runs[name].job.members
        return [None] if members and members.kind == "seeds" else self.seeds_of(name)

    def _train_together(self, name: str, done: Finished) -> Iterator[FinishedRun]:
        """All the seeds of a run in one program."""
        folder, seeds = self.folder(name, None), self.seeds_of(name)
        read, hashes = self._read_by_teachers(name, seeds[0], done)  # they are the same for all
        fitted = self._fit(name, list(seeds), folder, read, hashes, self._rank(name, done))
        for member, seed in enumerate(seeds):
            own = self.folder(name, seed)
            own.mkdir(parents=True, exist_ok=True)
            last = TrainedRun(folder, fitted.last_step, member)
            best = fitted.best_step[member] if isinstance(fitted.best_step, tuple) else fitted.best_step
            yield FinishedRun(
                *(name, seed, own, last, dataclasses.replace(last, best=True), best),
                *(self.runs[name], hashes, fitted.clock),
            )

    def _train_one(self, name: str, seed: int, done: Finished) -> FinishedRun:
        assembled, folder = self.runs[name], self.folder(name, seed)
        read, hashes = self._read_by_teachers(name, seed, done)
        folds = assembled.job.members
        seeds = folds.seeds(seed) if folds else seed
        fitted = self._fit(name, seeds, folder, read, hashes, self._rank(name, done), lambda run: done[run, seed])
        last = TrainedRun(folder, fitted.last_step, 0 if folds else None)
        best_step = fitted.last_step if folds else cast(int, fitted.best_step)
        best = dataclasses.replace(last, step=best_step, best=bool(folds))
        return FinishedRun(
            *(name, seed, folder, last, best, best_step, assembled, hashes, fitted.clock), lost_best=fitted.lost_best
        )

    def _read_by_teachers(
        self, name: str, seed: int, done: Finished
    ) -> tuple[dict[str, Callable[[], PyTree]], dict[str, str]]:
        """By teacher, what computes what it reads, and the hash of its parameters."""

        def variables_of(run: str, other: int | None, step: str) -> PyTree:
            return done[run, seed if other is None else other].trained(step).effective()

        variables = {teacher: spec.load(variables_of) for teacher, spec in self._teachers[name].items()}
        hashes = {teacher: params_sha256(value) for teacher, value in variables.items()}
        for teacher, spec in self._teachers[name].items():
            key = f"config.runs.{name}.teachers.{teacher}"
            self.foreign.check(key, spec, variables[teacher], hashes[teacher])
        frozen = {
            teacher: functools.partial(self._frozen, name, teacher, seed, value, hashes[teacher])
            for teacher, value in variables.items()
        }
        return frozen, hashes

    def _rank(self, name: str, done: Finished) -> dict[str, str]:
        """Ranks the examples that a run chooses from; returns what of the rankings makes the run what it is."""
        assembled, facts = self.runs[name], {}
        rankings = (
            ("difficulty", "pacing", "order", assembled.pace),
            ("coreset", "coreset", "part", assembled.coreset),
        )
        for fact, part, order, ranking in rankings:
            if ranking is not None and assembled.config[part][order] != "random":
                ranking.difficulty = self._difficulty(name, part, done)
                facts[fact] = _digest(ranking.difficulty)
        if assembled.config["selection"].get("run"):
            facts["reference"] = _digest(self._difficulty(name, "selection", done))
        return facts

    def _difficulty(self, name: str, part: str, done: Finished) -> np.ndarray:
        """The scores that a part of a run's config names, by global id."""
        if (name, part) not in self._scores:  # they are the same for all seeds
            config = {"by": HELD_OUT, **self.runs[name].config[part]}
            references = [done[config["run"], seed] for seed in self.seeds_of(config["run"])]
            feed, key = cast(Feed, self.runs[name].job.feed), f"config.runs.{name}.{part}"
            self._scores[name, part] = kept_difficulty(key, config["by"], references, feed, self.workdir)
        return self._scores[name, part]

    def _fit(
        self,
        name: str,
        seeds: int | list[int],
        folder: Path,
        frozen: Mapping[str, Any],
        hashes: Mapping[str, str],
        origin: Mapping[str, Any],
        ended: Callable[[str], FinishedRun] | None = None,
    ) -> Fitted:
        assembled = self.runs[name]
        start, origin = assembled.initial_state(seeds), dict(origin)
        if assembled.config["init"]:
            start, origin["init"] = start_from(start, assembled, self.datasets, f"config.runs.{name}")
            start = jax.tree.map(np.asarray, assembled.job.begin(start))
        if assembled.config["rewind"]:
            start, origin["rewind"] = rewound(start, assembled, cast(int, seeds), self.runs, cast(Any, ended))
        if (table := self._scores.get((name, "selection"))) is not None:
            start = _with_reference(start, table)
        facts = identity(self.config, assembled.config, self.datasets.info, seeds, teachers=hashes, **origin)
        which = f"seeds {seeds[0]}-{seeds[-1]}" if isinstance(seeds, list) else f"seed {seeds}"
        return fit(
            assembled.job,
            start,
            workdir=folder,
            identity=facts,
            frozen=frozen,
            keep=assembled.config["keep"],
            label=f"{name} {which}",
            comparable=as_of_today,
        )

    def _frozen(self, name: str, teacher: str, seed: int, variables: PyTree, sha: str) -> PyTree:
        """What the teacher reads inside the step: its variables, or its answers on the training set.

        Answers that are too many for the device are looked up for each batch instead.
        """
        spec, assembled = self._teachers[name][teacher], self.runs[name]
        if not spec.cached:
            return variables
        facts = {"params": sha, **plain(data_facts(self.config["data"], "also", "label_noise", "crop_pct"))}
        facts["without"] = list(assembled.config["without_classes"])
        facts |= contents(assembled.train)
        table = stored_answers(
            Path(self.config["teacher_cache"] or self.workdir / "teacher_answers"),
            facts,
            spec.network,
            variables,
            assembled.train,
            self.datasets.view,
            seed,
            spec.cached,
            self.backend,
            self.config["eval_batch_size"],
        )
        if teacher not in assembled.lookups:
            return table.read()
        assembled.lookups[teacher].table = table
        return {}


def _digest(scores: np.ndarray) -> str:
    return hashlib.sha256(scores.tobytes()).hexdigest()


def _with_reference(state: TrainState, scores: np.ndarray) -> TrainState:
    """The state of one network, or of several, whose selection knows what the reference makes of each example."""
    known = state.memory["selection"]["reference"]
    # What has no example is never drawn.
    table = np.broadcast_to(np.where(np.isinf(scores), 0.0, scores).astype(known.dtype), known.shape).copy()
    return state.replace(memory={**state.memory, "selection": {**state.memory["selection"], "reference": table}})


def cost(experiment: TrainingExperiment, name: str) -> dict[str, float]:
    """A run's parameters at its end, and MFLOPs for one image forward (a multiply-add is two)."""
    assembled = experiment.runs[name]
    first, *others = read_of(experiment.datasets.test, experiment.datasets.task.inputs)
    last = jax.ShapeDtypeStruct((1, *assembled.job.image_shape(assembled.job.plan[-1])), np.float32)
    params = jax.eval_shape(assembled.model.init, jax.random.key(0), last, *others)["params"]
    flops = models.flops(assembled.model, first.shape[1:], others=others)
    return {"params": int(models.count_params(params)), "mflops": flops / 1e6}
