"""Intervals against published values and against what they promise."""

import numpy as np
import pytest

from effjax import analysis


def test_wilson_by_hand():
    share, low, high = analysis.wilson_interval(np.array([True] * 8 + [False] * 2))
    np.testing.assert_allclose([share, low, high], [0.8, 0.49016, 0.94331], atol=1e-4)
    share, low, high = analysis.wilson_interval(np.ones(10, bool))
    np.testing.assert_allclose([share, low, high], [1.0, 0.72246, 1.0], atol=1e-4)


@pytest.mark.parametrize("size", [2, 4, 5, 11, 24, 32])
def test_a_share_is_within_its_interval_and_that_within_all_shares(size):
    """At none and at all of them too, where an end is 0 or 1 but for rounding."""
    for hits in (np.zeros(size, bool), np.ones(size, bool)):
        share, low, high = analysis.wilson_interval(hits)
        assert 0 <= low <= share <= high <= 1


def test_mean_by_hand():
    value, low, high = analysis.mean_interval(np.array([1.0, 2.0, 3.0, 6.0]))
    half = 1.959964 * np.sqrt(14 / 3) / 2
    np.testing.assert_allclose([value, low, high], [3.0, 3 - half, 3 + half], rtol=1e-5)


def test_pairing_takes_out_what_examples_share():
    rng = np.random.default_rng(0)
    easy = rng.normal(0, 10, 400)
    ours = easy + rng.normal(0.1, 0.1, 400)
    value, low, high = analysis.paired_interval(ours, easy)
    assert low > 0.05
    assert high < 0.15
    assert low < value < high
    np.testing.assert_allclose(analysis.paired_interval(easy, ours)[0], -value, rtol=1e-5)
    with pytest.raises(AssertionError):
        analysis.paired_interval(ours, easy[:-1])


@pytest.mark.parametrize("interval", [analysis.mean_interval, analysis.wilson_interval])
def test_values_are_one_an_example(interval):
    for values in (np.zeros((4, 1)), np.float32(1)):
        with pytest.raises(AssertionError):
            interval(values)


@pytest.mark.parametrize("share", [0.02, 0.5])
def test_nineteen_of_twenty_intervals_hold_the_truth(share):
    rng = np.random.default_rng(1)
    found = [analysis.wilson_interval(rng.random(200) < share) for _ in range(200)]
    covered = np.mean([low <= share <= high for _, low, high in found])
    assert 0.9 <= covered <= 0.99
