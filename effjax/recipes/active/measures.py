"""What is measured of a round's networks: on validation at once, on the test split when all loops are over."""

import abc
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from effjax import metrics
from effjax.data.base import Source
from effjax.files import read_arrays
from effjax.pruning.paths import path_name
from effjax.recipes.active.folder import ANEW, LoopFolder
from effjax.recipes.active.pool import PoolPredictor
from effjax.recipes.build.datasets import Datasets
from effjax.recipes.build.measured import measured_by
from effjax.recipes.build.writing import write_primary
from effjax.tasks import Task
from effjax.typing import PyTree

#: How sure the network has to be of an item for it to count, as validation says; see ``Task.floor``.
FLOOR = "floor"
#: How well each class is found there; see ``Task.class_quality``.
QUALITY = "class_quality"
#: What tags add to what it finds there; see ``Task.tags``.
TAGS = "tags"


class Measures(abc.ABC):
    """What is measured of a round's networks."""

    @abc.abstractmethod
    def validate(self, variables: PyTree, seed: int) -> dict[str, Any]:
        """What they measure on validation, by split and metric, and what of it the next choice goes by.

        Args:
          variables: of the network, or of all that are one loop's, that axis first.
          seed: of what their passes draw.
        """

    @abc.abstractmethod
    def keep(self, variables: PyTree, seed: int, folder: LoopFolder, round_: int) -> None:
        """Keeps what they say of the test split, without a look at its targets."""

    @abc.abstractmethod
    def test(self, measured: Mapping[str, Any], folder: LoopFolder) -> dict[str, float]:
        """Compares what was kept with the targets.

        Args:
          measured: what the round measured on validation, with its number.
          folder: the loop's.
        """


@dataclasses.dataclass(frozen=True)
class ClassMeasures(Measures):
    """Of the mean probabilities of classes: accuracy, likelihood and calibration, as they are and scaled.

    Attributes:
      datasets: the loop's.
      predict: the probabilities.
    """

    datasets: Datasets
    predict: PoolPredictor

    def validate(self, variables: PyTree, seed: int) -> dict[str, float]:
        source: Source = self.datasets.validation
        probs, _ = self.predict(variables, source, seed)
        mean, labels = probs.mean(0), source.column("label")
        temperature = float(_temperature(mean, labels))  # that suits the validation set best
        found = {**_of_classes("validation", mean, labels, temperature), "temperature": temperature}
        return {**self._of_task("validation", mean, source), **found}

    def keep(self, variables: PyTree, seed: int, folder: LoopFolder, round_: int) -> None:
        probs, _ = self.predict(variables, self.datasets.test, seed)
        write_primary(folder.test_probs_file(round_), lambda file: np.save(file, probs.mean(0)))

    def test(self, measured: Mapping[str, Any], folder: LoopFolder) -> dict[str, float]:
        probs = read_arrays(folder.test_probs_file(measured["round"]), ANEW)
        found = _of_classes("test", probs, self.datasets.test.column("label"), measured["temperature"])
        return {**self._of_task("test", probs, self.datasets.test), **found}

    def _of_task(self, split: str, probs: np.ndarray, source: Source) -> dict[str, float]:
        """What else the task measures, of data that have what it is measured by."""
        task = self.datasets.task
        if not set(task.noted) & set(source.info.features):
            return {}
        found = task.measure(np.asarray(_logits(jnp.asarray(probs))), measured_by(task, source))
        return {f"{split}/{name}": value for name, value in found.items()}


@dataclasses.dataclass(frozen=True)
class TaskMeasures(Measures):
    """What the task measures of predictions; of several networks, the mean.

    Attributes:
      task: what is learnt; its predictions are an array, or arrays by name, of any depth.
      datasets: the loop's.
      predict: ``(variables, source) -> predictions [N, ...]`` of one network.
      apart: from a loop's variables to those of each of its networks.
      tags: whether to measure what tags add.
    """

    task: Task
    datasets: Datasets
    predict: Callable[[PyTree, Source], PyTree]
    apart: Callable[[PyTree], Sequence[PyTree]]
    tags: bool = False

    def validate(self, variables: PyTree, seed: int) -> dict[str, Any]:
        source = self.datasets.validation
        each = [self.predict(own, source) for own in self.apart(variables)]
        found: dict[str, Any] = {**self._mean("validation", each, source)}
        if self.task.floor is not None:
            targets = measured_by(self.task, source)
            found[FLOOR] = float(np.mean([self.task.floor(preds, targets) for preds in each]))
            if self.tags and self.task.tags is not None:
                found[TAGS] = self.task.tags(each[0], targets, found[FLOOR])
        if self.task.class_quality is not None:
            targets, classes = measured_by(self.task, source), source.info.num_classes
            qualities = [self.task.class_quality(preds, targets, classes) for preds in each]
            found[QUALITY] = np.mean(qualities, 0).tolist()
        return found

    def keep(self, variables: PyTree, seed: int, folder: LoopFolder, round_: int) -> None:
        found = [self.predict(own, self.datasets.test) for own in self.apart(variables)]
        leaves = jax.tree_util.tree_leaves_with_path(found)
        arrays = {path_name(path): leaf for path, leaf in leaves}
        write_primary(folder.test_predictions_file(round_), lambda file: np.savez(file, **arrays))

    def test(self, measured: Mapping[str, Any], folder: LoopFolder) -> dict[str, float]:
        members: dict[str, Any] = {}
        for path, array in read_arrays(folder.test_predictions_file(measured["round"]), ANEW).items():
            *names, last = path.split("/")
            place = members
            for name in names:
                place = place.setdefault(name, {})
            place[last] = array
        return self._mean("test", [members[member] for member in sorted(members, key=int)], self.datasets.test)

    def _mean(self, split: str, each: Sequence[PyTree], source: Source) -> dict[str, float]:
        targets = measured_by(self.task, source)
        found = [self.task.measure(preds, targets) for preds in each]
        return {f"{split}/{name}": float(np.mean([one[name] for one in found])) for name in found[0]}


def _of_classes(split: str, probs: np.ndarray, labels: np.ndarray, temperature: float) -> dict[str, float]:
    """Of mean predictions ``[N, C]``: accuracy, and likelihood and calibration as they are and with the temperature."""
    found = {f"{split}/accuracy": float((probs.argmax(-1) == labels).mean())}
    for name, t in (("", 1.0), ("_scaled", temperature)):
        found[f"{split}/nll{name}"], found[f"{split}/ece{name}"] = map(float, _calibration(probs, labels, t))
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
