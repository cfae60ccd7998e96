"""What runs networks over whole sets: evaluation in the loop, and predictions."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from effjax.data.pipeline import eval_batches
from effjax.recipes.build.datasets import Datasets, read_of
from effjax.runtime import Backend, Evaluator
from effjax.steps import Objective, Together, has_convolution, make_eval_step, make_predict, over_members
from effjax.steps.network import Predictor
from effjax.steps.settings import apply_settings
from effjax.typing import PyTree


def predictor(
    network: Predictor, backend: Backend, batch_size: int, kept: Callable[[PyTree], PyTree] | None = None
) -> Callable[[PyTree, Any], PyTree]:
    """Makes ``(variables, source) -> predictions [N, ...]``, compiled once; of them what is ``kept``, see ``Task``."""
    predict = make_predict(network, axis_name=backend.axis_name)
    programs: dict[Any, Callable] = {}

    def function(variables: PyTree, _, batch):
        preds = predict(variables, batch)
        return preds if kept is None else kept(preds)

    def run(variables: PyTree, source) -> PyTree:
        variables = backend.replicate(variables)

        def of_batch(batch: PyTree) -> PyTree:
            placed = backend.shard(batch, axis=0)
            shapes = tuple((name, array.shape) for name, array in placed.items())
            if shapes not in programs:
                programs[shapes] = backend.compile(function, variables, {}, placed, axis=0, donate=False)
            return programs[shapes](variables, {}, placed)

        with _batches(source, batch_size) as batches:
            found = list(backend.fetch_each(map(of_batch, batches)))
        return jax.tree.map(lambda *parts: np.concatenate(parts)[: len(source)], *found)

    return run


def _batches(source, batch_size: int):
    return eval_batches(source, batch_size, process_index=jax.process_index(), process_count=jax.process_count())


def make_evaluator(
    objective: Objective, datasets: Datasets, backend: Backend, batch_size: int, members: Together | None
) -> Evaluator:
    """Makes what evaluates a run on the validation split, of one network or of several."""
    inputs = read_of(datasets.validation, objective.inputs)
    unroll = backend.platform == "cpu" and has_convolution(objective.student.init, jax.random.key(0), *inputs)

    def step_at(settings: Any) -> Callable:
        network = apply_settings(objective, settings).network
        step = make_eval_step(network, objective.metrics, axis_name=backend.axis_name)
        return over_members(step, (0, None), unroll=unroll) if members else step

    def batches():
        return _batches(datasets.validation, batch_size)

    on_host = {name: metric for name, metric in objective.metrics.items() if metric.on_host}
    return Evaluator(step_at, backend, batches, keep=datasets.on_device, members=members, on_host=on_host)
