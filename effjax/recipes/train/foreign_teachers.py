"""What teachers that are no runs of the experiment know of its data: a wrong scale, size or order of classes shows."""

import hashlib
import json
import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from effjax import models
from effjax.data.base import Source
from effjax.files import StorageError, read_json
from effjax.recipes.build.datasets import Datasets
from effjax.recipes.build.evaluation import predictor
from effjax.recipes.build.measured import measured_by
from effjax.recipes.build.teachers import TeacherSpec
from effjax.recipes.build.writing import write_measured
from effjax.runtime import Backend
from effjax.runtime.hosts import told
from effjax.typing import PyTree

_log = logging.getLogger("effjax")

TEACHERS_FILE = "teachers.json"
_MARGIN = 3.0  # standard errors above what the most frequent class would get


class ForeignTeachers:
    """Measures each of them once, at its own size and scale, as students ask it; what it finds is kept in a file.

    Args:
      workdir: of the experiment.
      datasets: its data.
      backend: its devices.
      batch_size: examples at once.
    """

    def __init__(self, workdir: Path, datasets: Datasets, backend: Backend, batch_size: int):
        self._path, self._datasets = workdir / TEACHERS_FILE, datasets
        self._backend, self._batch_size = backend, batch_size
        self._known: dict[str, dict[str, Any]] | None = None
        self._asked: dict[str, tuple[TeacherSpec, PyTree]] = {}

    def check(self, key: str, spec: TeacherSpec, variables: PyTree, sha: str) -> None:
        """Says what a teacher gets right on validation, and warns if that is what chance would get.

        Args:
          key: of the config, for the warning.
          spec: the teacher; of a run nothing is said, for it has a row.
          variables: its own.
          sha: their hash.
        """
        # What makes a teacher the one that it is: its parameters, and how it is shown images.
        name = hashlib.sha256(f"{sha} {spec.network!r}".encode()).hexdigest()[:24]
        if not spec.origin or name in self._asked:
            return
        self._asked[name] = spec, variables
        task = self._datasets.task
        accuracy = self._measured(name, "validation", self._datasets.validation)[task.watch]
        _log.info("teacher %s: validation %s %.2f %%", spec.origin, task.watch, 100 * accuracy)
        if not task.of_classes:
            return
        labels = self._datasets.validation.column("label")
        chance = np.bincount(labels).max() / len(labels)
        if accuracy < chance + _MARGIN * math.sqrt(chance * (1 - chance) / len(labels)):
            _log.warning(
                "%s (%s) gets %.2f %% of validation right, the most frequent class alone %.2f %%: are its mean and "
                "std, its image_size and the order of its classes those that it was trained with?",
                *(key, spec.origin, 100 * accuracy, 100 * chance),
            )

    def rows(self, seeds: Sequence[int]) -> dict[str, dict[str, Any]]:
        """Rows for the table of results, by what each teacher is called: the same for all seeds.

        Args:
          seeds: of the experiment.
        """
        found = {}
        for name, (spec, variables) in self._asked.items():
            measured = self._measured(name, "test", self._datasets.test)
            values = {f"test/{metric}": value for metric, value in measured.items()}
            values[f"test/{self._datasets.task.watch}_best"] = measured[self._datasets.task.watch]
            height, width, channels = self._datasets.test[0]["image"].shape
            if size := spec.network.image_size:
                height = width = size
            mflops = models.flops(spec.network.module, (height, width, channels * spec.network.repeat_channels)) / 1e6
            label = spec.origin if spec.origin not in found else f"{spec.origin} ({name[:6]})"
            found[label] = {
                "params": int(models.count_params(variables["params"])),
                "mflops": mflops,
                "seeds": [{"seed": seed, "agreement": 1.0, **values} for seed in seeds],
            }
        return found

    def _measured(self, name: str, split: str, source: Source) -> dict[str, float]:
        known = self._kept().setdefault(name, {})
        if split not in known:
            (spec, variables), task = self._asked[name], self._datasets.task
            predict = predictor(spec.network, self._backend, self._batch_size, task.kept)
            found = task.measure(predict(variables, source), measured_by(task, source))
            known[split] = {metric: float(value) for metric, value in found.items() if np.ndim(value) == 0}
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_measured(self._path, {"teachers": self._kept()})
        return known[split]

    def _kept(self) -> dict[str, dict[str, Any]]:
        """What is known so far. All processes have the same: what one alone found would leave the others waiting."""
        known = self._known
        if known is None:
            known = self._known = json.loads(told(lambda: json.dumps(self._read()), size=2**18))
        return known

    def _read(self) -> dict[str, dict[str, Any]]:
        """What an earlier process has measured; nothing where that is damaged."""
        if not self._path.exists():
            return {}
        try:
            return dict(read_json(self._path, "teachers are measured anew")["teachers"])
        except StorageError as error:
            _log.warning("%s", error)
            return {}
