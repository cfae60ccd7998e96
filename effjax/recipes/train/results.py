"""What a finished run says about the test set: looked at once, after everything has been chosen on validation."""

import logging
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from effjax import metrics
from effjax.files import StorageError, damaged, read_arrays, read_json, write_whole
from effjax.pruning.paths import path_name
from effjax.recipes.build.hashes import params_sha256
from effjax.recipes.build.measured import measured_by
from effjax.recipes.build.writing import write_measured
from effjax.recipes.train.finished import RESULT_FILE, FinishedRun
from effjax.recipes.train.omitted import measure_omitted
from effjax.recipes.train.runs import TrainingExperiment
from effjax.runtime.hosts import is_primary
from effjax.tasks import Task

_log = logging.getLogger("effjax")

PREDICTIONS_FILE = "test_logits.npz"
_ANEW = "the run is measured anew"


def measure(experiment: TrainingExperiment, done: FinishedRun, teacher: FinishedRun | None) -> dict[str, Any]:
    """Evaluates a run on the test split, or reads what an earlier process has measured.

    Args:
      experiment: the run's.
      done: the run.
      teacher: whose answers the agreement is measured with; None for a teacher itself.

    Returns:
      ``seed``; what the task measures, of the last checkpoint, as ``test/accuracy``; of the best by validation, the
      metric that is watched, as ``test/accuracy_best``; of classes, ``agreement`` (with the teacher, last);
      ``best_step``, ``params_sha256`` (last), ``teachers`` (the hashes of theirs); ``lost_best`` where the best
      checkpoint is gone, and the last counts as it.
    """
    path = done.folder / RESULT_FILE
    last = done.variables("last")
    sha = params_sha256(last["params"])
    if (known := _known(done)) and known["params_sha256"] == sha:
        return renamed(known)
    task, test = experiment.datasets.task, experiment.datasets.test
    targets = measured_by(task, test)
    preds = done.assembled.predict(last, test)
    best = done.assembled.predict(done.variables("best"), test)
    _save(done, task, preds, targets)
    measured = dict(task.measure(preds, targets))
    result = {
        "seed": done.seed,
        f"test/{task.watch}": measured.pop(task.watch),
        f"test/{task.watch}_best": task.measure(best, targets)[task.watch],
    }
    if task.of_classes:
        result["agreement"] = _mean(metrics.agreement(preds, preds if teacher is None else test_logits(teacher)))
    result |= {f"test/{name}": value for name, value in sorted(measured.items())}
    result |= {"best_step": done.best_step, "params_sha256": sha, "teachers": dict(done.teachers)}
    if done.lost_best is not None:
        result["lost_best"] = done.lost_best
    if done.assembled.config["without_classes"]:
        result["omitted"] = measure_omitted(experiment, done, last, preds)
    write_measured(path, result)
    return result


def renamed(result: Mapping[str, Any]) -> dict[str, Any]:
    """What an earlier version has measured, by the names of today: of a split and a metric, ``test/accuracy``."""
    names = {"ece": "test/ece", "nll": "test/nll", "test_accuracy": "test/accuracy"}
    names["test_accuracy_best"] = "test/accuracy_best"
    return {names.get(name, name): value for name, value in result.items()}


def _save(done: FinishedRun, task: Task, preds: Any, targets: Mapping[str, np.ndarray]) -> None:
    """Keeps what was predicted of the test split: of classes the logits and the labels."""
    if task.of_classes:
        arrays = {"logits": preds, "labels": targets["label"]}
    else:
        arrays = {path_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path([preds, targets])}
    if is_primary():
        write_whole(done.folder / PREDICTIONS_FILE, lambda file: np.savez(file, **arrays))


def _known(done: FinishedRun) -> dict[str, Any] | None:
    """What an earlier process has measured; None where that, or what it was measured from, is missing or damaged."""
    if not (done.folder / RESULT_FILE).exists():
        return None
    try:
        read_arrays(done.folder / PREDICTIONS_FILE, _ANEW)
        known = read_json(done.folder / RESULT_FILE, _ANEW)
        if not isinstance(known, dict) or "params_sha256" not in known:
            raise damaged(done.folder / RESULT_FILE, "no hash of parameters", _ANEW)
    except StorageError as error:
        _log.warning("%s", error)
        return None
    return known


def test_logits(done: FinishedRun) -> np.ndarray:
    """The logits ``[N, K]`` on the test split that :func:`measure` has left."""
    return read_arrays(done.folder / PREDICTIONS_FILE)["logits"]


def _mean(values: Any) -> float:
    return float(np.asarray(values, np.float64).mean())
