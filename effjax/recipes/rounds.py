"""What happens in a round of a labelling loop once its labels are there: train, and measure."""

import dataclasses
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from effjax import metrics, selection
from effjax.data.base import Source
from effjax.data.feeds import ResidentFeed
from effjax.data.labelled import Labelled
from effjax.data.resident import as_arrays
from effjax.errors import UserError
from effjax.recipes.assemble import Assembled
from effjax.recipes.datasets import Datasets
from effjax.recipes.pool import PoolPredictor
from effjax.recipes.runs import write_json
from effjax.runtime import checkpoints as stored
from effjax.runtime import fit
from effjax.runtime.hosts import barrier, is_primary

_log = logging.getLogger("effjax")

Tree = Any

RESULT_FILE, TEST_FILE, TEST_PROBS_FILE, MAP_FILE = "result.json", "test.json", "test_probs.npy", "map.npz"


@dataclasses.dataclass(frozen=True)
class Rounds:
    """The rounds of one loop.

    Attributes:
      name: of the run in the config, for messages.
      seed: of every draw.
      folder: the loop's: a folder a round lies in it.
      assembled: what trains.
      datasets: the pool (``train``), validation and test sets.
      predict: the predictions that the loop scores by.
      capacity: the most labels there will ever be: the arrays on the device have room for so many from the start, so
        that one program serves all rounds.
      warm: whether a round starts from the parameters of the round before.
      labels_of: from a round to the labels that it trains on, by global id.
      identity: what makes the loop what it is.
    """

    name: str
    seed: int
    folder: Path
    assembled: Assembled
    datasets: Datasets
    predict: PoolPredictor
    capacity: int
    warm: bool
    labels_of: Callable[[int], Mapping[int, int]]
    identity: Mapping[str, Any]

    def path(self, round_: int) -> Path:
        return self.folder / f"round_{round_:02d}"

    def train(self, round_: int) -> dict[str, Any]:
        """Trains on the labels there are, and measures on validation; what is done is not done again.

        Returns:
          ``round``, ``labels`` (how many) and what was measured.

        Raises:
          UserError: if there is no label.
        """
        result = self.path(round_) / RESULT_FILE
        if result.exists():
            return json.loads(result.read_text())
        variables = self._fit(round_)
        measured = {"round": round_, "labels": len(self.labels_of(round_)), **self._validate(variables)}
        probs, _ = self.predict(variables, self.datasets.test, self.seed)
        # The answers are kept, the labels of the test split are not looked at: see `test`.
        _save(self.path(round_) / TEST_PROBS_FILE, lambda file: np.save(file, probs.mean(0)))
        if self.assembled.config["record"]:
            self._map(round_)
        write_json(result, measured)
        if round_ and is_primary():  # its network has done its work; what it said is in the files
            shutil.rmtree(self.path(round_ - 1) / "checkpoints", ignore_errors=True)
        barrier(f"{result}")
        return measured

    def variables(self, round_: int) -> Tree:
        """The network of a round, on the host; trained again if it has been thrown away, which gives the same bits."""
        folder = self.path(round_) / "checkpoints"
        if not ((self.path(round_) / RESULT_FILE).exists() and folder.exists()):
            return self._fit(round_)
        return stored.read_variables(folder, stored.steps(folder)[-1])

    def test(self, measured: Mapping[str, Any]) -> dict[str, Any]:
        """Compares a round's answers on the test split with its labels. For the end, when all rounds are over.

        Args:
          measured: what :meth:`train` returned.
        """
        probs = np.load(self.path(measured["round"]) / TEST_PROBS_FILE, allow_pickle=False)
        found = _measures("test", probs, self.datasets.test.labels(), measured["temperature"])
        write_json(self.path(measured["round"]) / TEST_FILE, found)
        return {**measured, **found}

    def recorded_map(self, round_: int) -> tuple[np.ndarray, selection.DatasetMap]:
        """The ids and the map of what a round trained on.

        Raises:
          UserError: if nothing was recorded.
        """
        path = self.path(round_) / MAP_FILE
        if not path.exists():
            raise UserError(f"config.runs.{self.name}.record must be True: outliers are found on its dataset map")
        with np.load(path, allow_pickle=False) as found:
            return found["id"], selection.DatasetMap(*(found[name] for name in selection.DatasetMap._fields))

    def _fit(self, round_: int) -> Tree:
        if not (labels := self.labels_of(round_)):
            raise UserError(
                f"{self.name} seed {self.seed}: nothing was labelled in round {round_}: there is nothing to learn"
            )
        members = self.assembled.task.members
        seeds = [self.seed * members + m for m in range(members)] if members else self.seed
        state = self.assembled.initial_state(seeds)
        if round_ and self.warm:
            state = _warm(state, self.variables(round_ - 1))
        digest = hashlib.sha256(json.dumps(sorted(labels.items())).encode()).hexdigest()
        fitted = fit(
            dataclasses.replace(self.assembled.task, feed=self._feed(labels)),
            state,
            workdir=self.path(round_),
            identity={**self.identity, "round": round_, "labels": digest},
            keep=1,
            label=f"{self.name} seed {self.seed} round {round_} ({len(labels):,} labels)",
        )
        return fitted.state.eval_variables

    def _feed(self, labels: Mapping[int, int]) -> ResidentFeed:
        """The labelled examples alone, in arrays with room for all that will come."""
        known = Labelled(self.datasets.train, labels).known()
        arrays = as_arrays(known)
        room = self.capacity - len(known)
        arrays = {name: np.pad(array, [(0, room), *[(0, 0)] * (array.ndim - 1)]) for name, array in arrays.items()}
        old = self.assembled.task.feed
        return ResidentFeed({"train": known}, old.batch_size, features=old.features, members=old.members, arrays=arrays)

    def _validate(self, variables: Tree) -> dict[str, float]:
        """Accuracy, likelihood and calibration, and the temperature that suits the validation set best."""
        source: Source = self.datasets.validation
        probs, _ = self.predict(variables, source, self.seed)
        temperature = float(_temperature(probs.mean(0), source.labels()))
        return {**_measures("validation", probs.mean(0), source.labels(), temperature), "temperature": temperature}

    def _map(self, round_: int) -> None:
        labels, folder = self.labels_of(round_), self.path(round_) / "checkpoints"
        ids = np.fromiter(labels, np.int32)
        mapped = selection.map_of_records(stored.read_records(folder, stored.steps(folder)[-1]), ids)
        arrays = {"id": ids, "label": np.fromiter(labels.values(), np.int32), **mapped._asdict()}
        _save(self.path(round_) / MAP_FILE, lambda file: np.savez(file, **arrays))


def _measures(role: str, probs: np.ndarray, labels: np.ndarray, temperature: float) -> dict[str, float]:
    """Of mean predictions ``[N, C]``: accuracy, and likelihood and calibration as they are and with the temperature."""
    found = {f"{role}_accuracy": float((probs.argmax(-1) == labels).mean())}
    for name, t in (("", 1.0), ("_scaled", temperature)):
        found[f"{role}_nll{name}"], found[f"{role}_ece{name}"] = map(float, _calibration(probs, labels, t))
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


def _warm(state: Any, variables: Tree) -> Any:
    """A fresh start but for the parameters: what the round before has learnt."""
    rest = {name: value for name, value in variables.items() if name != "params"}
    return state.replace(params={**state.params, "student": variables["params"]}, model_state=rest)


def _save(path: Path, write) -> None:
    """Writes a file whole or not at all; only the primary process does."""
    if not is_primary():
        return
    temporary = path.with_suffix(".partial")
    with temporary.open("wb") as file:
        write(file)
    os.replace(temporary, path)
