"""Classes that a student has never seen: what it knows of them all the same, once their biases are corrected.

References:
  Hinton et al., `Distilling the Knowledge in a Neural Network <https://arxiv.org/abs/1503.02531>`_, 2015, sec. 3: a
  student that has never seen a 3 reads them, once the bias of that class is raised. The paper chooses the bias by the
  test set; here it is chosen on validation.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from effjax.recipes.train.finished import FinishedRun
from effjax.recipes.train.runs import TrainingExperiment
from effjax.reports.tables import Estimate, Table

_SHIFTS = np.arange(-50, 251) / 10  # in nats: what is added to the logits of the omitted classes


def best_shift(logits: np.ndarray, labels: np.ndarray, classes: np.ndarray) -> float:
    """The shift of some classes' logits that makes most answers right; the smallest in size of those that tie.

    Args:
      logits: ``[N, K]``.
      labels: ``[N]``.
      classes: whose logits are shifted, all by as much.

    Returns:
      The shift, in nats.
    """
    shifts = _SHIFTS[np.argsort(np.abs(_SHIFTS), kind="stable")]
    return float(max(shifts, key=lambda shift: (shifted(logits, classes, shift).argmax(-1) == labels).mean()))


def shifted(logits: np.ndarray, classes: np.ndarray, shift: float) -> np.ndarray:
    """``logits [N, K]`` with ``shift`` added to those of ``classes``."""
    changed = logits.copy()
    changed[:, classes] += shift
    return changed


def measure_omitted(
    experiment: TrainingExperiment, done: FinishedRun, variables: Any, logits: np.ndarray
) -> dict[str, Any]:
    """How a run does on the classes that its training set was without.

    Args:
      experiment: the run's.
      done: the run.
      variables: its own at the end.
      logits: on the test split, ``[N, K]``.

    Returns:
      ``accuracy`` on the omitted classes' test images, ``accuracy_corrected`` once the bias is corrected by ``shift``,
      which was chosen on validation, and ``overall_corrected`` on the whole test split.
    """
    datasets = experiment.datasets
    names = list(datasets.info.class_names)
    classes = np.array([names.index(name) for name in done.assembled.config["without_classes"]])
    validation = done.assembled.predict(variables, datasets.validation)
    shift = best_shift(validation, datasets.validation.column("label"), classes)
    labels = datasets.test.column("label")
    omitted, corrected = np.isin(labels, classes), shifted(logits, classes, shift).argmax(-1) == labels
    return {
        "accuracy": float((logits.argmax(-1) == labels)[omitted].mean()),
        "accuracy_corrected": float(corrected[omitted].mean()),
        "overall_corrected": float(corrected.mean()),
        "shift": shift,
    }


def omitted_table(summary: Mapping[str, Any], labels: Mapping[str, str]) -> Table | None:
    """A row for each run that has never seen some classes, or None if there is no such run."""
    found = {name: run["seeds"] for name, run in summary.items() if "omitted" in run["seeds"][0]}
    rows = []
    for name, seeds in found.items():
        omitted = [seed["omitted"] for seed in seeds]
        keys = ("accuracy", "accuracy_corrected", "overall_corrected")
        cells = [Estimate.over_seeds(omitted, key).percent() for key in keys]
        rows.append((labels[name], *cells, f"{Estimate.over_seeds(omitted, 'shift').mean:.1f}"))
    headers = ("run", "test acc. on the classes never seen", "with corrected bias", "on all classes with it", "shift")
    return Table(headers, rows) if rows else None
