"""Evaluating a run from its folder alone."""

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from effjax.data.base import Source
from effjax.errors import UserError
from effjax.recipes.build.evaluation import predictor
from effjax.recipes.build.measured import measured_by
from effjax.recipes.build.trained import TrainedRun
from effjax.runtime import jit_backend
from effjax.tasks import Task
from effjax.typing import PyTree

_log = logging.getLogger("effjax")


def evaluate(run: str, split: str, which: str = "last", dataset: str = "", data_dir: str = "data") -> dict[str, Any]:
    """Evaluates a trained run on a split.

    Args:
      run: the run's folder, which holds ``checkpoints/``.
      split: of the dataset that it was trained on, or of ``dataset``.
      which: ``"last"``, or ``"best"`` by validation.
      dataset: another dataset with the same classes; empty for the run's own.
      data_dir: where datasets are prepared.

    Returns:
      ``step``, ``examples`` and what the task measures: of classes ``accuracy``, ``nll`` and ``ece``. Where papers give
      numbers by code of its own, and that is installed, they are ``official``.

    Raises:
      UserError: if there is no checkpoint or dataset, or the dataset has other classes.
    """
    trained = TrainedRun.open(run, which)
    source = trained.source(split, data_dir, dataset)
    predict = predictor(trained.network(), jit_backend(), trained.identity["eval_batch_size"], trained.task.kept)
    preds, targets = predict(trained.variables(), source), measured_by(trained.task, source)
    return {
        "step": trained.step,
        "examples": len(source),
        **trained.task.measure(preds, targets),
        **_official(trained.task, preds, targets, source),
    }


def _official(task: Task, preds: PyTree, targets: Mapping[str, np.ndarray], source: Source) -> dict[str, Any]:
    """The numbers of papers; none, and a line that says how to get them, where their code is not installed."""
    shape = source.info.image_shape
    if task.official is None or shape is None:
        return {}
    try:
        return {"official": task.official(preds, targets, (shape[0], shape[1]), source.info.class_names)}
    except UserError as error:
        _log.warning("the official numbers are left out: %s", error)
        return {}
