"""CKA against its definition, and what it must not depend on."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax import analysis

RNG = np.random.default_rng(3)


def by_definition(x, y):
    """tr(KHLH) / sqrt(tr(KHKH) tr(LHLH)), in float64."""
    n = len(x)
    h = np.eye(n) - 1 / n
    k, m = (h @ (z.reshape(n, -1) @ z.reshape(n, -1).T) @ h for z in (x.astype(np.float64), y.astype(np.float64)))
    return np.trace(k @ m) / np.sqrt(np.trace(k @ k) * np.trace(m @ m))


@pytest.mark.parametrize("shapes", [((40, 5), (40, 7)), ((6, 3, 3, 4), (6, 9)), ((12, 30), (12, 3))])
def test_both_forms_are_the_definition(shapes):
    x, y = (RNG.normal(2.0, 1.0, shape).astype(np.float32) for shape in shapes)
    y.reshape(len(y), -1)[:, 0] += x.reshape(len(x), -1)[:, 1]
    expected = by_definition(x, y)
    np.testing.assert_allclose(analysis.cka(x, y), expected, rtol=1e-4)
    np.testing.assert_allclose(jax.jit(analysis.cka)(y, x), expected, rtol=1e-4)


@pytest.mark.parametrize("examples", [30, 6])
def test_rotations_scales_shifts_and_order_do_not_matter(examples):
    x, y = RNG.normal(size=(2, examples, 8)).astype(np.float32)
    rotation = np.linalg.qr(RNG.normal(size=(8, 8)))[0].astype(np.float32)
    order = RNG.permutation(examples)
    expected = analysis.cka(x, y)
    for other in (x @ rotation, 1e6 * x, 1e-6 * x, x + 5.0):
        np.testing.assert_allclose(analysis.cka(other, y), expected, rtol=1e-4)
        np.testing.assert_allclose(analysis.cka(x, other), 1.0, rtol=1e-4)
    np.testing.assert_allclose(analysis.cka(x[order], y[order]), expected, rtol=1e-4)
    assert abs(analysis.cka(x, y[order]) - expected) > 1e-3


def test_what_is_the_same_for_all_examples_is_like_nothing():
    x = RNG.normal(size=(9, 4)).astype(np.float32)
    same = np.ones((9, 3), np.float32)
    for pair in ((x, same), (same, x), (same, same)):
        assert analysis.cka(*pair) == 0.0
    gradient = jax.grad(lambda y: analysis.cka(x, y))(jnp.ones((9, 3)))
    assert np.isfinite(gradient).all()


def test_hsic_is_the_mean_over_all_four_different_examples():
    k, m = (z @ z.T for z in RNG.normal(size=(2, 6, 3)))
    terms = [
        k[i, j] * m[i, j] + k[i, j] * m[q, r] - 2 * k[i, j] * m[i, q]
        for i, j, q, r in itertools.permutations(range(6), 4)
    ]
    np.testing.assert_allclose(analysis.unbiased_hsic(k, m), np.mean(terms), rtol=1e-4)
    np.fill_diagonal(k, 100.0)  # an example says nothing of itself
    np.testing.assert_allclose(analysis.unbiased_hsic(k, m), np.mean(terms), rtol=1e-4)


def test_the_same_examples_for_both():
    x = np.ones((5, 2), np.float32)
    for function, other in ((analysis.cka, x[:4]), (analysis.cka, x[:1]), (analysis.unbiased_hsic, x[:, :1])):
        with pytest.raises(AssertionError):
            function(x, other)


def test_minibatches_have_no_bias_towards_wide_layers():
    x, y = RNG.normal(size=(2, 20, 16, 200)).astype(np.float32)

    def over_batches(x, y):
        state = analysis.MinibatchCka.empty()
        for a, b in zip(x, y, strict=True):
            state = state.update(analysis.linear_gram(a), analysis.linear_gram(b))
        return state

    assert abs(over_batches(x, y).compute()) < 0.05
    assert analysis.cka(x[0], y[0]) > 0.8  # independent, and yet
    np.testing.assert_allclose(over_batches(x, 3 * x).compute(), 1.0, rtol=1e-4)
    halves = over_batches(x[:10], y[:10]).merge(over_batches(x[10:], y[10:]))
    np.testing.assert_allclose(halves.compute(), over_batches(x, y).compute(), rtol=1e-4, atol=1e-7)


def test_gram_is_centred_and_by_feature():
    x = np.array([[1.0, 0.0, 3.0], [3.0, 0.0, 3.0]], np.float32)
    np.testing.assert_allclose(analysis.linear_gram(x), [[1 / 3, -1 / 3], [-1 / 3, 1 / 3]], rtol=1e-6)
