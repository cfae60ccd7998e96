"""A mean kept as sum and count."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax.metrics import Mean

VALUES = np.random.default_rng(0).integers(-50, 50, 24).astype(np.float32)  # whole numbers: float32 sums are exact


def merged(parts):
    mean = Mean.empty()
    for part in parts:
        mean = mean.merge(Mean.empty().update(part))
    return mean


@pytest.mark.parametrize("seed", range(5))
def test_any_partition_merges_exactly(seed):
    rng = np.random.default_rng(seed)
    cuts = 6 * np.sort(rng.integers(0, 5, 5))  # empty parts included
    mean = merged(np.split(rng.permutation(VALUES), cuts))
    assert mean.count == len(VALUES)
    assert mean.total == VALUES.sum()
    assert mean.compute() == np.float32(VALUES.sum()) / np.float32(len(VALUES))


def test_it_is_not_a_mean_of_means():
    mean = merged([np.array([0.0, 0.0, 0.0]), np.array([8.0])])
    assert mean.compute() == 2.0  # not 4


def test_update_equals_merge():
    left, right = VALUES[:7], VALUES[7:]
    assert Mean.empty().update(left).update(right) == merged([left, right])


def test_where_leaves_out_even_nan():
    keep = np.arange(len(VALUES)) % 3 > 0
    mean = Mean.empty().update(np.where(keep, VALUES, np.nan), where=keep)
    assert mean == Mean.empty().update(VALUES[keep])
    grad = jax.grad(lambda x: Mean.empty().update(x, where=keep).compute())(jnp.where(keep, VALUES, jnp.nan))
    np.testing.assert_allclose(grad, np.where(keep, 1 / keep.sum(), 0), rtol=1e-6)


def test_shapes_and_booleans():
    grid = VALUES.reshape(4, 6)
    assert Mean.empty().update(grid) == Mean.empty().update(VALUES)
    assert Mean.empty().update(np.array([True, False, True, True])).compute() == 0.75
    with pytest.raises(AssertionError):
        Mean.empty().update(grid, where=np.ones(6, bool))


def test_nothing_seen_is_nan():
    assert np.isnan(Mean.empty().compute())
    assert np.isnan(Mean.empty().update(VALUES, where=np.zeros(24, bool)).compute())


def test_sums_over_a_mapped_axis():
    keep = np.arange(24) < 19  # the last device holds padding only

    def device(values, where):
        return jax.lax.psum(Mean.empty().update(values, where=where), "devices")

    mean = jax.vmap(device, axis_name="devices", out_axes=None)(VALUES.reshape(6, 4), keep.reshape(6, 4))
    assert mean == Mean.empty().update(VALUES[:19])
