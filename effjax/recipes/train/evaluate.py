"""Evaluating a run from its folder alone."""

from typing import Any

from effjax.recipes.build.assemble import predictor
from effjax.recipes.build.trained import TrainedRun
from effjax.runtime import jit_backend
from effjax.tasks import CLASSIFICATION


def evaluate(run: str, split: str, which: str = "last", dataset: str = "", data_dir: str = "data") -> dict[str, Any]:
    """Evaluates a trained run on a split.

    Args:
      run: the run's folder, which holds ``checkpoints/``.
      split: of the dataset that it was trained on, or of ``dataset``.
      which: ``"last"``, or ``"best"`` by validation.
      dataset: another dataset with the same classes; empty for the run's own.
      data_dir: where datasets are prepared.

    Returns:
      ``step``, ``examples``, ``accuracy``, ``nll`` and ``ece``.

    Raises:
      UserError: if there is no checkpoint or dataset, or the dataset has other classes.
    """
    trained = TrainedRun.open(run, which)
    source = trained.source(split, data_dir, dataset)
    predict = predictor(trained.network(), jit_backend(), trained.identity["eval_batch_size"])
    logits = predict(trained.variables(), source)
    return {
        "step": trained.step,
        "examples": len(source),
        **CLASSIFICATION.measure(logits, {"label": source.column("label")}),
    }
