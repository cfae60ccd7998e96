"""Calibrations: by hand, against searches written as loops, and the ranges that statistics say are best."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax.errors import UserError
from effjax.quantization import CALIBRATIONS, Histogram, activation_grid, calibrate
from effjax.quantization.calibration import entropy, mse, percentile

RNG = np.random.default_rng(9)
NORMAL = RNG.normal(0, 1, 50_000).astype(np.float32)
TAILED = RNG.standard_t(3, 50_000).astype(np.float32)
SHARES = np.arange(8, 129) / 128


def seen(values):
    return Histogram.empty().update(values)


def on_grid(values, low, high, bits):
    """Codes and values, by numpy."""
    scale = (high - low) / (2**bits - 1)
    zero_point = np.clip(np.rint(-low / scale), 0, 2**bits - 1)
    codes = np.clip(np.rint(values / scale) + zero_point, 0, 2**bits - 1)
    return codes.astype(int), (codes - zero_point) * scale, (-zero_point * scale, (2**bits - 1 - zero_point) * scale)


def squared_error(histogram, low, high, bits):
    counts, centres = np.asarray(histogram.counts, np.float64), np.asarray(histogram.centres, np.float64)
    return (counts * (on_grid(centres, low, high, bits)[1] - centres) ** 2).sum()


def divergence(histogram, low, high, bits):
    """KL of the histogram, its ends cut, against what the codes' counts say when shared out evenly."""
    centres = np.asarray(histogram.centres, np.float64)
    counts = np.where(centres == 0, 0, np.asarray(histogram.counts, np.float64))
    codes, _, (low, high) = on_grid(centres, low, high, bits)
    inside = np.flatnonzero((centres >= low) & (centres <= high))
    p, q = np.zeros_like(counts), np.zeros_like(counts)
    p[inside] = counts[inside]
    for code in np.unique(codes[inside]):
        filled = [i for i in inside if codes[i] == code and counts[i] > 0]
        q[filled] = counts[filled].mean() if filled else 0
    p[inside[0]] += counts[: inside[0]].sum()
    p[inside[-1]] += counts[inside[-1] + 1 :].sum()
    p, q = p / p.sum(), q / q.sum()
    some = p > 0
    return (p[some] * np.log(p[some] / np.maximum(q[some], 1e-6))).sum()


def test_minmax():
    scale, zero_point = calibrate("minmax", seen(np.float32([-1.0, 0.5, 2.0])), bits=4)
    np.testing.assert_allclose(scale, 0.2, rtol=1e-6)
    assert zero_point == 5
    assert (scale.dtype, zero_point.dtype) == (jnp.float32, jnp.int32)


def test_percentile():
    # Of 0 … 9,999 one half of a hundredth percent on each side is half a value: no more than 0 and 9,999 are left out.
    low, high = percentile(seen(jnp.arange(10_000.0)), 8)
    assert (low, high) == (0, 9999)
    low, high = percentile(seen(jnp.arange(10_000.0)), 8, percent=90.0)
    assert abs(low - 500) <= 4  # a bin's width
    assert abs(high - 9500) <= 4
    for values in (NORMAL, TAILED, np.maximum(NORMAL, 0)):
        low, high = percentile(seen(values), 8)
        assert ((values >= low) & (values <= high)).mean() >= 0.9999
        width = float(seen(values).edges[1] - seen(values).edges[0])
        assert ((values >= low + 2 * width) & (values <= high - 2 * width)).mean() <= 0.99995


@pytest.mark.parametrize("bits", [3, 8])
@pytest.mark.parametrize(("calibration", "loss"), [(mse, squared_error), (entropy, divergence)])
def test_searches_find_the_least_loss(calibration, loss, bits):
    histogram = seen(TAILED[:2000])
    low, high = float(histogram.low), float(histogram.high)
    shares = SHARES[::12]
    losses = [loss(histogram, share * low, share * high, bits) for share in shares]
    chosen = loss(histogram, *(float(end) for end in calibration(histogram, bits)), bits)
    assert chosen <= min(losses) * (1 + 1e-4) + 1e-7


@pytest.mark.parametrize(("bits", "expected"), [(4, 2.55), (6, 3.3), (8, 3.9)])
def test_the_squared_error_of_a_normal_distribution(bits, expected):
    """The least squared error of uniform steps: Max, 1960, Quantizing for minimum distortion."""
    np.testing.assert_allclose(mse(seen(NORMAL), bits)[1], expected, rtol=0.07)


def test_outliers_are_cut_off():
    for bits in (4, 8):
        widths = {kind: calibrate(kind, seen(TAILED), bits)[0] for kind in CALIBRATIONS}
        assert widths["mse"] < widths["minmax"]
        assert widths["entropy"] < widths["minmax"]
        assert widths["percentile"] < widths["minmax"]


def test_zeros_do_not_decide_the_entropy():
    values = np.abs(TAILED)
    with_zeros = np.concatenate([values, np.zeros(10 * len(values), np.float32)])
    assert entropy(seen(values), 8)[1] == entropy(seen(with_zeros), 8)[1]


@pytest.mark.parametrize("kind", CALIBRATIONS)
def test_whatever_was_seen_there_is_a_grid(kind):
    for values in ([], [0.0], [0.0, 0.0], [5.0], [-5.0, -5.0], [1e-30, 1e30], [3e38, -3e38]):
        scale, zero_point = calibrate(kind, seen(np.float32(values)), 4)
        assert np.isfinite(scale)
        assert scale > 0
        assert 0 <= zero_point <= 15


@pytest.mark.parametrize("kind", CALIBRATIONS)
def test_jit_and_vmap_change_nothing(kind):
    histograms = [seen(TAILED[:100]), seen(NORMAL[:100])]
    expected = [calibrate(kind, histogram, 4) for histogram in histograms]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *histograms)
    over = jax.jit(jax.vmap(partial(calibrate, kind, bits=4)))(stacked)
    np.testing.assert_allclose(over[0], [scale for scale, _ in expected], rtol=1e-5)
    np.testing.assert_array_equal(over[1], [zero_point for _, zero_point in expected])


def test_an_unknown_calibration_is_refused():
    with pytest.raises(UserError, match=r"kind = 'minmx'.*did you mean 'minmax'"):
        calibrate("minmx", Histogram.empty())


def test_a_grid_of_its_range():
    histogram = seen(TAILED)
    grid = activation_grid(*mse(histogram, 8))
    assert (grid.scale, grid.zero_point) == calibrate("mse", histogram)
