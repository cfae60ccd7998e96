"""How much examples have to teach, against values by hand and finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax.curricula import el2n, gradient_norms

RNG = np.random.default_rng(3)
LOGITS, LABELS = RNG.normal(0, 3, (6, 4)).astype(np.float32), np.arange(6) % 4


def cross_entropy(logits, label):
    return -jax.nn.log_softmax(logits)[label]


def test_el2n_by_hand():
    # Probabilities ¼ and ¾: the error is (−¾, ¾) for the first class, (¼, −¼) for the second.
    logits = jnp.log(jnp.array([[1.0, 3.0], [1.0, 3.0]]))
    np.testing.assert_allclose(el2n(logits, jnp.array([0, 1])), [0.75 * 2**0.5, 0.25 * 2**0.5], rtol=1e-6)
    assert np.isfinite(el2n(jnp.array([[1e4, -1e4], [1e4, -1e4]]), jnp.array([0, 1]))).all()
    with pytest.raises(AssertionError):
        el2n(LOGITS, LABELS[:5])


def test_el2n_is_the_gradient_in_the_logits():
    gradients = jax.vmap(jax.grad(cross_entropy))(LOGITS, LABELS)
    np.testing.assert_allclose(el2n(LOGITS, LABELS), np.linalg.norm(gradients, axis=-1), rtol=1e-5)


def test_of_a_linear_classifier_both_scores_differ_by_the_length_of_its_features():
    """The gradient is the outer product of error and features, with a 1 for the bias."""
    features = RNG.normal(size=(6, 5)).astype(np.float32)
    params = {"w": jnp.asarray(RNG.normal(size=(5, 4)), jnp.float32), "b": jnp.zeros(4)}

    def loss(params, example):
        return cross_entropy(example["x"] @ params["w"] + params["b"], example["y"])

    found = gradient_norms(loss, params, {"x": features, "y": LABELS})
    lengths = np.sqrt((features**2).sum(-1) + 1)
    np.testing.assert_allclose(found, lengths * el2n(features @ params["w"], LABELS), rtol=1e-5)
