"""Self-paced weights against their definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax.errors import UserError
from effjax.losses import self_paced_weights
from effjax.steps import make_term

LOSSES = jnp.array([0.0, 0.5, 1.0, 2.0, 1e4])


def test_by_hand():
    assert self_paced_weights(LOSSES, 1.0).tolist() == [1, 1, 0, 0, 0]
    assert self_paced_weights(LOSSES, 2.0, form="linear").tolist() == [1, 0.75, 0.5, 0, 0]
    assert self_paced_weights(LOSSES, 1e9).tolist() == [1] * 5


def test_weights_solve_the_published_problem():
    """Hard weights minimise Σ v l − λ Σ v over v in [0, 1]; linear ones Σ v l + λ Σ (v² / 2 − v)."""
    grid = np.linspace(0, 1, 1001)
    for loss in (0.1, 0.6, 0.95, 1.3):
        hard, linear = grid * loss - grid, grid * loss + grid**2 / 2 - grid
        assert self_paced_weights(jnp.array([loss]), 1.0)[0] == grid[hard.argmin()]
        np.testing.assert_allclose(
            self_paced_weights(jnp.array([loss]), 1.0, form="linear")[0], grid[linear.argmin()], rtol=1e-4
        )


def test_no_gradient_flows_through_the_weights():
    slope = jax.grad(lambda x: (self_paced_weights(x, 2.0, form="linear") * x).sum())(LOSSES[:4])
    np.testing.assert_allclose(slope, [1, 0.75, 0.5, 0])


def test_refused():
    with pytest.raises(UserError, match=r"form='hart'.*did you mean 'hard'"):
        self_paced_weights(LOSSES, 1.0, form="hart")
    with pytest.raises(UserError, match=r"terms.self_paced.*form='hart'"):
        make_term("self_paced", form="hart")
    with pytest.raises(UserError, match=r"terms.self_paced.threshold=0.0 must be above 0"):
        make_term("self_paced", threshold=0.0)


def test_whole_numbers_are_no_losses():
    """Their weights would be whole numbers, too: 0 where an example counts a half."""
    with pytest.raises(AssertionError):
        self_paced_weights(jnp.array([1, 2]), 2.0, form="linear")
