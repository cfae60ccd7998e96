"""A pool that streams by: the best of it are found, in memory that does not grow with it."""

import tracemalloc

import jax
import numpy as np
import pytest

from effjax import models, uncertainty
from effjax.data.base import DatasetInfo
from effjax.recipes.pool import PoolPredictor
from effjax.runtime import make_backend
from effjax.steps import View

BATCH, SIZE, K = 32, 64, 5
BATCH_BYTES = BATCH * SIZE * SIZE


class Endless:
    """As many images as one likes, each made from its row when it is asked for."""

    def __init__(self, num_examples: int):
        self.info = DatasetInfo("endless", "train", num_examples, ("a", "b", "c"), (SIZE, SIZE, 1))

    def __len__(self):
        return self.info.num_examples

    def __getitem__(self, row):
        image = np.random.default_rng(row).integers(0, 256, (SIZE, SIZE, 1), np.uint8)
        return {"image": image, "label": np.asarray(0, np.int32), "id": np.asarray(row, np.int32)}


@pytest.fixture(scope="module")
def network():
    model = models.create("mlp", 3, widths=(8,))
    return model, dict(model.init(jax.random.key(0), np.zeros((1, SIZE, SIZE, 1), np.float32)))


@pytest.mark.parametrize("backend", ["jit", "pmap"])
def test_the_best_are_those_of_the_whole_pool(network, backend):
    model, variables = network
    source = Endless(3 * BATCH + 7)
    predict = PoolPredictor(model, View(), "single", backend=make_backend(backend), batch_size=BATCH)
    ids, scores = predict.top(variables, source, K, uncertainty.margin)
    images = np.stack([source[row]["image"] for row in range(len(source))]) / np.float32(255)
    probs = np.sort(jax.nn.softmax(model.apply(variables, images).logits), -1)
    expected = 1.0 - (probs[:, -1] - probs[:, -2])
    np.testing.assert_array_equal(ids, np.argsort(-expected, kind="stable")[:K])
    np.testing.assert_allclose(scores, expected[ids], atol=1e-5)


def test_memory_does_not_grow_with_the_pool(network):
    model, variables = network
    predict = PoolPredictor(model, View(), "single", backend=make_backend("jit"), batch_size=BATCH)

    def peak(batches: int) -> int:
        """Bytes of arrays and objects at the peak of a pass."""
        tracemalloc.start()
        try:
            predict.top(variables, Endless(batches * BATCH), K, uncertainty.entropy)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(2)  # compiles
    some, many = peak(12), peak(60)
    assert some > BATCH_BYTES  # the images are counted
    assert many < some + 4 * BATCH_BYTES, f"{(many - some) / BATCH_BYTES:.1f} batches more for 48 more"
