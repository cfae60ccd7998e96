"""Grids: by hand, against loops, at ties and extremes, with a gradient that passes inside of the range."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax.errors import UserError
from effjax.quantization import Grid, activation_grid, dequantize, fake_quantize, limits, quantize
from effjax.quantization.exact import fused, nearest_quotient, quotient, unfused

RNG = np.random.default_rng(5)


def reference(x, scale, zero_point, low, high):
    """One number after another; Python rounds halves to even."""
    codes = [min(max(round(float(v / s)) + int(z), low), high) for v, s, z in zip(x, scale, zero_point, strict=True)]
    return np.array(codes, np.int32)


def test_by_hand():
    x = jnp.array([-9.0, -0.5, -0.25, 0.0, 0.25, 0.75, 1.25, 9.0])  # halves go to even: -0.5, 0.5, 1.5, 2.5
    codes = quantize(x, 0.5, 2, bits=3)
    np.testing.assert_array_equal(codes, [0, 1, 2, 2, 2, 4, 4, 7])
    assert codes.dtype == jnp.int32
    np.testing.assert_array_equal(dequantize(codes, 0.5, 2), [-1.0, -0.5, 0.0, 0.0, 0.0, 1.0, 1.0, 2.5])
    np.testing.assert_array_equal(quantize(x, 0.5, 0, bits=3, signed=True), [-3, -1, 0, 0, 0, 2, 2, 3])


@pytest.mark.parametrize(
    ("bits", "signed", "expected"),
    [(2, True, (-1, 1)), (2, False, (0, 3)), (8, True, (-127, 127)), (16, False, (0, 65535))],
)
def test_limits(bits, signed, expected):
    assert limits(bits, signed) == expected


@pytest.mark.parametrize("bits", [1, 17, 8.0, "8"])
def test_bits_that_there_are_not_are_refused(bits):
    with pytest.raises(UserError, match=r"bits = .*2 to 16"):
        quantize(jnp.ones(2), 1.0, 0, bits=bits)


@pytest.mark.parametrize(
    ("scale", "zero_point", "axis"), [(np.ones(3), 0, None), (1.0, 0, 0), (np.ones(3), np.zeros(3), 0)]
)
def test_scales_that_do_not_fit_are_refused(scale, zero_point, axis):
    with pytest.raises(UserError, match="is needed with axis"):
        fake_quantize(jnp.ones((2, 3)), scale, zero_point, bits=8, axis=axis)


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize(("bits", "signed"), [(8, False), (4, True), (16, False)])
def test_equals_the_reference_at_ties_too(bits, signed, compiled):
    low, high = limits(bits, signed)
    scale, zero_point = np.float32(0.0371), 0 if signed else 2 ** (bits - 1)
    halves = (RNG.integers(2 * low, 2 * high, 500) / 2).astype(np.float32) * scale
    x = np.concatenate([halves, RNG.normal(0, 200 * scale, 500), [1e30, -1e30, np.inf, -np.inf]]).astype(np.float32)
    finite = np.clip(x, -1e6, 1e6)

    def both(x):
        return quantize(x, scale, zero_point, bits=bits, signed=signed), fake_quantize(
            x, scale, zero_point, bits=bits, signed=signed
        )

    codes, values = (jax.jit(both) if compiled else both)(x)
    count = len(x)
    np.testing.assert_array_equal(codes, reference(finite, [scale] * count, [zero_point] * count, low, high))
    np.testing.assert_array_equal(values, dequantize(codes, scale, zero_point))  # of the same bits


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_channels_have_grids_of_their_own(axis):
    x = RNG.normal(0, 1, (4, 3, 5)).astype(np.float32)
    count = x.shape[axis]
    scale, zero_point = RNG.uniform(0.01, 0.3, count).astype(np.float32), RNG.integers(0, 16, count)
    grid = Grid(jnp.asarray(scale), jnp.asarray(zero_point), 4, False, axis)
    moved = np.moveaxis(x, axis, 0)
    one_by_one = [quantize(part, s, z, bits=4) for part, s, z in zip(moved, scale, zero_point, strict=True)]
    codes = grid.quantize(x)
    np.testing.assert_array_equal(codes, np.moveaxis(np.stack(one_by_one), 0, axis))
    np.testing.assert_array_equal(grid.fake_quantize(x), grid.dequantize(codes))
    over = jax.vmap(lambda part, s, z: fake_quantize(part, s, z, bits=4))(moved, scale, zero_point)
    np.testing.assert_array_equal(np.moveaxis(over, 0, axis), grid.dequantize(codes))


def test_the_gradient_passes_inside_only():
    def total(x, scale):
        return (jnp.arange(1.0, 7.0) * fake_quantize(x, scale, 1, bits=2)).sum()

    x = jnp.array([-1.6, -1.4, 0.3, 2.4, 2.6, 1e4])  # codes -1 (clipped), 0, 1, 3, 4 (clipped), …
    to_x, to_scale = jax.grad(total, (0, 1))(x, 1.0)
    np.testing.assert_array_equal(to_x, [0, 2, 3, 4, 0, 0])
    assert to_scale == 0


@pytest.mark.parametrize("x", [1e4, -1e4, 3e38, 0.0])
def test_gradients_stay_finite(x):
    value, gradient = jax.value_and_grad(lambda x: fake_quantize(x, 1e-20, 7, bits=8))(jnp.float32(x))
    assert np.isfinite(value)
    assert gradient == (x == 0)


def test_bfloat16_is_computed_in_float32():
    x = jnp.asarray(RNG.normal(0, 1, 50), jnp.bfloat16)
    values, gradient = jax.value_and_grad(lambda x: fake_quantize(x, 0.1, 8, bits=4).sum())(x)
    np.testing.assert_array_equal(values, fake_quantize(x.astype(jnp.float32), 0.1, 8, bits=4).sum())
    assert values.dtype == jnp.float32
    assert gradient.dtype == jnp.bfloat16


def test_grids_go_through_programs():
    grid = activation_grid(-1.0, 2.0, bits=4)
    again = jax.jit(lambda grid: jax.tree.map(lambda leaf: leaf * 1, grid))(grid)
    assert (again.bits, again.signed, again.axis) == (4, False, None)
    assert again.scale == grid.scale


@pytest.mark.parametrize("flags", ["eager", "compiled", "constant"])
def test_quotients_are_rounded_once(flags):
    x, y = RNG.normal(0, 10, 5000).astype(np.float32), np.float32(0.0371)
    functions = {
        "eager": quotient,
        "compiled": jax.jit(quotient),
        "constant": lambda x, y: jax.jit(lambda x: quotient(x, y))(x),
    }
    np.testing.assert_array_equal(functions[flags](x, y), x / y)
    assert np.isnan(quotient(jnp.float32(np.nan), jnp.float32(1.0)))


@pytest.mark.parametrize("is_constant", [True, False])
def test_quotients_of_quotients_are_rounded_twice(is_constant):
    """XLA would divide by the product of both divisors."""
    x, y, z = RNG.normal(0, 10, 5000).astype(np.float32), np.float32(9.0), np.float32(0.0371)
    divided = jax.jit(lambda x, *given: quotient(quotient(x, (*given, y)[0]), (*given, z)[-1]))
    np.testing.assert_array_equal(divided(x) if is_constant else divided(x, y, z), x / y / z)
    assert (x / y / z != x / (y * z)).any()


@pytest.mark.parametrize("off", [-3, -2, -1, 0, 1, 2, 3])
def test_a_quotient_that_is_nearly_right_becomes_right(off):
    """As where a GPU divides: by units in the last place, of numbers of any size."""
    x = (RNG.normal(0, 1, 200_000) * 10.0 ** RNG.uniform(-12, 12, 200_000)).astype(np.float32)
    y = (RNG.normal(0, 1, 200_000) * 10.0 ** RNG.uniform(-6, 6, 200_000)).astype(np.float32)
    found = ((x / y).view(np.int32) + np.int32(off)).view(np.float32)
    np.testing.assert_array_equal(jax.jit(nearest_quotient)(found, x, y), x / y)
    odd = np.float32([0.0, np.inf, np.nan, 1.0, 1e-38, 3e38]), np.float32([1.0, 2.0, 1.0, 0.0, 3.0, 0.1])
    with np.errstate(divide="ignore", over="ignore"):
        np.testing.assert_array_equal(nearest_quotient(odd[0] / odd[1], *odd), odd[0] / odd[1])


def test_fused_multiply_adds_are_rounded_once():
    codes = RNG.integers(-255, 256, 20000).astype(np.float32)
    factors, addends = RNG.uniform(0.1, 4, 20000).astype(np.float32), RNG.normal(0, 200, 20000).astype(np.float32)
    # Float64 holds the product and, at these sizes, the sum.
    exact = codes.astype(np.float64) * factors + addends
    fits = np.abs(addends) > 1e-2
    together = jax.jit(lambda c, f, a: fused(c, f, a))(codes, factors, addends)
    np.testing.assert_array_equal(together[fits], exact.astype(np.float32)[fits])
    assert (np.asarray(together) != codes * factors + addends).sum() > 1000  # two roundings are something else
    # 3 · (1 + 2⁻²³) = 3 + 3 · 2⁻²³, minus 3: rounding the product first would give 2⁻²¹ (or 2⁻²²).
    np.testing.assert_array_equal(fused(jnp.float32(3), jnp.float32(1 + 2**-23), jnp.float32(-3)), 3 * 2.0**-23)
    # A tie that only what lies far below decides: halfway but for 2⁻⁴⁰.
    np.testing.assert_array_equal(
        fused(jnp.float32(1), jnp.float32(1 + 2**-23), jnp.float32(2**-24 + 2**-40)), np.float32(1 + 2 * 2.0**-23)
    )


def test_a_product_and_a_sum_are_rounded_one_by_one():
    x, offset = RNG.normal(0, 3, 20000).astype(np.float32), RNG.normal(0, 3, 20000).astype(np.float32)
    factor = RNG.uniform(0.1, 4, 20000).astype(np.float32)
    found = jax.jit(unfused)(x, factor, offset)
    np.testing.assert_array_equal(found, x * factor + offset)  # numpy knows no other way
    assert np.isnan(unfused(jnp.float32(np.nan), jnp.float32(1.0), jnp.float32(1.0)))


def test_quotients_keep_their_type():
    halves = jnp.arange(1, 9, dtype=jnp.bfloat16), jnp.bfloat16(3)
    found = jax.jit(quotient)(*halves)
    assert found.dtype == jnp.bfloat16
    np.testing.assert_array_equal(found, halves[0] / halves[1])
