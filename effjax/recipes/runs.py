"""Runs of an experiment, over seeds, each after its teachers; what is done is not done again."""

import dataclasses
import functools
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from effjax import models
from effjax.data.base import Source, global_ids
from effjax.errors import UserError
from effjax.recipes import config as schema
from effjax.recipes.assemble import Assembled, assemble, predictor
from effjax.recipes.datasets import Datasets, open_datasets
from effjax.recipes.networks import make_model
from effjax.recipes.teachers import checkpoint_model, logit_table
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
    """

    name: str
    seed: int
    folder: Path
    last_step: int
    best_step: int
    assembled: Assembled

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
        self._predictors: dict[nn.Module, Callable[[Tree, Source], np.ndarray]] = {}
        for name in self.names:
            self.runs[name] = assemble(
                name,
                config["runs"][name],
                self.datasets,
                self.backend,
                config["eval_batch_size"],
                {teacher: self._teacher_model(name, teacher) for teacher in config["runs"][name]["teachers"]},
            )

        for name, assembled in self.runs.items():  # all before any is trained: a mistake in the last costs nothing
            frozen = {teacher: self._frozen_shapes(name, teacher) for teacher in assembled.config["teachers"]}
            assembled.task.check(jax.eval_shape(assembled.init, np.uint32(0)), frozen)

    def train(self) -> Iterator[Done]:
        """Trains every run of every seed, yielding each as it is done."""
        for seed in self.seeds:
            done: dict[str, Done] = {}
            for name in self.names:
                done[name] = self._train_one(name, seed, done)
                yield done[name]

    def _train_one(self, name: str, seed: int, done: Mapping[str, Done]) -> Done:
        assembled, folder = self.runs[name], self.workdir / name / f"seed_{seed}"
        frozen, hashes = {}, {}
        for teacher, source in assembled.config["teachers"].items():
            variables = teacher_variables(source, done)
            hashes[teacher] = params_sha256(variables)
            frozen[teacher] = functools.partial(self._frozen, name, teacher, source, variables)
        identity = plain(
            {
                "seed": seed,
                "run": without_runtime_keys(assembled.config),
                "num_classes": self.datasets.info.num_classes,
                "teachers": hashes,
                "data": {key: self.config["data"][key] for key in ("name", "train", "validation", "image_size")},
                "view": self.config["view"],
                "eval_batch_size": self.config["eval_batch_size"],
            }
        )
        fitted = fit(
            assembled.task,
            assembled.initial_state(seed),
            workdir=folder,
            identity=identity,
            frozen=frozen,
            keep=assembled.config["keep"],
            label=f"{name} seed {seed}",
        )
        return Done(name, seed, folder, assembled.task.total_steps, fitted.best_step, assembled)

    def _teacher_model(self, run: str, teacher: str) -> nn.Module:
        source = self.config["runs"][run]["teachers"][teacher]
        if source["run"]:
            return make_model(self.config["runs"][source["run"]]["model"], self.datasets.info.num_classes)
        return checkpoint_model(source["checkpoint"], self.datasets.info, f"config.runs.{run}.teachers.{teacher}")

    def _frozen_shapes(self, name: str, teacher: str) -> Tree:
        """The shapes of what :meth:`_frozen` will return."""
        info, model = self.datasets.info, self._teacher_model(name, teacher)
        if self.config["runs"][name]["teachers"][teacher]["cached"]:
            return {"logits": jax.ShapeDtypeStruct((len(self.datasets.train), info.num_classes), np.float32)}
        images = jax.ShapeDtypeStruct((1, *self.runs[name].task.feed.example()["image"].shape[1:]), np.float32)
        return dict(jax.eval_shape(model.init, jax.random.key(0), images))

    def _frozen(self, name: str, teacher: str, source: Mapping[str, Any], variables: Tree) -> Tree:
        """What the teacher reads inside the step: its variables, or its answers on the training set."""
        if not source["cached"]:
            return variables
        predict = self._predictor(self._teacher_model(name, teacher))
        return logit_table(predict(variables, self.datasets.train), global_ids(self.datasets.train))

    def _predictor(self, model: nn.Module) -> Callable[[Tree, Source], np.ndarray]:
        if model not in self._predictors:
            size = self.config["eval_batch_size"]
            self._predictors[model] = predictor(model, self.datasets.view, self.backend, size)
        return self._predictors[model]


def params_sha256(variables: Tree) -> str:
    """Hashes parameters by their bytes, in the order of their paths."""
    digest = hashlib.sha256()
    for path, leaf in sorted(jax.tree_util.tree_leaves_with_path(variables), key=lambda item: str(item[0])):
        digest.update(str(path).encode())
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()


def teacher_variables(source: Mapping[str, Any], done: Mapping[str, Done]) -> Tree:
    """A teacher's variables on the host, from a run that is done or from an earlier run's folder."""
    if source["run"]:
        return done[source["run"]].variables(source["step"])
    folder = Path(source["checkpoint"]) / "checkpoints"
    step = stored.steps(folder)[-1] if source["step"] == "last" else stored.best_step(folder)
    return stored.read_variables(folder, step)


#: Keys that may change between a run's start and its continuation, for they do not change what is computed.
_RUNTIME_KEYS = ("label", "keep")


def without_runtime_keys(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in _RUNTIME_KEYS}


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
