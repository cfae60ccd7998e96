"""What happens in a round of a labelling loop once its labels are there: train, and measure."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from effjax import metrics, selection
from effjax.data.base import Source
from effjax.errors import UserError
from effjax.files import read_arrays, write_whole
from effjax.recipes.active.folder import ANEW, LoopFolder
from effjax.recipes.active.pool import PoolPredictor, predictions_of
from effjax.recipes.active.trainer import LabelsOf, Trainer
from effjax.recipes.build.datasets import Datasets
from effjax.recipes.build.writing import write_json
from effjax.runtime.hosts import barrier, is_primary
from effjax.typing import PyTree


@dataclasses.dataclass(frozen=True)
class Rounds:
    """The rounds of one loop.

    Attributes:
      seed: of every draw.
      folder: the loop's.
      trainer: what trains, this loop alone or several together.
      loop: which of the trainer's loops this is.
      datasets: the pool (``train``), validation and test sets.
      predict: the predictions that the loop scores by.
      labels_of: from a round to the labels that it trains on, by global id.
    """

    seed: int
    folder: LoopFolder
    trainer: Trainer
    loop: int
    datasets: Datasets
    predict: PoolPredictor
    labels_of: LabelsOf

    @property
    def name(self) -> str:
        """Of the run in the config, for messages."""
        return self.trainer.name

    def train(self, round_: int) -> dict[str, Any]:
        """Trains on the labels there are, and measures on validation; what is done is not done again.

        Returns:
          ``round``, ``labels`` (how many) and what was measured.

        Raises:
          UserError: if there is no label.
        """
        if known := self.folder.result(round_):
            return known
        variables = self.trainer.train(round_, self.loop)
        self.folder.round(round_).mkdir(parents=True, exist_ok=True)
        with predictions_of(f"{self.name} seed {self.seed}, the network of round {round_}"):
            measured = {"round": round_, "labels": len(self.labels_of(round_)), **self._validate(variables)}
            probs, _ = self.predict(variables, self.datasets.test, self.seed)
        # The answers are kept, the labels of the test split are not looked at: see `test`.
        _save(self.folder.test_probs_file(round_), lambda file: np.save(file, probs.mean(0)))
        if self.trainer.assembled.config["record"]:
            self._map(round_)
        write_json(self.folder.result_file(round_), measured)
        if round_:  # its network has done its work; what it said is in the files
            self.trainer.forget(round_ - 1, self.loop)
        barrier(f"{self.folder.result_file(round_)}")
        return measured

    def variables(self, round_: int) -> PyTree:
        """The network of a round, on the host."""
        return self.trainer.variables(round_, self.loop)

    def test(self, measured: Mapping[str, Any]) -> dict[str, Any]:
        """Compares a round's answers on the test split with its labels. For the end, when all rounds are over.

        Args:
          measured: what :meth:`train` returned.
        """
        probs = read_arrays(self.folder.test_probs_file(measured["round"]), ANEW)
        found = _measures("test", probs, self.datasets.test.column("label"), measured["temperature"])
        write_json(self.folder.test_file(measured["round"]), found)
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

    def _validate(self, variables: PyTree) -> dict[str, float]:
        """Accuracy, likelihood and calibration, and the temperature that suits the validation set best."""
        source: Source = self.datasets.validation
        probs, _ = self.predict(variables, source, self.seed)
        mean, labels = probs.mean(0), source.column("label")
        temperature = float(_temperature(mean, labels))
        return {**_measures("validation", mean, labels, temperature), "temperature": temperature}

    def _map(self, round_: int) -> None:
        labels = self.labels_of(round_)
        ids = np.fromiter(labels, np.int32)
        mapped = selection.map_of_records(self.trainer.records(round_, self.loop), ids)
        arrays = {"id": ids, "label": np.fromiter(labels.values(), np.int32), **mapped._asdict()}
        _save(self.folder.map_file(round_), lambda file: np.savez(file, **arrays))


def _measures(role: str, probs: np.ndarray, labels: np.ndarray, temperature: float) -> dict[str, float]:
    """Of mean predictions ``[N, C]``: accuracy, and likelihood and calibration as they are and with the temperature."""
    found = {f"{role}/accuracy": float((probs.argmax(-1) == labels).mean())}
    for name, t in (("", 1.0), ("_scaled", temperature)):
        found[f"{role}/nll{name}"], found[f"{role}/ece{name}"] = map(float, _calibration(probs, labels, t))
    return found


@jax.jit
def _calibration(probs: jax.Array, labels: jax.Array, temperature: jax.Array) -> tuple[jax.Array, jax.Array]:
    scaled = jax.nn.softmax(_logits(probs) / temperature)
    nll = metrics.negative_log_likelihood(scaled, labels).mean()
    return nll, metrics.expected_calibration_error(scaled, labels)


@jax.jit
def _temperature(probs: jax.Array, labels: jax.Array) -> jax.Array:
    return metrics.fit_temperature(_logits(probs), labels)


def _logits(probs: jax.Array) -> jax.Array:
    return jnp.log(jnp.maximum(probs, 1e-12))


def _save(path: Path, write) -> None:
    """Writes a file whole or not at all; only the primary process does."""
    if not is_primary():
        return
    write_whole(path, write)
