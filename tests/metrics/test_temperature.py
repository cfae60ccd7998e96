"""The temperature against a search, and what it must do."""

import jax
import numpy as np
import pytest

from effjax.metrics import fit_temperature


def draw(scale, size=4000):
    """Logits of a network that is right as often as it says, times a scale."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (size, 5)).astype(np.float32)
    gumbel = rng.gumbel(size=logits.shape)
    return scale * logits, (logits + gumbel).argmax(-1)


def nll(logits, labels):
    return -np.asarray(jax.nn.log_softmax(logits))[np.arange(len(labels)), labels].mean()


def test_finds_the_scale_that_was_put_in():
    for scale in (0.5, 1.0, 3.0):
        np.testing.assert_allclose(fit_temperature(*draw(scale)), scale, rtol=0.05)


def test_is_the_least_of_a_fine_search():
    logits, labels = draw(2.0, 300)
    grid = np.exp(np.linspace(np.log(0.5), np.log(8), 2001))
    best = grid[np.argmin([nll(logits / t, labels) for t in grid])]
    np.testing.assert_allclose(jax.jit(fit_temperature)(logits, labels), best, rtol=2e-3)


def test_stays_in_bounds_where_there_is_no_best():
    logits = np.array([[5.0, 0.0], [0.0, 5.0]])
    np.testing.assert_allclose(fit_temperature(logits, np.array([0, 1])), 0.05, rtol=1e-3)
    np.testing.assert_allclose(fit_temperature(logits, np.array([1, 0])), 20.0, rtol=1e-3)


def test_labels_are_one_an_example():
    logits, labels = draw(1.0, 6)
    for given in ((logits, labels[:1]), (logits, labels[:, None]), (logits[0], labels[:5]), (logits[None], labels[:1])):
        with pytest.raises(AssertionError):
            fit_temperature(*given)
