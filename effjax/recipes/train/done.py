"""A finished run."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from effjax.recipes.build.assemble import Assembled
from effjax.runtime import checkpoints as stored

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
