"""A pool that streams by: the best of it are found, in memory that does not grow with it."""

import tracemalloc

import jax
import numpy as np
import pytest

from effjax import models, uncertainty
from effjax.data.base import DatasetInfo, labelled_images
from effjax.errors import UserError
from effjax.recipes.active.pool import PoolPredictor, predictions_of
from effjax.runtime import make_backend
from effjax.steps import Network
from effjax.tasks import CLASSIFICATION

BATCH, SIZE, K = 32, 64, 5
BATCH_BYTES = BATCH * SIZE * SIZE


class Endless:
    """As many images as one likes, each made from its row when it is asked for."""

    alike = False

    def __init__(self, num_examples: int):
        self.info = DatasetInfo("endless", "train", num_examples, ("a", "b", "c"), labelled_images((SIZE, SIZE, 1)))

    def __len__(self):
        return self.info.num_examples

    def __getitem__(self, row):
        image = np.random.default_rng(0 if self.alike else row).integers(0, 256, (SIZE, SIZE, 1), np.uint8)
        return {"image": image, "label": np.asarray(0, np.int32), "id": np.asarray(row, np.int32)}


def predictor(model, backend):
    network = Network(model)
    return PoolPredictor(network, CLASSIFICATION.items, "single", backend=make_backend(backend), batch_size=BATCH)


@pytest.fixture(scope="module")
def network():
    model = models.create("mlp", 3, widths=(8,))
    return model, dict(model.init(jax.random.key(0), np.zeros((1, SIZE, SIZE, 1), np.float32)))


@pytest.mark.parametrize("backend", ["jit", "pmap"])
def test_the_best_are_those_of_the_whole_pool(network, backend):
    model, variables = network
    source = Endless(3 * BATCH + 7)
    predict = predictor(model, backend)
    ids, scores = predict.top(variables, source, K, uncertainty.margin)
    images = np.stack([source[row]["image"] for row in range(len(source))]) / np.float32(255)
    probs = np.sort(jax.nn.softmax(model.apply(variables, images).logits), -1)
    expected = 1.0 - (probs[:, -1] - probs[:, -2])
    np.testing.assert_array_equal(ids, np.argsort(-expected, kind="stable")[:K])
    np.testing.assert_allclose(scores, expected[ids], atol=1e-5)


def test_memory_does_not_grow_with_the_pool(network):
    model, variables = network
    predict = predictor(model, "jit")

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


@pytest.mark.parametrize("name", ["entropy", "variation_ratio"])
def test_a_network_that_says_nothing_is_refused(network, name):
    """NaN has the variation ratio of a network that is sure of all."""
    model, variables = network
    spoilt = jax.tree.map(np.array, variables)
    spoilt["params"]["classifier"]["bias"][1] = np.nan
    predict = predictor(model, "jit")
    source = Endless(BATCH + 3)
    with pytest.raises(UserError, match="mine: scores: 35 of 35 are not finite"), predictions_of("mine"):
        predict.top(spoilt, source, K, getattr(uncertainty, name))
    with pytest.raises(UserError, match="mine: predictions: 105 values are not finite"), predictions_of("mine"):
        predict(spoilt, source)


def test_images_that_are_alike_are_not_asked_for_in_the_order_of_the_file(network):
    model, variables = network
    predict = predictor(model, "jit")
    source = Endless(2 * BATCH)
    source.alike = True
    found = [predict.top(variables, source, K, uncertainty.margin, seed=seed)[0].tolist() for seed in (0, 1, 1)]
    assert found[1] == found[2] != found[0]
    assert list(range(K)) not in found
