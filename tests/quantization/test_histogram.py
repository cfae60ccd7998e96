"""Histograms of unknown range: by hand, the same in any order, and nothing lost."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax.quantization import Histogram

RNG = np.random.default_rng(8)
BATCHES = [RNG.normal(0, scale, (4, 25)).astype(np.float32) for scale in (1e-3, 5.0, 0.1, 70.0)]
update = jax.jit(Histogram.update)


def same(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_by_hand():
    seen = Histogram.empty().update(jnp.array([0.0, 1.0, -0.25, 3.0]))  # below 4 = 4096 · 2⁻¹⁰
    assert seen.exponent == -10
    at = {0: 1, 1024: 1, -256: 1, 3072: 1}
    np.testing.assert_array_equal(seen.counts, [at.get(place, 0) for place in range(-4096, 4096)])
    seen = seen.update(jnp.array([4.0]))  # reaches no further than below 4: wider
    assert seen.exponent == -9
    at = {0: 1, 512: 1, -128: 1, 1536: 1, 2048: 1}
    np.testing.assert_array_equal(seen.counts, [at.get(place, 0) for place in range(-4096, 4096)])
    assert (seen.low, seen.high) == (-0.25, 4.0)
    np.testing.assert_array_equal(seen.edges[np.array([0, 4096, 4097, 8192])], [-8, 0, 2**-9, 8])
    np.testing.assert_array_equal(seen.centres[4095:4098], [-(2**-10), 0, 3 * 2**-10])


def test_equals_numpy():
    seen = Histogram.empty()
    for batch in BATCHES:
        seen = update(seen, batch)
    everything = np.concatenate(BATCHES).ravel()
    np.testing.assert_array_equal(seen.counts, np.histogram(everything, np.asarray(seen.edges))[0])
    assert (seen.low, seen.high) == (everything.min(), everything.max())
    assert np.abs(everything).max() < seen.edges[-1] <= 2 * np.abs(everything).max()


def test_the_order_of_the_batches_does_not_matter():
    expected = update(Histogram.empty(), np.stack(BATCHES))
    for order in itertools.permutations(BATCHES, 4):
        seen = Histogram.empty()
        for batch in order:
            seen = update(seen, batch)
        same(seen, expected)
    parts = [update(Histogram.empty(), batch) for batch in BATCHES]
    same(parts[3].merge(parts[0]).merge(parts[2].merge(parts[1])), expected)
    same(expected.merge(Histogram.empty()), expected)


def test_left_out_examples_take_no_part():
    keep = np.array([True, False, True, False])
    batch = np.where(keep[:, None], BATCHES[0], np.float32(1e6))
    same(update(Histogram.empty(), batch, where=keep), update(Histogram.empty(), BATCHES[0][keep]))
    same(update(Histogram.empty(), batch, where=np.zeros(4, bool)), Histogram.empty())


@pytest.mark.parametrize("values", [[0.0], [1e-40], [3e38, -3e38], [1e-30, 1e30]])
def test_extremes(values):
    seen = Histogram.empty().update(jnp.array(values))
    assert seen.counts.sum() == len(values)
    assert np.isfinite(seen.centres).all()


def test_bfloat16_and_devices():
    values = jnp.asarray(BATCHES[1], jnp.bfloat16)
    same(Histogram.empty().update(values), Histogram.empty().update(values.astype(jnp.float32)))
    over = jax.vmap(lambda batch: Histogram.empty().update(batch))(np.stack(BATCHES))
    for index, batch in enumerate(BATCHES):
        same(jax.tree.map(lambda leaf, i=index: leaf[i], over), Histogram.empty().update(batch))


def test_a_mask_that_does_not_fit_is_refused():
    with pytest.raises(AssertionError):
        Histogram.empty().update(np.ones((4, 2)), where=np.ones(3, bool))
