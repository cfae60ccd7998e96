"""The integer arithmetic is onnxruntime's, bit for bit: against its stored answers, itself, and loops in numpy."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quantization.goldens.onnx_operations import CASES, average_pool, case, mean, stored

from effjax import quantization
from effjax.errors import UserError
from effjax.quantization import Grid

RNG = np.random.default_rng(10)
# Scales of a, b and y, their zero points, the codes of a and b, and what onnxruntime 1.32 makes of them: sums so nearly
# between two codes that to round the products on their own gives the other one.
TIES = [
    (0.029402616, 0.03376489, 0.068964794, 164, 215, 251, 122, 224, 238),
    (0.038624328, 0.033134308, 0.06658792, 124, 13, 122, 187, 31, 168),
    (0.036014237, 0.038781803, 0.08799838, 241, 31, 68, 148, 89, 56),
    (0.01635003, 0.029693848, 0.05636251, 141, 85, 160, 251, 107, 203),
    (0.044624675, 0.024039375, 0.08858476, 250, 28, 71, 157, 173, 64),
    (0.04580725, 0.038619164, 0.09962033, 135, 7, 166, 242, 80, 244),
    (0.015861163, 0.019163294, 0.04651408, 146, 9, 95, 0, 233, 137),
    (0.045585513, 0.04741913, 0.091964275, 223, 60, 17, 252, 196, 102),
]


def grid(values, name):
    return Grid(jnp.asarray(values[f"{name}_scale"]), jnp.asarray(values[f"{name}_zero"], jnp.int32), 8, False)


def window_sizes(values):
    top, left, below, right = values["pads"].tolist()
    window, strides = (tuple(values[name].tolist()) for name in ("window", "strides"))
    return {"window": window, "strides": strides, "padding": ((top, below), (left, right))}


def answer(kind, values):
    """What our functions make of an operation's inputs, each compiled."""
    if kind == "quantize":
        return jax.jit(Grid.quantize)(grid(values, "y"), values["x"])
    if kind.startswith("add"):
        grids = (grid(values, name) for name in "aby")
        return jax.jit(quantization.integer_add)(values["a"], values["b"], *grids)
    if kind == "mean":
        return jax.jit(quantization.integer_mean)(values["x"], grid(values, "x"), grid(values, "y"))
    if "pool" in kind:
        pool = jax.jit(partial(quantization.integer_average_pool, **window_sizes(values)))
        return pool(values["x"], grid(values, "x"), grid(values, "y"))
    if "conv" in kind:
        top, left, below, right = values["pads"].tolist()
        sizes = {"strides": tuple(values["strides"].tolist()), "padding": ((top, below), (left, right))}
        layer = jax.jit(partial(quantization.integer_conv, **sizes))
    else:
        layer = jax.jit(quantization.integer_dense)
    total = layer(values["x"], values["x_zero"], values["w"], values["b"])
    if kind == "logits":
        return jax.jit(quantization.dequantize_sum)(total, values["x_scale"], values["w_scale"])
    return jax.jit(quantization.requantize)(total, values["x_scale"], values["w_scale"], grid(values, "y"))


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("kind", CASES)
def test_equals_what_onnxruntime_has_answered(kind, seed):
    values = stored(kind, seed)
    assert len(np.unique(values["y"])) > 10  # not only what is clipped
    np.testing.assert_array_equal(answer(kind, values), values["y"])


@pytest.mark.parametrize("kind", CASES)
def test_equals_what_onnxruntime_answers(kind):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    for seed in range(2, 7):
        values = case(kind, seed, channels=3)
        np.testing.assert_array_equal(answer(kind, values), values["y"])


@pytest.mark.parametrize("tie", TIES)
def test_sums_are_fused_as_onnxruntime_fuses_them(tie):
    *scales, zero_a, zero_b, zero, a, b, expected = tie
    grids = [Grid(jnp.float32(s), jnp.int32(z), 8, False) for s, z in zip(scales, (zero_a, zero_b, zero), strict=True)]
    assert quantization.integer_add(jnp.array(a), jnp.array(b), *grids) == expected
    a, b, fixed = (np.float32(n) for n in (a, b, zero))
    ratio_a, ratio_b = np.float32(scales[:2]) / np.float32(scales[2])
    fixed -= ratio_a * np.float32(zero_a) + ratio_b * np.float32(zero_b)
    assert np.rint((a * ratio_a + fixed) + b * ratio_b) != expected


def by_loops(x, zero_point, kernel, bias, strides, padding, dilation):
    """A convolution in int64, one output after another."""
    x = np.pad(x.astype(np.int64) - zero_point, ((0, 0), *padding, (0, 0)))
    height, width, inputs, outputs = kernel.shape
    reach = [(side - 1) * apart + 1 for side, apart in zip((height, width), dilation, strict=True)]
    rows, columns = ((x.shape[1 + i] - reach[i]) // strides[i] + 1 for i in range(2))
    in_group = outputs // (x.shape[-1] // inputs)
    total = np.zeros((len(x), rows, columns, outputs), np.int64)
    for b, r, c, o in itertools.product(*(range(side) for side in total.shape)):
        down = slice(r * strides[0], r * strides[0] + reach[0], dilation[0])
        right = slice(c * strides[1], c * strides[1] + reach[1], dilation[1])
        first = o // in_group * inputs
        patch = x[b, down, right, first : first + inputs]
        total[b, r, c, o] = patch.ravel() @ kernel[..., o].ravel() + bias[o]
    return total


GROUPED = [(3, 2, 2, 4), (2, 2, 2, 6), (2, 2, 1, 8)]  # two groups, of two or three outputs; four with two each


@pytest.mark.parametrize("shape", [(3, 2, 4, 5), (2, 3, 1, 4), *GROUPED])
@pytest.mark.parametrize("dilation", [(1, 1), (2, 3)])
@pytest.mark.parametrize(("strides", "padding"), [((1, 1), ((1, 0), (2, 1))), ((2, 3), ((0, 1), (0, 0)))])
def test_convolutions_equal_loops_where_float32_does_not_hold_the_sum(shape, strides, padding, dilation):
    x, kernel = RNG.integers(0, 256, (2, 7, 8, 4)), RNG.integers(-127, 128, shape).astype(np.int64)
    bias = RNG.integers(-(2**29), 2**29, shape[-1])
    layer = partial(quantization.integer_conv, strides=strides, padding=padding, dilation=dilation)
    total = layer(x, 131, kernel, bias)
    assert total.dtype == jnp.int32
    np.testing.assert_array_equal(total, by_loops(x, 131, kernel, bias, strides, padding, dilation))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("dilation", [(1, 1), (2, 2)])
def test_padding_by_name_is_that_of_the_float_convolution(padding, stride, dilation):
    x, kernel = RNG.integers(0, 256, (1, 6, 7, 2)), RNG.integers(-9, 10, (3, 2, 2, 3))
    expected = jax.lax.conv_general_dilated(
        x.astype(np.float32),
        kernel.astype(np.float32),
        (stride, stride),
        padding,
        rhs_dilation=dilation,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    layer = partial(quantization.integer_conv, strides=(stride, stride), padding=padding, dilation=dilation)
    total = layer(x, 0, kernel, np.zeros(3, int))
    np.testing.assert_array_equal(total, expected)


def test_dense_sums_are_exact():
    x, kernel = RNG.integers(0, 256, (3, 4000)), RNG.integers(-127, 128, (4000, 5)).astype(np.int64)
    bias = np.array([2**30, -(2**30), 1, 0, 77])
    total = quantization.integer_dense(np.maximum(x, 200), 3, np.abs(kernel), bias)
    np.testing.assert_array_equal(total, (np.maximum(x, 200) - 3) @ np.abs(kernel) + bias)
    assert np.abs(total).max() > 2**24


def test_requantised_by_hand():
    # Of 1/2 · 1/4 over 1/4: multiples are halves, which go to even; then the zero point; then the ends.
    whole = Grid(jnp.float32(0.25), jnp.int32(2), 4, False)
    codes = quantization.requantize(jnp.array([[1], [3], [-1], [-3], [-9], [99]]), 0.5, jnp.array([0.25]), whole)
    np.testing.assert_array_equal(codes.ravel(), [2, 4, 2, 0, 0, 15])


def test_scales_that_a_program_holds_as_constants_are_those_that_it_is_given():
    """XLA divides by constants in a way of its own, and where a multiple lies between two codes the other comes out."""
    rng = np.random.default_rng(0)
    x_scale, w_scale, scale = np.float32(0.0137), rng.uniform(0.001, 0.01, 64).astype(np.float32), np.float32(0.0331)
    step = x_scale * w_scale / scale
    near = (rng.integers(0, 250, (40_000, 64)) + 0.5) / step  # between two codes, or nearly
    total = np.rint(near).astype(np.int32)
    on_grid = Grid(jnp.asarray(scale), jnp.int32(3), 8, False)
    given, held = (
        jax.jit(quantization.requantize),
        jax.jit(lambda t: quantization.requantize(t, x_scale, w_scale, on_grid)),
    )
    expected = np.clip(np.rint(total.astype(np.float32) * step) + 3, 0, 255)
    np.testing.assert_array_equal(given(total, x_scale, w_scale, on_grid), expected)
    np.testing.assert_array_equal(held(total), expected)


def test_biases():
    step = np.float32(0.02) * np.float32([0.003, 0.001])
    bias = np.float32([1.5, -2.0])
    np.testing.assert_array_equal(
        quantization.quantize_bias(bias, 0.02, np.float32([0.003, 0.001])), np.rint(bias / step)
    )


def test_jit_and_vmap_change_nothing():
    values = stored("add", 0)
    grids = [grid(values, name) for name in "aby"]
    over = jax.vmap(lambda a, b: quantization.integer_add(a, b, *grids))(values["a"], values["b"])
    np.testing.assert_array_equal(over, quantization.integer_add(values["a"], values["b"], *grids))
    np.testing.assert_array_equal(over, values["y"])
    constants = jax.jit(lambda a, b: quantization.integer_add(a, b, *grids))  # scales that XLA can look at
    np.testing.assert_array_equal(constants(values["a"], values["b"]), values["y"])


def test_what_does_not_fit_is_refused():
    for shape in ((1, 1, 3, 4), (1, 1, 2, 5), (1, 1, 8, 4)):
        with pytest.raises(UserError, match="4 channels do not fall into groups"):
            quantization.integer_conv(np.zeros((1, 3, 3, 4), int), 0, np.zeros(shape, int), np.zeros(shape[-1], int))
    wide = Grid(jnp.float32(1), jnp.int32(0), 9, False)
    with pytest.raises(UserError, match="at most 8"):
        quantization.integer_add(np.zeros(1, int), np.zeros(1, int), wide, wide, wide)


@pytest.mark.parametrize("sides", [(7, 7), (4, 4), (3, 5), (1, 3), (14, 14)])
def test_means_between_two_codes_go_where_onnxruntime_lets_them_go(sides):
    """Of sums that are ties, many: by which numbers they are multiplied, and in which order, decides."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    pixels, halves = sides[0] * sides[1], []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        step = 2 * (pixels // 2 + 1)
        values = mean(rng, (32, *sides, 64), ratio=step / pixels)
        total = (values["x"].astype(int) - values["x_zero"]).sum((1, 2))
        halves.append((total % step == step // 2).sum())
        np.testing.assert_array_equal(answer("mean", values), values["y"])
    assert sum(halves) > 20


@pytest.mark.parametrize(("window", "ratio"), [((2, 2), 1.0), ((2, 2), 0.5), ((3, 3), 2 / 3), ((1, 2), 1.0)])
def test_pooled_means_between_two_codes_go_where_onnxruntime_lets_them_go(window, ratio):
    """Of means that are ties, many; to round them before the zero point is added gives others."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    rounded_first = 0
    for seed in range(3):
        values = average_pool(np.random.default_rng(seed), (4, 16, 16, 32), window, strides=window, ratio=ratio)
        found = np.asarray(answer("average pool", values))
        np.testing.assert_array_equal(found, values["y"])
        x, (_, rows, columns, _), (height, width) = values["x"].astype(int) - values["x_zero"], found.shape, window
        windows = x[:, : rows * height, : columns * width].reshape(4, rows, height, columns, width, 32)
        multiples = np.rint(windows.mean((2, 4)) / ratio)
        rounded_first += (np.clip(multiples + int(values["y_zero"]), 0, 255) != found).sum()
    assert rounded_first > 20
