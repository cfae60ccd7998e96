"""Metrics that are measured on the host: of whole batches, merged in order, of one network or of several."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax.metrics import Mean, Metric
from effjax.runtime import Evaluator, jit_backend
from effjax.steps import Together
from effjax.steps.evaluate import KEPT, HostBatch


class Texts:
    """What was said of the examples that count, in order."""

    def __init__(self, said):
        self.said = said

    def merge(self, other):
        return Texts([*self.said, *other.said])

    def compute(self):
        return {"texts": len(self.said), "first": self.said[0], "last": self.said[-1]}


WORDS = Metric(lambda preds, batch, where: Texts([*(preds + batch["id"])[where]]), on_host=True)


def batches():
    for first in (0, 4):
        yield {"id": np.arange(first, first + 4, dtype=np.int32), "mask": np.arange(first, first + 4) < 6}


def one(variables, batch):
    preds = variables["shift"] * jnp.ones(batch["id"].shape)
    where = batch["mask"].astype(bool)
    return {"shift": Mean.empty().update(preds, where=where), KEPT: HostBatch(preds, batch)}


@pytest.mark.parametrize("keep", [False, True])
def test_of_one_network(keep):
    evaluator = Evaluator(lambda _: one, jit_backend(), batches, keep=keep, on_host={"words": WORDS})
    for _ in range(2):
        variables = evaluator._backend.replicate({"shift": np.float32(10.0)})
        assert evaluator(variables) == {"shift": 10.0, "texts": 6.0, "first": 10.0, "last": 15.0}


def test_of_several_networks():
    def several(variables, batch):
        found = [one({"shift": variables["shift"][m]}, batch) for m in range(2)]
        return {
            "shift": Mean(*(jnp.stack(leaves) for leaves in zip(*(f["shift"] for f in found), strict=True))),
            KEPT: HostBatch(
                jnp.stack([f[KEPT].preds for f in found]),
                {name: jnp.stack([batch[name]] * 2) for name in batch},
            ),
        }

    evaluator = Evaluator(
        lambda _: several, jit_backend(), batches, keep=True, members=Together(2, "ensemble"), on_host={"words": WORDS}
    )
    found = evaluator(evaluator._backend.replicate({"shift": np.float32([1.0, 20.0])}))
    assert {name: value.tolist() for name, value in found.items()} == {
        "shift": [1.0, 20.0],
        "texts": [6.0, 6.0],
        "first": [1.0, 20.0],
        "last": [6.0, 25.0],
    }


def test_results_come_in_order_while_later_ones_are_under_way():
    backend, begun = jit_backend(), []

    def results():
        for i in range(12):
            begun.append(i)
            yield {"value": jax.numpy.full(2, i)}

    found = []
    for result in backend.fetch_each(results()):
        assert isinstance(result["value"], np.ndarray)
        found.append(int(result["value"][0]))
        assert len(begun) == min(found[-1] + 9, 12)  # eight more than are waited for, and no more in memory
    assert found == list(range(12))
