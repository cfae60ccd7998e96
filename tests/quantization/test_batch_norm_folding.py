"""Batch normalisation folded into layers: by hand, and against the two layers one after the other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax.errors import UserError
from effjax.quantization import fold_batch_norm

RNG = np.random.default_rng(11)
CHANNELS = 4


def statistics(rng=RNG):
    scale, offset, mean = rng.normal(0, 1, (3, CHANNELS)).astype(np.float32)
    return scale, offset, mean, rng.uniform(0.1, 3, CHANNELS).astype(np.float32)


def test_by_hand():
    # γ/√(σ² + ε) = 3/√(3 + 1) = 1.5
    kernel, bias = fold_batch_norm(
        np.array([[2.0]]), np.array([5.0]), *(np.array([v]) for v in (3.0, 0.25, 1.0, 3.0)), epsilon=1.0
    )
    np.testing.assert_array_equal(kernel, [[3.0]])
    np.testing.assert_array_equal(bias, [0.25 + (5 - 1) * 1.5])


@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("kind", ["conv", "depthwise", "dense"])
def test_equals_the_two_layers(kind, has_bias):
    shape = {"conv": (3, 3, 2, CHANNELS), "depthwise": (3, 3, 1, CHANNELS), "dense": (6, CHANNELS)}[kind]
    kernel = RNG.normal(0, 1, shape).astype(np.float32)
    bias = RNG.normal(0, 1, CHANNELS).astype(np.float32) if has_bias else None
    inputs = {"conv": (2, 5, 5, 2), "depthwise": (2, 5, 5, CHANNELS), "dense": (7, 6)}[kind]
    x = RNG.normal(0, 1, inputs).astype(np.float32)
    scale, offset, mean, variance = statistics()

    def layer(kernel, bias):
        if kind == "dense":
            return x @ kernel + bias
        groups = CHANNELS if kind == "depthwise" else 1
        names = ("NHWC", "HWIO", "NHWC")
        return bias + jax.lax.conv_general_dilated(
            x, kernel, (1, 1), "SAME", dimension_numbers=names, feature_group_count=groups
        )

    expected = (layer(kernel, 0 if bias is None else bias) - mean) / np.sqrt(variance + 1e-3) * scale + offset
    folded = jax.jit(fold_batch_norm)(kernel, bias, scale, offset, mean, variance, 1e-3)
    np.testing.assert_allclose(layer(*folded), expected, rtol=1e-4, atol=1e-5)


def test_precision_and_gradients():
    kernel = jnp.asarray(RNG.normal(0, 1, (3, CHANNELS)), jnp.bfloat16)
    scale, offset, mean, variance = statistics()
    folded, _ = fold_batch_norm(kernel, None, scale, offset, mean, variance, 1e-5)
    assert folded.dtype == jnp.float32
    exact = np.asarray(kernel, np.float64) * scale / np.sqrt(np.float64(variance) + 1e-5)
    np.testing.assert_allclose(folded, exact, rtol=4e-7)
    zero = np.zeros_like(variance)  # a channel that is always the same
    gradient = jax.grad(lambda v: fold_batch_norm(kernel, None, scale, offset, mean, v, 1e-5)[0].sum())(zero)
    assert np.isfinite(gradient).all()


def test_what_does_not_fit_is_refused():
    scale, offset, mean, variance = statistics()
    with pytest.raises(UserError, match=r"variance of shape \(3,\)"):
        fold_batch_norm(np.ones((2, CHANNELS)), None, scale, offset, mean, variance[:3], 1e-5)
