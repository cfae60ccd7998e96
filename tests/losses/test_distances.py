"""ICKD, SRD, PAD and SKD against numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax import losses
from effjax.errors import UserError

RNG = np.random.default_rng(7)
STUDENT, TEACHER = RNG.normal(0, 2, (2, 7, 5)).astype(np.float32)


def test_channels_correlate_as_the_teachers():
    student, teacher = (
        RNG.normal(size=(3, 4, 2, 5)).astype(np.float32),
        RNG.normal(size=(3, 2, 2, 5)).astype(np.float32),
    )

    def rows(maps):
        flat = maps.reshape(-1, maps.shape[-1])
        gram = flat.T @ flat
        return gram / np.linalg.norm(gram, axis=1, keepdims=True)

    expected = [np.square(rows(s) - rows(t)).sum() / 5 for s, t in zip(student, teacher, strict=True)]
    np.testing.assert_allclose(losses.channel_correlation(student, teacher), expected, rtol=1e-5)
    np.testing.assert_allclose(losses.channel_correlation(3 * teacher, teacher), 0, atol=1e-10)


@pytest.mark.parametrize("power", [4.0, 1.5])
def test_the_logarithm_of_a_batchs_distance(power):
    expected = np.log((np.abs(STUDENT - TEACHER).astype(float) ** power).sum())
    np.testing.assert_allclose(losses.log_distance(STUDENT, TEACHER, power=power), expected, rtol=1e-5)
    # Whatever the scale: its powers would leave the range.
    large = losses.log_distance(1e15 * STUDENT, 1e15 * TEACHER, power=power)
    np.testing.assert_allclose(large, expected + power * np.log(1e15), rtol=1e-5)
    gradient = jax.grad(losses.log_distance)(jnp.asarray(STUDENT), TEACHER, power=power)
    difference = (STUDENT - TEACHER).astype(float)
    shares = np.sign(difference) * np.abs(difference) ** (power - 1) / np.exp(expected)
    np.testing.assert_allclose(gradient, power * shares, rtol=1e-4, atol=1e-6)


def test_a_batch_that_has_arrived_has_a_gradient():
    for loss in (losses.log_distance, losses.gram_distance):
        value, gradient = jax.value_and_grad(lambda s, loss=loss: loss(s, TEACHER).sum())(jnp.asarray(TEACHER))
        assert np.isfinite(value)
        np.testing.assert_array_equal(gradient, 0)


def test_variances_weigh_distances():
    spread = RNG.normal(size=(7, 5)).astype(np.float32)
    expected = (np.square(STUDENT - TEACHER) / np.exp(spread) + spread).mean(1)
    np.testing.assert_allclose(losses.adaptive_distance(STUDENT, TEACHER, spread), expected, rtol=1e-5)
    # The best variance is the squared distance.
    best = np.log(np.square(STUDENT - TEACHER))
    gradient = jax.grad(lambda x: losses.adaptive_distance(STUDENT, TEACHER, x).sum())(best)
    np.testing.assert_allclose(gradient, 0, atol=1e-5)
    with pytest.raises(AssertionError):
        losses.adaptive_distance(STUDENT, TEACHER, spread[:1])


@pytest.mark.parametrize("ridge", [0.1, 2.0])
def test_cosines_by_their_covariance(ridge):
    other = RNG.normal(size=(7, 9)).astype(np.float32)
    cosines = [(x / np.linalg.norm(x, axis=1, keepdims=True)) for x in (STUDENT, other)]
    difference = cosines[0] @ cosines[0].T - cosines[1] @ cosines[1].T
    inverse = np.linalg.inv(np.cov(difference.T) + ridge * np.eye(7))
    expected = [np.sqrt(row @ inverse @ row) for row in difference]
    np.testing.assert_allclose(losses.gram_distance(STUDENT, other, ridge=ridge), expected, rtol=1e-4)
    assert np.isfinite(losses.gram_distance(STUDENT[:1], other[:1]))


@pytest.mark.parametrize(
    ("loss", "option", "least"), [(losses.log_distance, "power", 1.0), (losses.gram_distance, "ridge", 0.0)]
)
def test_numbers_that_are_refused(loss, option, least):
    for value in (least, -1.0, np.nan):
        with pytest.raises(UserError, match=rf"{loss.__name__}: {option}={value!r} must be above {least:g}"):
            loss(STUDENT, TEACHER, **{option: value})
