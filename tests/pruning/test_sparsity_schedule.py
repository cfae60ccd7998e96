"""The cubic schedule and that of the exchanged share, by hand, and outside of their range."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax import pruning
from effjax.errors import UserError


def test_by_hand():
    # At a quarter of the way (3/4)³ = 27/64 of 0.8 is missing; half-way 1/8.
    steps = jnp.array([100, 125, 150, 200])
    found = jax.vmap(lambda s: pruning.cubic_sparsity(s, begin=100, end=200, final=0.8))(steps)
    np.testing.assert_allclose(found, [0.0, 0.4625, 0.7, 0.8], atol=1e-6)
    np.testing.assert_allclose(
        pruning.cubic_sparsity(150, begin=100, end=200, final=0.9, initial=0.5), 0.9 - 0.4 / 8, atol=1e-6
    )


@pytest.mark.parametrize(("initial", "final"), [(0.0, 0.9), (0.3, 1.0), (0.7, 0.1)])
def test_outside_of_its_range_it_is_exact(initial, final):
    schedule = jax.jit(lambda s: pruning.cubic_sparsity(s, begin=3, end=10, final=final, initial=initial))
    assert [float(schedule(s)) for s in (-5, 0, 3)] == [float(np.float32(initial))] * 3
    assert [float(schedule(s)) for s in (10, 11, 10**9)] == [float(np.float32(final))] * 3
    between = np.array([schedule(s) for s in range(3, 11)])
    assert (np.sign(np.diff(between)) == np.sign(final - initial)).all()
    np.testing.assert_allclose(
        [pruning.cubic_sparsity(s, begin=3, end=10, final=final, initial=initial) for s in range(3, 11)],
        between,
        atol=1e-6,
    )


def test_a_range_of_no_steps_is_a_jump():
    found = [float(pruning.cubic_sparsity(s, begin=5, end=5, final=0.5)) for s in (4, 5, 6)]
    assert found == [0.0, 0.5, 0.5]


def test_the_exchanged_share_by_hand():
    found = [pruning.drop_fraction(s, end=100, alpha=0.4) for s in (0, 25, 50, 100, 1000)]
    np.testing.assert_allclose(found, [0.4, 0.2 * (1 + np.sqrt(0.5)), 0.2, 0.0, 0.0], atol=1e-6)
    assert float(found[-2]) == 0.0


def test_what_is_no_schedule_is_refused():
    with pytest.raises(UserError, match=r"final=1.5 must be a share of the weights, from 0 to 1"):
        pruning.cubic_sparsity(0, begin=0, end=1, final=1.5)
    with pytest.raises(UserError, match=r"initial=nan"):
        pruning.cubic_sparsity(0, begin=0, end=1, final=0.5, initial=float("nan"))
    with pytest.raises(UserError, match="end=3 must not come before begin=4"):
        pruning.cubic_sparsity(0, begin=4, end=3, final=0.5)
    with pytest.raises(UserError, match="alpha=2"):
        pruning.drop_fraction(0, end=10, alpha=2)
    with pytest.raises(UserError, match="end=0 must be above 0"):
        pruning.drop_fraction(0, end=0)
