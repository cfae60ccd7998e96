"""A run of an experiment that has been trained to its end."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from effjax.recipes.build.assemble import AssembledRun
from effjax.recipes.build.trained import TrainedRun
from effjax.typing import PyTree

RESULT_FILE = "result.json"


@dataclasses.dataclass(frozen=True)
class FinishedRun:
    """A run of an experiment that has been trained to its end.

    Attributes:
      name: of the run.
      seed: of the run.
      folder: its folder, for what is measured of it; its networks may lie in one that its seeds share.
      last: as it was at the end.
      best: as it did best on validation.
      best_step: when that was.
      assembled: what it was made of.
      teachers: by teacher, the hash of its parameters.
      clock: see :class:`effjax.runtime.clock.Clock`.
      lost_best: see :class:`effjax.runtime.Fitted`.
    """

    name: str
    seed: int
    folder: Path
    last: TrainedRun
    best: TrainedRun
    best_step: int
    assembled: AssembledRun
    teachers: Mapping[str, str]
    clock: Mapping[str, Any]
    lost_best: int | None = None

    def trained(self, which: str = "last") -> TrainedRun:
        """The network as it was at the end, ``"last"``, or did ``"best"`` on validation."""
        return self.last if which == "last" else self.best

    def variables(self, which: str = "last") -> PyTree:
        """The student's variables at the ``"last"`` or ``"best"`` step, on the host."""
        return self.trained(which).variables()
