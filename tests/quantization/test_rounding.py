"""AdaRound: its parts by hand, and that it finds roundings whose outputs are nearer than those of the nearest."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax.errors import UserError
from effjax.quantization import (
    Grid,
    adaround,
    adaround_weights,
    initial_rounding,
    rectified_sigmoid,
    rounding_regularizer,
    weight_grid,
)

RNG = np.random.default_rng(12)
UNIT = Grid(jnp.float32(1.0), jnp.int32(0), 4, True)


def test_the_sigmoid_by_hand():
    # σ = 1/12 and 11/12 are where it reaches 0 and 1; σ(log 3) = 3/4 gives 1.2 · 3/4 − 0.1.
    v = jnp.array([-np.log(11.0), 0.0, np.log(3.0), np.log(11.0), 1e4, -1e4])
    np.testing.assert_allclose(rectified_sigmoid(v), [0, 0.5, 0.8, 1, 1, 0], atol=1e-6)


def test_the_regularizer_by_hand():
    v = jnp.array([0.0, np.log(3.0), 9.0])  # h = 1/2, 4/5, 1
    np.testing.assert_allclose(rounding_regularizer(v, 2.0), 1 + (1 - 0.6**2) + 0, rtol=1e-5)
    np.testing.assert_allclose(rounding_regularizer(v, 20.0), 1 + (1 - 0.6**20) + 0, rtol=1e-5)
    for beta in (2.0, 2.5, 20.0):
        gradient = jax.grad(rounding_regularizer)(jnp.append(v, jnp.array([1e4, -1e4])), beta)
        assert np.isfinite(gradient).all()
        assert gradient[0] == 0
        assert gradient[1] < 0  # up, to the nearer end


@pytest.mark.parametrize("shape", [(3, 3, 2, 4), (5, 4)])
def test_the_start_leaves_weights_where_they_are(shape):
    weights = RNG.normal(0, 1, shape).astype(np.float32)
    grid = weight_grid(weights, bits=4)
    v = initial_rounding(weights, grid)
    np.testing.assert_allclose(adaround_weights(weights, v, grid), weights, atol=2e-6)
    nearest = adaround_weights(weights, v, grid, is_hard=True)
    np.testing.assert_allclose(nearest, grid.fake_quantize(weights), atol=1e-6)
    assert np.isfinite(v).all()


def test_hard_and_soft_by_hand():
    weights, v = jnp.array([2.25, 2.25, -0.5, 6.9, -6.5]), jnp.array([0.1, -0.1, -9.0, 9.0, -9.0])
    np.testing.assert_array_equal(adaround_weights(weights, v, UNIT, is_hard=True), [3, 2, -1, 7, -7])
    soft = adaround_weights(weights, v, UNIT)
    np.testing.assert_allclose(soft, [2 + rectified_sigmoid(0.1), 2 + rectified_sigmoid(-0.1), -1, 7, -7], rtol=1e-6)
    gradient = jax.grad(lambda v: adaround_weights(weights, v, UNIT).sum())(v)
    np.testing.assert_array_equal(gradient > 0, [True, True, False, False, False])


def error(inputs, kernel, outputs):
    return float(np.square(inputs @ kernel - outputs).sum())


def test_it_is_nearer_than_the_nearest_and_nearly_the_best():
    kernel = RNG.normal(0, 1, (8, 1)).astype(np.float32)
    grid = weight_grid(kernel, bits=3)
    mixing = RNG.normal(0, 1, (3, 8))  # inputs that depend on one another: errors can undo one another
    inputs = (RNG.normal(0, 1, (64, 3)) @ mixing + 0.1 * RNG.normal(0, 1, (64, 8))).astype(np.float32)
    outputs = inputs @ kernel
    rounded = adaround(kernel, grid, jnp.matmul, inputs, outputs, key=jax.random.key(0), steps=500)
    down = np.floor(kernel / np.asarray(grid.scale))
    tried = []
    for up in itertools.product([0, 1], repeat=8):
        codes = np.clip(down + np.array(up)[:, None], -3, 3)
        tried.append(error(inputs, codes * np.asarray(grid.scale), outputs))
    nearest = error(inputs, np.asarray(grid.fake_quantize(kernel)), outputs)
    found = error(inputs, np.asarray(rounded), outputs)
    assert found < 0.5 * nearest
    assert found <= np.quantile(tried, 0.1)
    np.testing.assert_allclose(rounded, grid.fake_quantize(rounded), rtol=1e-6)  # it is on the grid
    assert (np.abs(rounded - kernel) <= np.asarray(grid.scale) * 1.0001).all()  # at a neighbour
    again = adaround(kernel, grid, jnp.matmul, inputs, outputs, key=jax.random.key(0), steps=500)
    np.testing.assert_array_equal(again, rounded)


def test_a_convolution():
    def layer(x, kernel):
        return jax.nn.relu(
            jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        )

    kernel = RNG.normal(0, 1, (3, 3, 2, 3)).astype(np.float32)
    grid = weight_grid(kernel, bits=4)
    inputs = RNG.uniform(0, 1, (16, 5, 5, 2)).astype(np.float32)  # their mean is not 0
    outputs = layer(inputs, kernel)
    rounded = adaround(kernel, grid, layer, inputs, outputs, key=jax.random.key(1), steps=400, batch_size=8)
    errors = [float(jnp.square(layer(inputs, k) - outputs).mean()) for k in (rounded, grid.fake_quantize(kernel))]
    assert errors[0] < 0.7 * errors[1]


def test_bfloat16_goes_in():
    kernel = jnp.asarray(RNG.normal(0, 1, (4, 2)), jnp.bfloat16)
    grid, inputs = weight_grid(kernel, bits=4), jnp.ones((3, 4), jnp.bfloat16)
    rounded = adaround(kernel, grid, jnp.matmul, inputs, inputs @ kernel, key=jax.random.key(0), steps=3)
    assert rounded.dtype == jnp.float32
    assert np.isfinite(rounded).all()


def test_outputs_of_other_inputs_are_refused():
    with pytest.raises(UserError, match="outputs of 2 examples"):
        adaround(np.ones((3, 1)), UNIT, jnp.matmul, np.ones((4, 3)), np.ones((2, 1)), key=jax.random.key(0))


def rounded_up(rests, wanted, steps, rate, weight):
    """Whether weights between 0 and 1 go up, each by itself: gradients by hand, Adam, float64."""
    v = -np.log(1.2 / (rests + 0.1) - 1)
    mean, square = np.zeros_like(v), np.zeros_like(v)
    for step in range(steps):
        sigmoid = 1 / (1 + np.exp(-v))
        h = np.clip(1.2 * sigmoid - 0.1, 0, 1)
        slope = 1.2 * sigmoid * (1 - sigmoid) * ((h > 0) & (h < 1))
        gradient = 2 * weight * (h - wanted) * slope
        progress = step / steps
        if progress >= 0.2:
            beta = 2 + 18 / 2 * (1 + np.cos(np.pi * (progress - 0.2) / 0.8))
            side = 2 * h - 1
            gradient -= 0.01 * beta * np.abs(side) ** (beta - 1) * np.sign(side) * 2 * slope
        mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
        v -= rate * (mean / (1 - 0.9 ** (step + 1))) / (np.sqrt(square / (1 - 0.999 ** (step + 1))) + 1e-8)
    return v >= 0


def test_every_step_against_float64():
    rests, wanted = RNG.uniform(0.02, 0.98, 4000), RNG.uniform(0.02, 0.98, 4000)
    kernel = rests.astype(np.float32)[None]
    # Of these sizes the outputs weigh about as much as the regulariser.
    for steps, rate, size in ((60, 0.03, 0.03), (100, 0.05, 0.04)):
        given = UNIT, lambda x, kernel: x * kernel, np.full((3, 1), size), np.tile(size * wanted, (3, 1))
        rounded = adaround(kernel, *given, key=jax.random.key(0), steps=steps, learning_rate=rate)
        up = rounded_up(rests, wanted, steps, rate, size**2)
        assert (np.asarray(rounded)[0] == up).mean() >= 0.999
        assert 0.05 < (up != (rests >= 0.5)).mean() < 0.6
