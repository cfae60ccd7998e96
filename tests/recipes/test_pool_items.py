"""Scores of examples with several items: what counts, and what does not."""

import jax.numpy as jnp
import numpy as np
import pytest

from effjax import uncertainty
from effjax.models import Outputs
from effjax.recipes.active.pool import Guide, PoolPredictor
from effjax.runtime import jit_backend
from effjax.steps import Network
from effjax.steps.predictions import Items

IMAGES, ITEMS = 6, 3
NOTHING = {"params": {}}  # the variables of a network without any


class Source:
    """Images whose pixels say what is found in them."""

    def __init__(self, seed=0):
        rng = np.random.default_rng(seed)
        self.sure = rng.uniform(0.1, 0.9, (IMAGES, ITEMS)).astype(np.float32)
        self.there = rng.random((IMAGES, ITEMS)) < 0.7
        self.there[0] = False

    def __len__(self):
        return IMAGES

    def __getitem__(self, row):
        pixels = np.stack([self.sure[row], self.there[row]], -1)[None]
        return {"image": np.round(255 * pixels).astype(np.uint8), "id": np.int32(row)}

    def ids(self):
        return np.arange(IMAGES)


@pytest.fixture(scope="module")
def source():
    return Source()


class Seer:
    """A network that finds what the pixels say: it has no parameters."""

    def clone(self, taps):
        return self

    def apply(self, variables, images, train=False, dropout_keys=None):
        return Outputs(images[:, 0], {"penultimate": images[:, 0, :, 0]})


def items(preds):
    sure, there = preds[..., 0].mean(0), preds[0, ..., 1] > 0.5
    probs = jnp.stack([preds[..., 0], jnp.zeros_like(preds[..., 0]), 1 - preds[..., 0]], -1)
    return Items(probs, there, probs.mean(0), sure)


def predictor(aggregate):
    network = Network(Seer())
    return PoolPredictor(network, items, "single", backend=jit_backend(), batch_size=4, aggregate=aggregate)


def entropies(source):
    sure = np.round(255 * source.sure) / 255
    return -(sure * np.log(sure) + (1 - sure) * np.log(1 - sure)), sure


@pytest.mark.parametrize("floor", [0.0, 0.5])
def test_items_below_the_floor_do_not_count(source, floor):
    each, sure = entropies(source)
    counted = source.there & (sure >= floor)
    expected = np.where(counted, each, 0).sum(-1)
    found = predictor("sum").scores(NOTHING, source, uncertainty.entropy, guide=Guide(floor))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert found[0] == 0  # nothing is there
    ids, scores = predictor("sum").top(NOTHING, source, 3, uncertainty.entropy, guide=Guide(floor))
    np.testing.assert_array_equal(ids, np.argsort(-expected)[:3])
    np.testing.assert_allclose(scores, np.sort(expected)[::-1][:3], rtol=1e-5)


def test_classes_count_by_their_weights(source):
    each, _ = entropies(source)
    weights = np.array([1.5, 9.0])  # all items are of the first class
    found = predictor("max").scores(NOTHING, source, uncertainty.weighted_entropy, guide=Guide(0.0, weights))
    np.testing.assert_allclose(found, 1.5 * np.where(source.there, each, 0).max(-1), rtol=1e-5)


def test_objects_are_those_above_the_floor(source):
    _, sure = entropies(source)
    found = predictor("max").objects(NOTHING, source, guide=Guide(0.5))
    np.testing.assert_array_equal(found.present, source.there & (sure >= 0.5))
    np.testing.assert_allclose(found.probs[..., 0], sure, rtol=1e-5)
    assert found.features.shape == (IMAGES, ITEMS, 3)


def test_an_example_without_items_is_nothing(source):
    probs, features = predictor("max")(NOTHING, source)
    assert probs.shape == (1, IMAGES, 3)
    np.testing.assert_array_equal(probs[0, 0], [0, 0, 1])
    np.testing.assert_allclose(probs.sum(-1), 1, rtol=1e-5)
    assert features.shape == (IMAGES, ITEMS)
