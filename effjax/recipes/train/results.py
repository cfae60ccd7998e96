"""What a finished run says about the test set: looked at once, after everything has been chosen on validation."""

import logging
from typing import Any

import numpy as np

from effjax import metrics
from effjax.files import StorageError, damaged, read_arrays, read_json, write_whole
from effjax.recipes.build.hashes import params_sha256
from effjax.recipes.build.writing import write_json
from effjax.recipes.train.finished import RESULT_FILE, FinishedRun
from effjax.recipes.train.omitted import measure_omitted
from effjax.recipes.train.runs import TrainingExperiment
from effjax.runtime.hosts import is_primary

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
      ``seed``, ``test_accuracy`` (last), ``test_accuracy_best`` (best by validation), ``agreement`` (with the teacher,
      last), ``ece`` and ``nll`` (last), ``best_step``, ``params_sha256`` (last), ``teachers`` (the hashes of theirs);
      ``lost_best`` where the best checkpoint is gone, and the last counts as it.
    """
    path = done.folder / RESULT_FILE
    last = done.variables("last")
    sha = params_sha256(last["params"])
    if (known := _known(done)) and known["params_sha256"] == sha:
        return known
    test = experiment.datasets.test
    labels = test.column("label")
    logits = done.assembled.predict(last, test)
    best = done.assembled.predict(done.variables("best"), test)
    if is_primary():
        write_whole(done.folder / PREDICTIONS_FILE, lambda file: np.savez(file, logits=logits, labels=labels))
    teacher_logits = logits if teacher is None else test_logits(teacher)
    task = experiment.datasets.task
    measured = task.measure(logits, {"label": labels})
    result = {
        "seed": done.seed,
        "test_accuracy": measured["accuracy"],
        "test_accuracy_best": task.measure(best, {"label": labels})["accuracy"],
        "agreement": _mean(metrics.agreement(logits, teacher_logits)),
        "ece": measured["ece"],
        "nll": measured["nll"],
        "best_step": done.best_step,
        "params_sha256": sha,
        "teachers": dict(done.teachers),
    }
    if done.lost_best is not None:
        result["lost_best"] = done.lost_best
    if done.assembled.config["without_classes"]:
        result["omitted"] = measure_omitted(experiment, done, last, logits)
    write_json(path, result)
    return result


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
