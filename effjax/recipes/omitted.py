"""Classes that a student has never seen: what it knows of them all the same, once their biases are corrected.

References:
  Hinton et al., `Distilling the Knowledge in a Neural Network <https://arxiv.org/abs/1503.02531>`_, 2015, sec. 3: a
  student that has never seen a 3 reads them, once the bias of that class is raised. The paper chooses the bias by the
  test set; here it is chosen on validation.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from effjax.reports.tables import Estimate

if TYPE_CHECKING:
    from effjax.recipes.runs import Done, Experiment

_SHIFTS = np.arange(-5.0, 25.01, 0.1)  # in nats: what is added to the logits of the omitted classes


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


def measure_omitted(experiment: "Experiment", done: "Done", variables: Any, logits: np.ndarray) -> dict[str, Any]:
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
    shift = best_shift(validation, datasets.validation.labels(), classes)
    labels = datasets.test.labels()
    omitted, corrected = np.isin(labels, classes), shifted(logits, classes, shift).argmax(-1) == labels
    return {
        "accuracy": float((logits.argmax(-1) == labels)[omitted].mean()),
        "accuracy_corrected": float(corrected[omitted].mean()),
        "overall_corrected": float(corrected.mean()),
        "shift": shift,
    }


def omitted_notes(summary: Mapping[str, Any], labels: Mapping[str, str]) -> list[str]:
    """A table of the runs that have never seen some classes, if there are any."""
    found = {name: run["seeds"] for name, run in summary.items() if "omitted" in run["seeds"][0]}
    if not found:
        return []
    keys = ("accuracy", "accuracy_corrected", "overall_corrected")
    lines = [
        "| run | test acc. on the classes never seen | after the bias correction | on all classes after it | shift |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, seeds in found.items():
        omitted = [seed["omitted"] for seed in seeds]
        cells = [Estimate.over_seeds(omitted, key).percent() for key in keys]
        shift = Estimate.over_seeds(omitted, "shift")
        lines.append(f"| {labels[name]} | {' | '.join(cells)} | {shift.mean:.1f} |")
    note = "The bias of the classes never seen is raised by the shift that makes most validation images right."
    return ["\n".join(lines), note]
