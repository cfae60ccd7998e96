"""Runs of an experiment, over seeds, each after its teachers; what is done is not done again."""

import dataclasses
import functools
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from effjax import models
from effjax.errors import UserError
from effjax.recipes import config as schema
from effjax.recipes.answers import stored_answers
from effjax.recipes.assemble import Assembled, assemble
from effjax.recipes.datasets import Datasets, open_datasets
from effjax.recipes.hashes import params_sha256
from effjax.recipes.start import start_from
from effjax.recipes.teachers import Taught, expand, make_teacher
from effjax.runtime import checkpoints as stored
from effjax.runtime import fit, make_backend
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
      folder: its folder, with ``checkpoints/`` and ``metrics.jsonl``.
      last_step: the end.
      best_step: the best on validation.
      assembled: what it was made of.
      teachers: by teacher, the hash of its parameters.
    """

    name: str
    seed: int
    folder: Path
    last_step: int
    best_step: int
    assembled: Assembled
    teachers: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def variables(self, which: str = "last") -> Tree:
        """The student's variables at the ``"last"`` or ``"best"`` step, on the host."""
        step = self.last_step if which == "last" else self.best_step
        return stored.read_variables(self.folder / "checkpoints", step)


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
        self.backend = make_backend(config["backend"])
        self.datasets: Datasets = open_datasets(config)
        self.seeds = range(config["seed"], config["seed"] + config["num_seeds"])
        self.names = schema.in_order(config["runs"])
        self.runs: dict[str, Assembled] = {}
        self._taught: dict[str, dict[str, Taught]] = {}
        shape = self.datasets.train[0]["image"].shape
        for name in self.names:
            run = expand(config["runs"][name])
            self._taught[name] = {
                teacher: make_teacher(
                    f"config.runs.{name}.teachers.{teacher}", source, config["runs"], self.datasets, shape
                )
                for teacher, source in run["teachers"].items()
            }
            self.runs[name] = assemble(
                name, run, self.datasets, self.backend, config["eval_batch_size"], self._taught[name]
            )
        for assembled in self.runs.values():  # all before any is trained: a mistake in the last costs nothing
            assembled.task.check(jax.eval_shape(assembled.init, np.uint32(0)), assembled.frozen)

    def train(self) -> Iterator[Done]:
        """Trains every run of every seed, yielding each as it is done; the teachers of a run before it."""
        done: dict[tuple[str, int], Done] = {}
        for name in self.names:
            for seed in self.seeds:
                done[name, seed] = self._train_one(name, seed, done)
                yield done[name, seed]

    def _train_one(self, name: str, seed: int, done: Mapping[tuple[str, int], Done]) -> Done:
        assembled, folder = self.runs[name], self.workdir / name / f"seed_{seed}"

        def variables_of(run: str, other: int | None, step: str) -> Tree:
            return done[run, seed if other is None else other].variables(step)

        variables = {teacher: taught.load(variables_of) for teacher, taught in self._taught[name].items()}
        hashes = {teacher: params_sha256(value) for teacher, value in variables.items()}
        frozen = {
            teacher: functools.partial(self._frozen, name, teacher, seed, value, hashes[teacher])
            for teacher, value in variables.items()
        }
        start, origin = assembled.initial_state(seed), {}
        if assembled.config["init"]:
            start, origin["init"] = start_from(start, assembled, self.datasets, f"config.runs.{name}")
        identity = plain(
            {
                "seed": seed,
                "run": beyond_defaults(assembled.config, schema.run().to_dict()),
                "num_classes": self.datasets.info.num_classes,
                "class_names": self.datasets.info.class_names,
                "teachers": hashes,
                "data": {key: self.config["data"][key] for key in _DATA_KEYS},
                "view": beyond_defaults(self.config["view"], schema.experiment().view.to_dict()),
                "eval_batch_size": self.config["eval_batch_size"],
                **origin,
            }
        )
        fitted = fit(
            assembled.task,
            start,
            workdir=folder,
            identity=identity,
            frozen=frozen,
            keep=assembled.config["keep"],
            label=f"{name} seed {seed}",
        )
        return Done(name, seed, folder, assembled.task.total_steps, fitted.best_step, assembled, hashes)

    def _frozen(self, name: str, teacher: str, seed: int, variables: Tree, sha: str) -> Tree:
        """What the teacher reads inside the step: its variables, or its answers on the training set."""
        taught, assembled = self._taught[name][teacher], self.runs[name]
        if not taught.cached:
            return variables
        facts = {"params": sha, **plain({key: self.config["data"][key] for key in _DATA_KEYS})}
        facts["without"] = list(assembled.config["without_classes"])
        return stored_answers(
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


#: Keys that may change between a run's start and its continuation, for they do not change what is computed.
_RUNTIME_KEYS = ("label", "keep")
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


def check_workdir(workdir: Path) -> None:
    """Refuses a folder that cannot be written, before any work is done.

    Raises:
      UserError: naming the folder and the reason.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        probe = workdir / f".write_test_{os.getpid()}"
        probe.write_bytes(b"\0" * 4096)
        probe.unlink()
    except OSError as error:
        raise UserError(f"workdir={workdir} cannot be written: {error.strerror}") from error
    free = shutil.disk_usage(workdir).free
    if free < 64 * 2**20:
        raise UserError(f"workdir={workdir}: only {free / 2**20:.0f} MiB are free; make room or take another folder")


def write_json(path: Path, value: Any) -> None:
    """Writes a file whole or not at all; only the primary process does."""
    if not is_primary():
        return
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(value, indent=2) + "\n")
    os.replace(temporary, path)
    _log.info("wrote %s", path)


def cost(experiment: Experiment, name: str) -> dict[str, float]:
    """A run's parameters, and MFLOPs for one image forward (a multiply-add is two)."""
    assembled = experiment.runs[name]
    params = jax.eval_shape(assembled.init, np.uint32(0)).params["student"]
    shape = experiment.datasets.test[0]["image"].shape
    return {"params": int(models.count_params(params)), "mflops": models.flops(assembled.model, shape) / 1e6}
