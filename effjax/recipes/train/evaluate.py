"""Evaluating a run from its folder alone."""

from typing import Any

from effjax.recipes.build.evaluation import predictor
from effjax.recipes.build.measured import measured_by
from effjax.recipes.build.trained import TrainedRun
from effjax.runtime import jit_backend


def evaluate(run: str, split: str, which: str = "last", dataset: str = "", data_dir: str = "data") -> dict[str, Any]:
    """Evaluates a trained run on a split.

    Args:
      run: the run's folder, which holds ``checkpoints/``.
      split: of the dataset that it was trained on, or of ``dataset``.
      which: ``"last"``, or ``"best"`` by validation.
      dataset: another dataset with the same classes; empty for the run's own.
      data_dir: where datasets are prepared.

    Returns:
      ``step``, ``examples`` and what the task measures: of classes ``accuracy``, ``nll`` and ``ece``.

    Raises:
      UserError: if there is no checkpoint or dataset, or the dataset has other classes.
    """
    trained = TrainedRun.open(run, which)
    source = trained.source(split, data_dir, dataset)
    predict = predictor(trained.network(), jit_backend(), trained.identity["eval_batch_size"], trained.task.kept)
    return {
        "step": trained.step,
        "examples": len(source),
        **trained.task.measure(predict(trained.variables(), source), measured_by(trained.task, source)),
    }
