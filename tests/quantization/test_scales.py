"""Which grid a tensor gets: by hand, what is degenerate, and what int32 holds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax.errors import UserError
from effjax.quantization import activation_grid, quantize_bias, safe_weight_scale, weight_grid

RNG = np.random.default_rng(6)


@pytest.mark.parametrize("shape", [(3, 3, 4, 5), (3, 3, 1, 5), (7, 5)])
def test_weights_fill_the_grid_of_their_channel(shape):
    weights = RNG.normal(0, 1, shape).astype(np.float32) * np.float32([1, 10, 1e-6, 1e6, 0])
    grid = jax.jit(lambda w: weight_grid(w, bits=4))(weights)
    peaks = np.abs(weights).max(tuple(range(len(shape) - 1)))
    np.testing.assert_array_equal(grid.scale, np.where(peaks > 0, peaks / np.float32(7), 1))
    codes = np.asarray(grid.quantize(weights))
    np.testing.assert_array_equal(np.abs(codes).max(tuple(range(len(shape) - 1))), [7, 7, 7, 7, 0])
    np.testing.assert_array_equal(grid.quantize(-weights), -codes)
    assert (grid.bits, grid.signed, grid.axis) == (4, True, len(shape) - 1)


def test_another_axis_of_weights():
    grid = weight_grid(np.array([[1.0, -2.0], [4.0, 0.5]]), bits=2, axis=0)
    np.testing.assert_array_equal(grid.scale, [2, 4])


@pytest.mark.parametrize(
    ("low", "high", "scale", "zero_point"),
    [
        (-1.0, 2.0, 0.2, 5),
        (0.0, 3.0, 0.2, 0),
        (1.0, 3.0, 0.2, 0),  # 0 is on the grid, even if nothing is there
        (-3.0, -1.0, 0.2, 15),
        (0.0, 0.0, 1.0, 0),
        (1e-40, 1e-38, 1.0, 0),
        (np.inf, -np.inf, 1.0, 0),  # nothing was seen
    ],
)
def test_activations(low, high, scale, zero_point):
    grid = activation_grid(low, high, bits=4)
    np.testing.assert_allclose(grid.scale, scale, rtol=1e-6)
    assert grid.zero_point == zero_point
    assert grid.fake_quantize(0.0) == 0.0


def test_the_widest_range_is_finite():
    grid = jax.jit(activation_grid)(-3e38, 3e38)
    assert np.isfinite(grid.scale)
    assert np.isfinite(grid.fake_quantize(np.float32([-3e38, 0, 3e38]))).all()


def test_the_bias_fits_int32():
    kernel = np.full((3, 3, 2, 3), 1e-7, np.float32) * np.float32([1, 1, 1e6])
    bias, input_scale = np.float32([5.0, -5.0, 5.0]), 0.02
    scale = weight_grid(kernel).scale
    assert (np.abs(bias / (input_scale * np.asarray(scale, np.float64))) > 2**31).tolist() == [True, True, False]
    safe = safe_weight_scale(scale, kernel, bias, input_scale)
    np.testing.assert_allclose(safe[:2], 5 / (0.02 * 2**30), rtol=1e-6)
    assert safe[2] == scale[2]
    codes = quantize_bias(bias, input_scale, safe)
    np.testing.assert_allclose(codes * input_scale * np.asarray(safe, np.float64), bias, rtol=1e-6)


def test_the_products_fit_int32():
    fan_in = 40_000  # of 127 · 255 each: more than 2³⁰
    kernel, bias = np.ones((fan_in, 2), np.float32), np.float32([2e9, 0])
    scale = weight_grid(kernel).scale
    safe = safe_weight_scale(scale, kernel, bias, 1.0)
    assert (safe > scale).all()
    codes = np.rint(kernel / safe).astype(np.int64)
    most = 255 * np.abs(codes).sum(0) + np.abs(np.rint(bias / np.asarray(safe, np.float64)))
    assert (most < 2**31).all()
    assert most[1] > 2**29  # and no more is given away than need be
    # Each weight is 1: with s_w the sum of the products is at most 255 · (40,000 / s_w + 40,000 / 2), which is 2³⁰.
    for bits, largest in ((8, 255), (2, 3)):
        safe = safe_weight_scale(np.float32([1e-9]), kernel[:, :1], bias[1:], 1.0, input_bits=bits)
        np.testing.assert_allclose(safe, largest * fan_in / (2**30 - largest * fan_in / 2), rtol=1e-6)


def test_kernels_that_no_scale_helps_are_refused():
    with pytest.raises(UserError, match="do not fit int32"):
        jax.eval_shape(
            lambda kernel: safe_weight_scale(jnp.ones(1), kernel, jnp.ones(1), 1.0, input_bits=16), np.ones((40_000, 1))
        )
