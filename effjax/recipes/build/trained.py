"""A run that was trained earlier, opened from its folder alone: its checkpoints carry the config."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import flax.linen as nn

from effjax.data.base import Source
from effjax.data.folder_layout import SHARES
from effjax.data.grouping import group_classes
from effjax.data.sources import load
from effjax.errors import UserError
from effjax.recipes.build.networks import make_model
from effjax.runtime import checkpoints as stored
from effjax.steps import View

Tree = Any


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained run.

    Attributes:
      folder: its folder, which holds ``checkpoints/``.
      step: of the checkpoint.
      identity: what it was trained as: ``run``, ``data``, ``view``, ``num_classes``, ….
    """

    folder: Path
    step: int
    identity: Mapping[str, Any]

    @classmethod
    def open(cls, folder: str | Path, which: str = "last", *, several: bool = False) -> "Trained":
        """Reads what the newest checkpoint says of the run.

        Args:
          folder: the run's folder.
          which: ``"last"``, or ``"best"`` by validation.
          several: whether it may hold several networks that trained in one program, their axis first.

        Raises:
          UserError: if there is no checkpoint, it is damaged, or it holds several networks.
        """
        checkpoints = Path(folder) / "checkpoints"
        newest = stored.steps(checkpoints)[-1]
        notes = stored.read_meta(checkpoints, newest)
        seeds, best = notes["identity"].get("seed"), (notes.get("best") or {}).get("step")
        if not several and (isinstance(seeds, list) or isinstance(best, list)):
            raise UserError(
                f"{folder} holds several networks that trained in one program; what is opened from its folder alone is "
                "a run of one network: train it without config.seeds_together, folds and ensembles"
            )
        step = stored.best_step(checkpoints) if which == "best" else newest
        return cls(Path(folder), step, notes["identity"])

    def variables(self) -> Tree:
        """The student's variables, on the host."""
        return stored.read_variables(self.folder / "checkpoints", self.step)

    def model(self) -> nn.Module:
        return make_model(self.identity["run"]["model"], self.identity["num_classes"])

    @property
    def view(self) -> View:
        settings = self.identity["view"]
        return View(**{name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()})

    def source(self, split: str, data_dir: str, dataset: str = "") -> Source:
        """Opens a split of the dataset that it was trained on, or of another one with the same number of classes.

        Raises:
          UserError: if it is not there, or has other classes.
        """
        data = self.identity["data"]
        shares = SHARES if dataset else data.get("split", SHARES)
        source = load(dataset or data["name"], split, data_dir, image_size=data["image_size"] or None, shares=shares)
        if data.get("classes") and not dataset:
            source = group_classes(source, data["classes"])
        if source.info.num_classes != self.identity["num_classes"]:
            raise UserError(
                f"{source.info.name!r} has {source.info.num_classes} classes, "
                f"{self.folder} knows {self.identity['num_classes']}"
            )
        return source
