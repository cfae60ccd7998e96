"""Evaluating a run from its folder alone."""

from pathlib import Path
from typing import Any

import numpy as np

from effjax.data.grouping import group_classes
from effjax.data.sources import load
from effjax.errors import UserError
from effjax.recipes.assemble import predictor
from effjax.recipes.networks import make_model
from effjax.recipes.results import classification_metrics
from effjax.runtime import checkpoints as stored
from effjax.runtime import jit_backend
from effjax.steps import View


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
    folder = Path(run) / "checkpoints"
    newest = stored.steps(folder)[-1]
    step = stored.best_step(folder) if which == "best" else newest
    trained = stored.read_meta(folder, newest)["identity"]
    name = dataset or trained["data"]["name"]
    source = load(name, split, data_dir, image_size=trained["data"]["image_size"] or None)
    if not dataset and trained["data"].get("classes"):
        source = group_classes(source, trained["data"]["classes"])
    if source.info.num_classes != trained["num_classes"]:
        raise UserError(
            f"--dataset={name} has {source.info.num_classes} classes, the run knows {trained['num_classes']}"
        )
    view = View(**{key: tuple(v) if isinstance(v, list) else v for key, v in trained["view"].items()})
    model = make_model(trained["run"]["model"], trained["num_classes"])
    predict = predictor(model, view, jit_backend(), trained["eval_batch_size"])
    logits = predict(stored.read_variables(folder, step), source)
    return {"step": step, "examples": len(source), **classification_metrics(logits, np.asarray(source.labels()))}
