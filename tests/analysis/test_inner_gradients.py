"""Derivatives by what is computed on the way, against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax import analysis, models

RNG = np.random.default_rng(4)
WEIGHTS = RNG.normal(size=(3, 4)).astype(np.float32)
X = RNG.normal(size=(5, 3)).astype(np.float32)


def network(weights, x):
    """The way past the hidden units, ``3 Σ x``, is not theirs."""
    hidden = jax.nn.relu(x @ weights)
    return jnp.square(hidden).sum(-1) + 3 * x.sum(-1), hidden


def test_what_comes_after_is_differentiated_and_nothing_else():
    values, hidden, gradient = analysis.value_and_inner_grad(network, WEIGHTS, X)
    expected = np.maximum(X @ WEIGHTS, 0)
    np.testing.assert_allclose(hidden, expected, rtol=1e-5)
    np.testing.assert_allclose(gradient, 2 * expected, rtol=1e-5)
    np.testing.assert_allclose(values, (expected**2).sum(-1) + 3 * X.sum(-1), rtol=1e-5)
    again = jax.jit(lambda w, x: analysis.value_and_inner_grad(network, w, x))(WEIGHTS, X)
    for ours, jitted in zip((values, hidden, gradient), again, strict=True):
        np.testing.assert_allclose(ours, jitted, rtol=1e-5)


def test_an_input_may_be_what_it_is_differentiated_by():
    _, inner, gradient = analysis.value_and_inner_grad(lambda w, x: (jnp.sin(x @ w), x), WEIGHTS, X)
    np.testing.assert_array_equal(inner, X)
    np.testing.assert_allclose(gradient, np.cos(X @ WEIGHTS) @ WEIGHTS.T, rtol=1e-4, atol=1e-5)


def test_one_of_several_results_of_one_operation():
    def sorted_first(x):
        highest, places = jax.lax.top_k(x, 2)
        return highest[:, 0] * highest[:, 1] + places.sum(-1), highest

    _, highest, gradient = analysis.value_and_inner_grad(sorted_first, X)
    np.testing.assert_allclose(gradient, highest[:, ::-1], rtol=1e-6)


def test_a_value_that_does_not_depend_on_it_has_no_gradient():
    _, _, gradient = analysis.value_and_inner_grad(lambda x: (x.sum(-1), jnp.exp(x)), X)
    np.testing.assert_array_equal(gradient, 0)


@pytest.mark.parametrize(("tap", "closed_form"), [("stage3", True), ("stage1/block1", False)])
def test_inside_a_network(tap, closed_form):
    module = models.create("resnet8", 3, width=0.25, taps=(tap,))
    images = jnp.asarray(RNG.normal(size=(2, 8, 8, 3)), jnp.float32)
    variables = models.init(module, jax.random.key(0), (8, 8, 3))

    def logit(variables, images):
        outputs = module.apply(variables, images)
        return outputs.logits[:, 1], outputs.taps[tap]

    _, inner, gradient = jax.jit(lambda v, x: analysis.value_and_inner_grad(logit, v, x))(variables, images)
    assert gradient.shape == inner.shape
    if closed_form:  # the classifier reads the mean over places
        kernel = variables["params"]["classifier"]["kernel"][:, 1]
        places = inner.shape[1] * inner.shape[2]
        np.testing.assert_allclose(gradient, np.broadcast_to(kernel / places, inner.shape), rtol=1e-5)
    else:
        assert np.abs(gradient).max() > 1e-4
