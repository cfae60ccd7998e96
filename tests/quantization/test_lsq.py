"""Learned step sizes: by hand, against a loop over the published derivative, and what the parameter's gradient is."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from effjax.errors import UserError
from effjax.quantization import fake_quantize, initial_step, learned_step, limits, lsq_quantize

RNG = np.random.default_rng(7)


def reference(x, step, zero_point, upstream, bits, signed):
    """The gradients to x and to the step, one number after another."""
    low, high = (limit - zero_point for limit in limits(bits, signed))
    to_x, to_step = [], 0.0
    for value, up in zip(x.astype(np.float64), upstream, strict=True):
        v = value / step
        to_x.append(up if low < v < high else 0.0)
        to_step += up * (low if v <= low else high if v >= high else round(v) - v)
    return to_x, to_step / np.sqrt(len(x) * high)


def test_by_hand():
    # Steps of 2, codes 0 to 3: v = -1/4 (below), 3/8, 5/4, 4 (above). Of the step: 0, -3/8, -1/4, 3.
    x = jnp.array([-0.5, 0.75, 2.5, 8.0])
    value, (to_x, to_log) = jax.value_and_grad(lambda x, s: lsq_quantize(x, s, bits=2).sum(), (0, 1))(x, jnp.log(2.0))
    assert value == 0 + 0 + 2 + 6
    np.testing.assert_array_equal(to_x, [0, 1, 1, 0])
    np.testing.assert_allclose(to_log, 2 * (3 - 3 / 8 - 1 / 4) / np.sqrt(4 * 3), rtol=1e-6)


def test_the_ends_of_the_range_are_outside_of_it():
    x = jnp.array([0.0, 3.0])  # the lowest and the highest code
    to_x, to_log = jax.grad(lambda x, s: lsq_quantize(x, s, bits=2).sum(), (0, 1))(x, 0.0)
    np.testing.assert_array_equal(to_x, [0, 0])
    np.testing.assert_allclose(to_log, (0 + 3) / np.sqrt(2 * 3), rtol=1e-6)


@pytest.mark.parametrize(("bits", "signed", "zero_point"), [(4, True, 0), (3, False, 0), (4, False, 5)])
def test_equals_the_reference(bits, signed, zero_point):
    x, upstream = RNG.normal(0, 2, (2, 60)).astype(np.float32)
    log_step = jnp.float32(-0.9)
    step = learned_step(log_step)

    def total(x, log_step):
        values = lsq_quantize(x, log_step, zero_point, bits=bits, signed=signed)
        return (upstream * values).sum(), values

    (_, values), (to_x, to_log) = jax.jit(jax.value_and_grad(total, (0, 1), has_aux=True))(x, log_step)
    expected_x, expected_step = reference(x, float(step), zero_point, upstream, bits, signed)
    np.testing.assert_allclose(to_x, expected_x, rtol=1e-6)
    np.testing.assert_allclose(to_log, float(step) * expected_step, rtol=1e-4)
    np.testing.assert_array_equal(values, fake_quantize(x, step, zero_point, bits=bits, signed=signed))
    np.testing.assert_array_equal(values, total(x, log_step)[1])


@pytest.mark.parametrize("axis", [0, -1])
def test_channels_have_steps_of_their_own(axis):
    x, upstream = RNG.normal(0, 1, (2, 4, 4)).astype(np.float32)
    log_step = jnp.linspace(-3.0, 0.0, 4)

    def gradients(x, log_step, upstream, axis=None):
        return jax.grad(lambda x, s: (upstream * lsq_quantize(x, s, bits=4, signed=True, axis=axis)).sum(), (0, 1))(
            x, log_step
        )

    to_x, to_log = gradients(x, log_step, upstream, axis)
    one_by_one = jax.vmap(gradients, in_axes=(axis, 0, axis), out_axes=(axis, 0))(x, log_step, upstream)
    np.testing.assert_allclose(to_x, one_by_one[0])
    np.testing.assert_allclose(to_log, one_by_one[1], rtol=1e-5)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("log_step", [-1e4, -50.0, 0.0, 1e4])
def test_extremes_stay_finite(log_step, dtype):
    x = jnp.array([1e4, -1e4, 0.0, 1e-3], dtype)
    value, (to_x, to_log) = jax.value_and_grad(lambda x, s: lsq_quantize(x, s, bits=8, signed=True).sum(), (0, 1))(
        x, jnp.asarray(log_step, dtype)
    )
    assert np.isfinite(value)
    assert value.dtype == jnp.float32
    assert to_x.dtype == to_log.dtype == dtype
    assert np.isfinite(np.append(to_x, to_log).astype(np.float32)).all()


def test_the_start():
    x = np.array([[1.0, -3.0], [0.0, 0.0]])
    np.testing.assert_allclose(initial_step(x, bits=3), 2 * 1 / np.sqrt(7), rtol=1e-6)
    np.testing.assert_allclose(initial_step(x, bits=3, signed=True, axis=0), [2 * 2 / np.sqrt(3), 1], rtol=1e-6)


def test_adam_finds_the_step_of_least_error():
    x = RNG.normal(0, 1, 4000).astype(np.float32)

    def error(log_step):
        return jnp.square(lsq_quantize(x, log_step, bits=4, signed=True) - x).mean()

    candidates = jnp.linspace(-3.0, 0.0, 200)
    least = jnp.exp(candidates[jnp.argmin(jax.lax.map(error, candidates))])
    adam = optax.adam(2e-2)

    @jax.jit
    def train(state, _):
        log_step, moments = state
        updates, moments = adam.update(jax.grad(error)(log_step), moments)
        return (log_step + updates, moments), None

    start = jnp.log(4 * initial_step(x, bits=4, signed=True))
    (log_step, _), _ = jax.lax.scan(train, (start, adam.init(start)), length=300)
    np.testing.assert_allclose(learned_step(log_step), least, rtol=0.1)


def test_steps_that_do_not_fit_are_refused():
    with pytest.raises(UserError, match="log_step"):
        lsq_quantize(jnp.ones((2, 3)), jnp.zeros(2), bits=4, axis=1)
