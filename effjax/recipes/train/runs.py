"""Runs of an experiment, over seeds, each after its teachers; what is done is not done again."""

import functools
import hashlib
import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from effjax import models
from effjax.errors import UserError, noted, refuse
from effjax.recipes import schema
from effjax.recipes.build.answers import stored_answers
from effjax.recipes.build.assemble import Assembled, assemble
from effjax.recipes.build.datasets import Datasets, open_datasets
from effjax.recipes.build.early_checks import check_start, check_teacher_cache
from effjax.recipes.build.folders import contents, drawn
from effjax.recipes.build.hashes import params_sha256
from effjax.recipes.build.identity import DATA_KEYS, beyond_defaults, plain
from effjax.recipes.build.sharing import check_workdir, run_held
from effjax.recipes.build.start import start_from
from effjax.recipes.build.teachers import Taught, expand, make_teacher
from effjax.recipes.train.difficulty import difficulty
from effjax.recipes.train.done import Done
from effjax.runtime import Fitted, fit, make_backend

_log = logging.getLogger("effjax")

Tree = Any


class Experiment:
    """An experiment's config, made real: its data and its runs.

    Args:
      config: as :func:`effjax.recipes.schema.experiment` lays it out.
      workdir: where everything is written.

    Raises:
      UserError: if anything in the config cannot be used; nothing has been trained then.
    """

    def __init__(self, config: Mapping[str, Any], workdir: str | Path):
        self.config, self.workdir = config, Path(workdir)
        schema.check(config)
        check_workdir(self.workdir)
        check_teacher_cache(config)
        self.backend = make_backend(config["backend"])
        self.datasets: Datasets = open_datasets(config)
        self.seeds = range(config["seed"], config["seed"] + config["num_seeds"])
        self.names = schema.in_order(config["runs"])
        self.runs: dict[str, Assembled] = {}
        found: list[str] = []
        self._taught: dict[str, dict[str, Taught]] = {}
        shape = self.datasets.train[0]["image"].shape
        for name in self.names:
            with noted(found, f"config.runs.{name}"):
                run = expand(config["runs"][name])
                self._taught[name] = {
                    teacher: make_teacher(
                        f"config.runs.{name}.teachers.{teacher}", source, config["runs"], self.datasets, shape
                    )
                    for teacher, source in run["teachers"].items()
                }
                self.runs[name] = assemble(
                    *(name, run, self.datasets, self.backend, config["eval_batch_size"], self._taught[name]),
                    members=self._members(name, run),
                )
        for name, assembled in self.runs.items():  # all before any is trained: a mistake in the last costs nothing
            with noted(found, f"config.runs.{name}"):
                assembled.check()
                check_start(f"config.runs.{name}", assembled, self.datasets)
        refuse(found)

    def _members(self, name: str, run: Mapping[str, Any]) -> int:
        """How many networks of a run train in one program.

        Raises:
          UserError: for what such runs cannot do.
        """
        key, count = f"config.runs.{name}", len(self.seeds_of(name))
        # A teacher of one seed, for students of many, is one network as ever.
        members = run["folds"] or (count if self.config["seeds_together"] and run["num_seeds"] != 1 else 0)
        if members and run["init"]:
            raise UserError(f"{key}.init: networks that train together have none")
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

    def seeds_of(self, name: str) -> range:
        """The seeds of a run."""
        return range(self.seeds.start, self.seeds.start + (self.config["runs"][name]["num_seeds"] or len(self.seeds)))

    def train(self, only: Collection[str] = ()) -> Iterator[Done]:
        """Trains every run of every seed, yielding each as it is done; the teachers of a run before it.

        Args:
          only: the runs to train, besides those that they need; empty: all.

        Raises:
          UserError: if one of them is no run.
        """
        done: dict[tuple[str, int], Done] = {}
        for name in schema.needed_by(self.config["runs"], only) if only else self.names:
            if self.runs[name].job.members and not self.runs[name].config["folds"]:
                finished = self._train_together(name, done)
            else:
                finished = (self._train_one(name, seed, done) for seed in self.seeds_of(name))
            for one in finished:
                done[name, one.seed] = one
                yield one

    def _train_together(self, name: str, done: Mapping[tuple[str, int], Done]) -> Iterator[Done]:
        """All the seeds of a run in one program."""
        folder, seeds = self.workdir / name / "together", self.seeds_of(name)
        frozen, hashes = self._teachers(name, seeds[0], done)  # they are the same for all
        fitted = self._fit(name, list(seeds), folder, frozen, hashes, self._rank(name, done))
        for member, seed in enumerate(seeds):
            own = self.workdir / name / f"seed_{seed}"
            own.mkdir(parents=True, exist_ok=True)
            best = fitted.best_step[member] if isinstance(fitted.best_step, tuple) else fitted.best_step
            yield Done(
                *(name, seed, own, fitted.last_step, best, self.runs[name], hashes, fitted.clock, folder), member=member
            )

    def _train_one(self, name: str, seed: int, done: Mapping[tuple[str, int], Done]) -> Done:
        assembled, folder = self.runs[name], self.workdir / name / f"seed_{seed}"
        frozen, hashes = self._teachers(name, seed, done)
        # Of a cross-validation, a seed for each network.
        folds = assembled.config["folds"]
        seeds = [seed * folds + fold for fold in range(folds)] if folds else seed
        fitted = self._fit(name, seeds, folder, frozen, hashes, self._rank(name, done))
        best = fitted.last_step if folds else fitted.best_step
        member = 0 if folds else None
        return Done(
            *(name, seed, folder, fitted.last_step, best, assembled, hashes, fitted.clock, folder, member),
            lost_best=fitted.lost_best,
        )

    def _teachers(
        self, name: str, seed: int, done: Mapping[tuple[str, int], Done]
    ) -> tuple[dict[str, Callable[[], Tree]], dict[str, str]]:
        """By teacher, what computes what it reads, and the hash of its parameters."""

        def variables_of(run: str, other: int | None, step: str) -> Tree:
            return done[run, seed if other is None else other].variables(step)

        variables = {teacher: taught.load(variables_of) for teacher, taught in self._taught[name].items()}
        hashes = {teacher: params_sha256(value) for teacher, value in variables.items()}
        frozen = {
            teacher: functools.partial(self._frozen, name, teacher, seed, value, hashes[teacher])
            for teacher, value in variables.items()
        }
        return frozen, hashes

    def _rank(self, name: str, done: Mapping[tuple[str, int], Done]) -> dict[str, str]:
        """Ranks the examples of a run that is paced; returns what of the ranking makes the run what it is."""
        assembled = self.runs[name]
        pacing = assembled.config["pacing"]
        if not pacing or pacing["order"] == "random":
            return {}
        references = [done[pacing["run"], seed] for seed in self.seeds_of(pacing["run"])]
        assembled.pace.difficulty = difficulty(pacing["by"], references, assembled.job.feed)
        return {"difficulty": hashlib.sha256(assembled.pace.difficulty.tobytes()).hexdigest()}

    def _fit(
        self,
        name: str,
        seeds: int | list[int],
        folder: Path,
        frozen: Mapping[str, Any],
        hashes: Mapping[str, str],
        origin: Mapping[str, str],
    ) -> Fitted:
        assembled = self.runs[name]
        start, origin = assembled.initial_state(seeds), dict(origin)
        if assembled.config["init"]:
            start, origin["init"] = start_from(start, assembled, self.datasets, f"config.runs.{name}")
        identity = plain(
            {
                "seed": seeds,
                "run": beyond_defaults(assembled.config, schema.run().to_dict()),
                "num_classes": self.datasets.info.num_classes,
                "class_names": self.datasets.info.class_names,
                "teachers": hashes,
                "data": self._data_identity(),
                "view": beyond_defaults(self.config["view"], schema.experiment().view.to_dict()),
                "eval_batch_size": self.config["eval_batch_size"],
                **origin,
            }
        )
        which = f"seeds {seeds[0]}-{seeds[-1]}" if isinstance(seeds, list) else f"seed {seeds}"
        with run_held(folder, assembled.job.total_steps):
            return fit(
                assembled.job,
                start,
                workdir=folder,
                identity=identity,
                frozen=frozen,
                keep=assembled.config["keep"],
                label=f"{name} {which}",
            )

    def _data_identity(self) -> dict[str, Any]:
        """What says which examples there are; of what came later, only what is not the default."""
        data, defaults = self.config["data"], schema.experiment().data.to_dict()
        later = {key: data[key] for key in ("also", "label_noise") if plain(data[key]) != plain(defaults[key])}
        return {**{key: data[key] for key in DATA_KEYS}, **later, **drawn(data)}

    def _frozen(self, name: str, teacher: str, seed: int, variables: Tree, sha: str) -> Tree:
        """What the teacher reads inside the step: its variables, or its answers on the training set.

        Answers that are too many for the device are looked up for each batch instead.
        """
        taught, assembled = self._taught[name][teacher], self.runs[name]
        if not taught.cached:
            return variables
        facts = {"params": sha, **plain(self._data_identity())}
        facts["without"] = list(assembled.config["without_classes"])
        facts |= contents(assembled.train)
        table = stored_answers(
            Path(self.config["teacher_cache"] or self.workdir / "teacher_answers"),
            facts,
            taught.network,
            variables,
            assembled.train,
            self.datasets.view,
            seed,
            taught.cached,
            self.backend,
            self.config["eval_batch_size"],
        )
        if teacher not in assembled.lookups:
            return table.read()
        assembled.lookups[teacher].table = table
        return {}


def cost(experiment: Experiment, name: str) -> dict[str, float]:
    """A run's parameters, and MFLOPs for one image forward (a multiply-add is two)."""
    assembled = experiment.runs[name]
    params = jax.eval_shape(assembled.init, np.uint32(0)).params["student"]
    shape = experiment.datasets.test[0]["image"].shape
    return {"params": int(models.count_params(params)), "mflops": models.flops(assembled.model, shape) / 1e6}
