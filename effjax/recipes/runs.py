"""Runs of an experiment, over seeds, each after its teachers; what is done is not done again."""

import dataclasses
import functools
import hashlib
import json
import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from effjax import files, models
from effjax.errors import UserError, noted, refuse
from effjax.recipes import config as schema
from effjax.recipes.answers import stored_answers
from effjax.recipes.assemble import Assembled, assemble
from effjax.recipes.datasets import Datasets, open_datasets
from effjax.recipes.difficulty import difficulty
from effjax.recipes.early_checks import check_start, check_teacher_cache
from effjax.recipes.folders import contents, drawn
from effjax.recipes.hashes import params_sha256
from effjax.recipes.sharing import check_workdir, run_held
from effjax.recipes.start import start_from
from effjax.recipes.teachers import Taught, expand, make_teacher
from effjax.runtime import Fitted, fit, make_backend
from effjax.runtime import checkpoints as stored
from effjax.runtime.hosts import is_primary

_log = logging.getLogger("effjax")

Tree = Any

RESULT_FILE = "result.json"


@dataclasses.dataclass(frozen=True)
class Done:
    """A finished run.

    Attributes:
      name: of the run.
      seed: of the run.
      folder: its folder, for what is measured of it.
      last_step: the end.
      best_step: the best on validation.
      assembled: what it was made of.
      teachers: by teacher, the hash of its parameters.
      clock: see :class:`effjax.runtime.clock.Clock`.
      trained_in: the folder with ``checkpoints/`` and ``metrics.jsonl``: its own, or that of all its seeds together.
      member: which of the networks that trained together; None for one alone.
      lost_best: see :class:`effjax.runtime.Fitted`.
    """

    name: str
    seed: int
    folder: Path
    last_step: int
    best_step: int
    assembled: Assembled
    teachers: Mapping[str, str]
    clock: Mapping[str, Any]
    trained_in: Path
    member: int | None = None
    lost_best: int | None = None

    def variables(self, which: str = "last") -> Tree:
        """The student's variables at the ``"last"`` or ``"best"`` step, on the host."""
        folder = self.trained_in / "checkpoints"
        if self.member is not None:
            return stored.read_variables(folder, self.last_step, member=self.member, best=which == "best")
        return stored.read_variables(folder, self.last_step if which == "last" else self.best_step)

    def records(self) -> Mapping[str, np.ndarray]:
        """What the run has recorded of each example, by global id."""
        return stored.read_records(self.trained_in / "checkpoints", self.last_step)


class Experiment:
    """An experiment's config, made real: its data and its runs.

    Args:
      config: as :func:`effjax.recipes.config.experiment` lays it out.
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
            if self.runs[name].task.members and not self.runs[name].config["folds"]:
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
        assembled.pace.difficulty = difficulty(pacing["by"], references, assembled.task.feed)
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
        with run_held(folder, assembled.task.total_steps):
            return fit(
                assembled.task,
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
        return {**{key: data[key] for key in _DATA_KEYS}, **later, **drawn(data)}

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


#: Keys that may change between a run's start and its continuation, for they do not change what is computed.
_RUNTIME_KEYS = ("label", "keep", "num_seeds")
#: Keys that others read from a checkpoint, said even where they are the default.
_ALWAYS = ("model", "mean", "std")
#: What of ``config.data`` says which examples there are.
_DATA_KEYS = ("name", "train", "validation", "image_size", "classes")


def beyond_defaults(config: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """What a config says beyond the defaults: keys that a later version adds do not make its runs other runs."""
    said = (key for key in config if key in _ALWAYS or plain(config[key]) != plain(defaults[key]))
    return {key: config[key] for key in said if key not in _RUNTIME_KEYS}


def plain(value: Any) -> Any:
    """Mappings and sequences as JSON has them."""
    return json.loads(json.dumps(value))


def write_json(path: Path, value: Any) -> None:
    """Writes a file whole or not at all; only the primary process does."""
    if not is_primary():
        return
    files.write_json(path, value)
    _log.info("wrote %s", path)


def cost(experiment: Experiment, name: str) -> dict[str, float]:
    """A run's parameters, and MFLOPs for one image forward (a multiply-add is two)."""
    assembled = experiment.runs[name]
    params = jax.eval_shape(assembled.init, np.uint32(0)).params["student"]
    shape = experiment.datasets.test[0]["image"].shape
    return {"params": int(models.count_params(params)), "mflops": models.flops(assembled.model, shape) / 1e6}
