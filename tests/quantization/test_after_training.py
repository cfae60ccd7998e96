"""Bias correction and equalisation: by hand, what they keep, and what they are for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax.errors import UserError
from effjax.quantization import correct_bias, equalize, weight_grid

RNG = np.random.default_rng(13)


def test_the_corrected_outputs_have_the_mean_that_they_had():
    kernel, bias = RNG.normal(0, 1, (6, 3)).astype(np.float32), RNG.normal(0, 1, 3).astype(np.float32)
    x = RNG.uniform(0, 1, (50, 6)).astype(np.float32)
    coarse = weight_grid(kernel, bits=2).fake_quantize(kernel)
    before, after = (x @ kernel + bias).mean(0), (x @ coarse + bias).mean(0)
    assert np.abs(after - before).max() > 0.1
    corrected = jax.jit(correct_bias)(bias, before, after)
    np.testing.assert_allclose((x @ coarse + corrected).mean(0), before, atol=1e-5)


def test_a_correction_by_hand():
    corrected = correct_bias(jnp.array([1.0, 2.0], jnp.bfloat16), np.array([0.5, 0.0]), np.array([0.25, 1.0]))
    np.testing.assert_array_equal(corrected, [1.25, 1.0])
    assert corrected.dtype == jnp.float32


def test_an_equalisation_by_hand():
    # Largest weights 8 and 2, 1 and 9: s = √(8·2)/2 = 2 and √(1·9)/9 = 1/3.
    first, bias, second = equalize(
        np.array([[8.0, 1.0], [-4.0, 0.5]]), np.array([6.0, 1.0]), np.array([[2.0, -1.0], [3.0, -9.0]])
    )
    np.testing.assert_allclose(first, [[4, 3], [-2, 1.5]], rtol=1e-6)
    np.testing.assert_allclose(bias, [3, 3], rtol=1e-6)
    np.testing.assert_allclose(second, [[4, -2], [1, -3]], rtol=1e-6)


def two_layers(x, kernel, bias, next_kernel, activation, groups):
    names = ("NHWC", "HWIO", "NHWC")
    x = activation(jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=names) + bias)
    return jax.lax.conv_general_dilated(
        x, next_kernel, (1, 1), "SAME", dimension_numbers=names, feature_group_count=groups
    )


@pytest.mark.parametrize(("shape", "in_axis", "groups"), [((3, 3, 4, 5), -2, 1), ((3, 3, 1, 4), -1, 4)])
def test_a_relu_lets_the_factors_through_and_a_relu6_does_not(shape, in_axis, groups):
    x = RNG.normal(0, 3, (2, 5, 5, 3)).astype(np.float32)
    uneven = np.float32([0.1, 1, 10, 3])
    kernel, bias = (RNG.normal(0, 1, size).astype(np.float32) * uneven for size in ((1, 1, 3, 4), 4))
    next_kernel = RNG.normal(0, 1, shape).astype(np.float32)
    layers = kernel, bias, next_kernel
    balanced = jax.jit(equalize, static_argnames="in_axis")(*layers, in_axis=in_axis)
    first = np.abs(balanced[0]).max((0, 1, 2))
    second = np.abs(balanced[2]).max(tuple(i for i in range(4) if i != in_axis % 4))
    np.testing.assert_allclose(first, second, rtol=1e-5)
    for activation, is_kept in ((jax.nn.relu, True), (lambda x: x, True), (jax.nn.relu6, False)):
        outputs = [two_layers(x, *given, activation, groups) for given in (layers, balanced)]
        assert np.allclose(*outputs, rtol=1e-3, atol=1e-3) == is_kept


def test_it_serves_a_grid_for_the_whole_tensor():
    kernel = RNG.normal(0, 1, (8, 4)).astype(np.float32) * np.float32([0.01, 1, 1, 10])
    next_kernel = RNG.normal(0, 1, (4, 6)).astype(np.float32)

    def error(kernel, next_kernel):
        coarse = []
        for weights in (kernel, next_kernel):
            grid = weight_grid(jnp.ravel(weights)[:, None], bits=4)  # one channel of all
            coarse.append(grid.fake_quantize(jnp.ravel(weights)[:, None]).reshape(weights.shape))
        return np.square(coarse[0] @ coarse[1] - kernel @ next_kernel).mean(0).sum()

    first, _, second = equalize(kernel, np.zeros(4, np.float32), next_kernel)
    assert error(first, second) < 0.5 * error(kernel, next_kernel)


def test_channels_without_weights_and_extremes_stay_finite():
    kernel = np.float32([[0.0, 1.0, 1e30, 1e-30, 1e38]])
    next_kernel = np.float32([[1.0], [0.0], [1e-30], [1e30], [1e38]])
    first, bias, second = equalize(kernel, np.ones(5, np.float32), next_kernel)
    np.testing.assert_allclose(first, [[0, 1, 1, 1, 1e38]], rtol=1e-5)
    np.testing.assert_allclose(second.ravel(), [1, 0, 1, 1, 1e38], rtol=1e-5)
    assert np.isfinite(bias).all()


def test_layers_that_do_not_fit_are_refused():
    with pytest.raises(UserError, match="4 channels come out"):
        equalize(np.ones((3, 4)), np.ones(4), np.ones((3, 3, 5, 6)))
