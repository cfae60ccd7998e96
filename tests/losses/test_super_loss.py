"""SuperLoss against scipy's Lambert W, a search for the minimum, and its gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import lambertw

from effjax.losses import super_loss, super_loss_weights
from effjax.losses.super_loss import lambert_w

X = np.concatenate([-1 / np.e + np.logspace(-12, -1, 30), np.linspace(-0.3, 3, 40), np.logspace(0, 30, 40)])


def test_lambert_w_is_scipys():
    np.testing.assert_allclose(lambert_w(jnp.asarray(X, jnp.float32)), lambertw(X).real, rtol=2e-5, atol=5e-4)
    x = X[X > -0.36]  # at the branch point W has an infinite slope: float32 of x is not enough
    np.testing.assert_allclose(lambert_w(jnp.asarray(x, jnp.float32)), lambertw(x).real, rtol=1e-5, atol=2e-6)
    assert lambert_w(jnp.array([-5.0, -0.3678795])).tolist() == pytest.approx([-1, -1], abs=1e-3)


@pytest.mark.parametrize("regularization", [0.25, 1.0, 4.0])
@pytest.mark.parametrize("threshold", [0.0, 2.302585])
def test_the_weights_solve_the_published_problem(regularization, threshold):
    """The minimum over σ of (ℓ − τ) σ + λ (log σ)²; where it has none, for easy examples, the cut at σ = e."""
    sigma = np.exp(np.linspace(-8, 1, 40_001))
    for loss in (0.0, 0.3, 2.0, 5.0, 40.0):
        values = (loss - threshold) * sigma + regularization * np.log(sigma) ** 2
        ours = super_loss_weights(jnp.array([loss]), threshold, regularization=regularization)[0]
        local = np.flatnonzero((values[1:-1] <= values[:-2]) & (values[1:-1] <= values[2:])) + 1
        expected = sigma[local[0]] if len(local) else np.e
        np.testing.assert_allclose(ours, expected, rtol=1e-3)
        minimum = super_loss(jnp.array([loss]), threshold, regularization=regularization)[0]
        if len(local):
            np.testing.assert_allclose(minimum, values[local[0]], rtol=1e-4, atol=1e-4)


def test_its_gradient_is_the_weight():
    losses = jnp.array([0.0, 0.5, 1.0, 3.0, 1e4])
    slope = jax.grad(lambda x: super_loss(x, 1.0).sum())(losses)
    np.testing.assert_allclose(slope, super_loss_weights(losses, 1.0), rtol=1e-5)
    weights = np.asarray(super_loss_weights(losses, 1.0))
    assert weights[[0, 2]] == pytest.approx([np.e, 1.0], rel=1e-6)
    assert (np.diff(weights) < 0).all()
    assert np.isfinite(weights).all()
    np.testing.assert_array_equal(jax.grad(lambda x: super_loss_weights(x, 1.0).sum())(losses), np.zeros(5))
    assert super_loss_weights(losses.astype(jnp.bfloat16), 1.0).dtype == jnp.float32


def test_whole_numbers_are_no_losses():
    with pytest.raises(AssertionError):
        super_loss_weights(jnp.array([1, 2]), 1.0)
