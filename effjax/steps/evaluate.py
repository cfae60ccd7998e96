"""The pure evaluation step."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

from effjax.metrics import Metric
from effjax.steps.network import Batch, Network, Predictor
from effjax.typing import PyTree

EvalStep = Callable[[PyTree, Batch], Mapping[str, Any]]


KEPT = ""  # beside the names of metrics, the name of what those on the host are measured of


class HostBatch(NamedTuple):
    """A batch whole, for the metrics that are measured on the host.

    Attributes:
      preds: what the network predicted.
      batch: without what it read.
    """

    preds: PyTree
    batch: Batch


def make_predict(network: Predictor, *, axis_name: str | None = None) -> Callable[[PyTree, Batch], PyTree]:
    """Builds ``(variables, batch) -> predictions``: running statistics, no dropout, no augmentation.

    Args:
      network: the network, with what it is shown.
      axis_name: the axis that the batch is cut over, if this runs under ``pmap``; the result is of the global batch.

    Returns:
      The function. A classifier's predictions are its logits ``[B, K]``, float32.
    """

    def predict(variables: PyTree, batch: Batch) -> PyTree:
        preds = network.predict(variables, batch).preds
        return preds if axis_name is None else jax.lax.all_gather(preds, axis_name, tiled=True)

    return predict


def make_eval_step(network: Network, metrics: Mapping[str, Metric], *, axis_name: str | None = None) -> EvalStep:
    """Builds the pure step ``(variables, batch) -> metric states``; the caller jits or pmaps it.

    Args:
      network: the network, with what it is shown.
      metrics: by name, as a task has them.
      axis_name: the axis that the states are summed over, if the step runs under ``pmap``.

    Returns:
      The step. Its batch has what the network reads, the targets, and ``mask`` ``[B]``, false on padding. Its states,
      by metric, merge over batches by addition; where metrics are measured on the host, ``KEPT`` is what they need
      (:class:`HostBatch`), of the global batch.
    """

    def step(variables: PyTree, batch: Batch) -> Mapping[str, Any]:
        preds, where = network.predict(variables, batch).preds, batch["mask"].astype(bool)
        states: dict[str, Any] = {}
        for name, metric in metrics.items():
            state = None if metric.on_host else metric.update(preds, batch, where)
            if state is not None:
                states[name] = state
        if axis_name is not None:
            states = jax.lax.psum(states, axis_name)
        if any(metric.on_host for metric in metrics.values()):
            kept = HostBatch(preds, {name: array for name, array in batch.items() if name not in network.inputs})
            states[KEPT] = kept if axis_name is None else jax.lax.all_gather(kept, axis_name, tiled=True)
        return states

    return step
