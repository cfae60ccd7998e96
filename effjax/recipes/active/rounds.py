"""What happens in a round of a labelling loop once its labels are there: train, and measure."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from effjax import selection
from effjax.errors import UserError
from effjax.recipes.active.folder import LoopFolder
from effjax.recipes.active.measures import Measures
from effjax.recipes.active.pool import PoolPredictor, predictions_of
from effjax.recipes.active.trainer import LabelsOf, Trainer
from effjax.recipes.build.writing import write_measured, write_primary
from effjax.runtime.hosts import barrier
from effjax.typing import PyTree


@dataclasses.dataclass(frozen=True)
class Rounds:
    """The rounds of one loop.

    Attributes:
      seed: of every draw.
      folder: the loop's.
      trainer: what trains, this loop alone or several together.
      loop: which of the trainer's loops this is.
      predict: the predictions that the loop scores by.
      measures: what is measured of a round's networks.
      labels_of: from a round to the labels that it trains on, by global id.
      needed: how many of the last networks the next choice looks at.
    """

    seed: int
    folder: LoopFolder
    trainer: Trainer
    loop: int
    predict: PoolPredictor
    measures: Measures
    labels_of: LabelsOf
    needed: int = 1

    @property
    def name(self) -> str:
        """Of the run in the config, for messages."""
        return self.trainer.name

    @property
    def watch(self) -> str:
        """The metric that says which network is best."""
        return self.trainer.assembled.job.watch

    def train(self, round_: int) -> dict[str, Any]:
        """Trains on the labels there are, and measures on validation; what is done is not done again.

        Returns:
          ``round``, ``labels`` (how many) and what was measured.

        Raises:
          UserError: if there is no label.
        """
        if known := self.folder.result(round_):
            self._forget_before(round_)  # as a process that was killed just here had still to do
            return known
        variables = self.trainer.train(round_, self.loop)
        self.folder.round(round_).mkdir(parents=True, exist_ok=True)
        with predictions_of(f"{self.name} seed {self.seed}, the network of round {round_}"):
            found = self.measures.validate(variables, self.seed)
            measured = {"round": round_, "labels": len(self.labels_of(round_)), **found}
            # The answers are kept, the labels of the test split are not looked at: see `test`.
            self.measures.keep(variables, self.seed, self.folder, round_)
        if self.trainer.assembled.config["record"]:
            self._map(round_)
        write_measured(self.folder.result_file(round_), measured)
        self._forget_before(round_)
        barrier(f"{self.folder.result_file(round_)}")
        return measured

    def _forget_before(self, round_: int) -> None:
        """Networks that nothing looks at any more have done their work; what they said is in the files."""
        if round_ >= self.needed:
            self.trainer.forget(round_ - self.needed, self.loop)

    def variables(self, round_: int) -> PyTree:
        """The network of a round, on the host."""
        return self.trainer.variables(round_, self.loop)

    def result(self, round_: int) -> Mapping[str, Any]:
        """What a round that is over has measured on validation."""
        return self.folder.result(round_) or {}

    def test(self, measured: Mapping[str, Any]) -> dict[str, Any]:
        """Compares a round's answers on the test split with its labels. For the end, when all rounds are over.

        Args:
          measured: what :meth:`train` returned.
        """
        found = self.measures.test(measured, self.folder)
        write_measured(self.folder.test_file(measured["round"]), found)
        return {**measured, **found}

    def recorded_map(self, round_: int) -> tuple[np.ndarray, selection.DatasetMap]:
        """The ids and the map of what a round trained on.

        Raises:
          UserError: if nothing was recorded.
        """
        found = self.folder.map(round_)
        if found is None:
            raise UserError(f"config.runs.{self.name}.record must be True: outliers are found on its dataset map")
        return found["id"], selection.DatasetMap(*(found[name] for name in selection.DatasetMap._fields))

    def _map(self, round_: int) -> None:
        labels = self.labels_of(round_)
        ids = np.fromiter(labels, np.int32)
        mapped = selection.map_of_records(self.trainer.records(round_, self.loop), ids)
        arrays = {"id": ids, "label": np.fromiter(labels.values(), np.int32), **mapped._asdict()}
        write_primary(self.folder.map_file(round_), lambda file: np.savez(file, **arrays))
