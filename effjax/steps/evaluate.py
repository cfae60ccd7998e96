"""The pure evaluation step."""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from effjax.losses import cross_entropy
from effjax.metrics import CalibrationBins, Mean, top_k_accuracy
from effjax.steps.objective import Batch
from effjax.steps.views import View

Tree = Any
EvalStep = Callable[[Tree, Batch], Mapping[str, Any]]


def make_predict(model: nn.Module, view: View, *, axis_name: str | None = None) -> Callable[[Tree, Batch], jax.Array]:
    """Builds ``(variables, batch) -> logits [B, K]``: running statistics, no dropout, no augmentation.

    Args:
      model: the network.
      view: how stored images become its input.
      axis_name: the axis that the batch is cut over, if this runs under ``pmap``; the result is of the global batch.
    """

    def predict(variables: Tree, batch: Batch) -> jax.Array:
        images = view.reduce(view(batch["image"]))
        logits = model.apply(variables, images, train=False).logits.astype(jnp.float32)
        return logits if axis_name is None else jax.lax.all_gather(logits, axis_name, tiled=True)

    return predict


def make_eval_step(model: nn.Module, view: View, *, axis_name: str | None = None) -> EvalStep:
    """Builds the pure step ``(variables, batch) -> metric states``; the caller jits or pmaps it.

    Args:
      model: the network.
      view: how stored images become its input.
      axis_name: the axis that the states are summed over, if the step runs under ``pmap``.

    Returns:
      The step. Its batch has ``image`` ``[B, H, W, C]``, ``label`` ``[B]`` and ``mask`` ``[B]``, false on padding; its
      states ``accuracy``, ``loss`` (:class:`~effjax.metrics.Mean`) and ``ece``
      (:class:`~effjax.metrics.CalibrationBins`) merge over batches by addition.
    """
    predict = make_predict(model, view)  # of this device's part: its states are summed below

    def step(variables: Tree, batch: Batch) -> Mapping[str, Any]:
        logits, label, mask = predict(variables, batch), batch["label"], batch["mask"].astype(bool)
        states = {
            "accuracy": Mean.empty().update(top_k_accuracy(logits, label), where=mask),
            "loss": Mean.empty().update(cross_entropy(logits, label, where=mask), where=mask),
            "ece": CalibrationBins.empty().update(jax.nn.softmax(logits.astype(jnp.float32)), label, where=mask),
        }
        return states if axis_name is None else jax.lax.psum(states, axis_name)

    return step
