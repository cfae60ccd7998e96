"""A run that was trained earlier, opened from its folder alone: its checkpoints carry the config."""

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import flax.linen as nn
import numpy as np

from effjax.data.base import Source
from effjax.data.folder_layout import SHARES
from effjax.data.grouping import group_classes
from effjax.data.sources import load
from effjax.errors import UserError
from effjax.recipes.build.networks import make_model, network_in
from effjax.recipes.build.views import view_of
from effjax.runtime import checkpoints as stored
from effjax.steps import Network, View
from effjax.tasks import CLASSIFICATION, Task, find_task
from effjax.typing import PyTree


@dataclasses.dataclass(frozen=True)
class TrainedRun:
    """A network that was trained, as it lies in its run's folder; or all that trained there in one program.

    Attributes:
      folder: it holds ``checkpoints/`` and ``metrics.jsonl``.
      step: of the checkpoint.
      member: which of the networks that trained together; None for one alone, or for all of them, their axis first.
      best: of networks that trained together, whether as they did best on validation, of which each checkpoint has
        that of each network, instead of as they were.
    """

    folder: Path
    step: int
    member: int | None = None
    best: bool = False

    @classmethod
    def open(cls, folder: str | Path, which: str = "last", *, several: bool = False) -> "TrainedRun":
        """Opens a run from its folder alone: its checkpoints say what it is.

        Args:
          folder: the run's folder; that of a seed is beside the one in which all its seeds trained together.
          which: ``"last"``, or ``"best"`` by validation.
          several: whether it may hold several networks that trained in one program, all of which are opened.

        Raises:
          UserError: if there is no checkpoint, it is damaged, or it holds several networks.
        """
        folder = Path(folder)
        if (one := cls._of_seeds_together(folder)) is not None:
            return dataclasses.replace(one, best=which == "best")
        checkpoints = folder / "checkpoints"
        newest = stored.steps(checkpoints)[-1]
        notes = stored.read_meta(checkpoints, newest)
        seeds, best = notes["identity"].get("seed"), (notes.get("best") or {}).get("step")
        if not several and (isinstance(seeds, list) or isinstance(best, list)):
            raise UserError(
                f"{folder} holds several networks that trained in one program; what is opened from its folder alone is "
                "one network: name the folder seed_… of a seed, or train it without folds and ensembles"
            )
        return cls(folder, stored.best_step(checkpoints) if which == "best" else newest)

    @classmethod
    def _of_seeds_together(cls, folder: Path) -> "TrainedRun | None":
        """A seed's network in the checkpoints that all seeds of its run share; None if it has its own, or none."""
        together, seed = folder.absolute().parent / "together", folder.name.removeprefix("seed_")
        if (folder / "checkpoints").exists() or not (together / "checkpoints").exists() or not seed.isdecimal():
            return None
        everyone = cls(together, stored.steps(together / "checkpoints")[-1])
        seeds = everyone.identity["seed"]
        return dataclasses.replace(everyone, member=seeds.index(int(seed))) if int(seed) in seeds else None

    @functools.cached_property
    def identity(self) -> Mapping[str, Any]:
        """What it was trained as: ``run``, ``data``, ``view``, ``num_classes``, …."""
        return stored.read_meta(self.folder / "checkpoints", self.step)["identity"]

    def variables(self) -> PyTree:
        """The student's variables, on the host."""
        return stored.read_variables(self.folder / "checkpoints", self.step, member=self.member, best=self.best)

    def records(self) -> Mapping[str, np.ndarray]:
        """What its training has recorded of each example, by global id."""
        return stored.read_records(self.folder / "checkpoints", self.step)

    @property
    def task(self) -> Task:
        """What it has learnt."""
        return find_task(self.identity.get("task", CLASSIFICATION.name))

    def model(self) -> nn.Module:
        """The module that its variables are of."""
        return self._bare.module

    def network(self) -> Network:
        """The network, with what it is shown."""
        return dataclasses.replace(self._bare, view=self.view, inputs=self.task.inputs)

    def effective(self) -> PyTree:
        """The variables that one network computes with: its own, gone through what they went through at the end."""
        variables = self.variables()
        return {
            **variables,
            "params": functools.reduce(lambda x, change: change(x), self._bare.through, variables["params"]),
        }

    @property
    def _bare(self) -> Network:
        """The network as it was in the stage of the checkpoint's step.

        Raises:
          UserError: if a plan named a setting that is not registered here.
        """
        plan = self.identity["stages"]
        stage = next((one for one in plan if self.step <= one["stop"]), plan[-1])
        model = make_model(self.identity["run"]["model"], self.identity["num_classes"], task=self.task)
        try:
            return network_in(model, {key: value for key, value in stage.items() if key not in ("start", "stop")})
        except UserError as error:
            raise UserError(
                f"{self.folder} was trained by a plan that is not known here: {error}; import what registers it"
            ) from error

    @property
    def view(self) -> View:
        return view_of(self.identity["view"])

    def source(self, split: str, data_dir: str, dataset: str = "") -> Source:
        """Opens a split of the dataset that it was trained on, or of another one with the same number of classes.

        Raises:
          UserError: if it is not there, or has other classes.
        """
        data = self.identity["data"]
        shares = SHARES if dataset else data.get("split", SHARES)
        common = {"image_size": data["image_size"] or None, "shares": shares, "padded": data.get("padded")}
        common["crop_pct"] = data.get("crop_pct", 1.0)
        source = load(dataset or data["name"], split, data_dir, **common)
        if data.get("classes") and not dataset:
            source = group_classes(source, data["classes"])
        if source.info.num_classes != self.identity["num_classes"]:
            raise UserError(
                f"{source.info.name!r} has {source.info.num_classes} classes, "
                f"{self.folder} knows {self.identity['num_classes']}"
            )
        return source
