"""The iterated attack: its bounds, and that it works."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax import analysis

RNG = np.random.default_rng(6)
IMAGES = RNG.uniform(size=(6, 4, 4, 2)).astype(np.float32)
LABELS = np.arange(6) % 3
KERNEL = RNG.normal(size=(32, 3)).astype(np.float32)


def logits(images):
    return jnp.tanh(images.reshape(len(images), -1) @ KERNEL)


def loss(images):
    return -jax.nn.log_softmax(logits(images))[np.arange(6), LABELS]


@pytest.mark.parametrize("epsilon", [0.03, np.array([0.0, 0.2], np.float32)])
@pytest.mark.parametrize("bounds", [(0.0, 1.0), (np.array([0.2, -1.0]), np.array([0.7, 3.0]))])
def test_stays_in_the_ball_and_in_range_and_does_harm(epsilon, bounds):
    low, high = bounds
    images = np.clip(IMAGES, low, high).astype(np.float32)
    attack = functools.partial(analysis.ifgsm, logits, epsilon=epsilon, low=low, high=high)
    attacked = attack(images, LABELS)
    assert (np.abs(attacked - images) <= epsilon + 1e-6).all()
    assert (attacked >= low - 1e-6).all()
    assert (attacked <= high + 1e-6).all()
    assert (loss(attacked) > loss(images)).all()
    np.testing.assert_allclose(jax.jit(attack)(images, LABELS), attacked, atol=1e-6)


def test_a_linear_network_is_led_straight_away():
    weights = np.array([[1.0, -1.0], [-2.0, 2.0], [0.0, 0.0]], np.float32)  # pixels × classes
    images = np.full((1, 1, 3, 1), 0.5, np.float32)
    attacked = analysis.ifgsm(lambda x: x.reshape(1, 3) @ weights, images, np.array([0]), epsilon=0.1, steps=5)
    np.testing.assert_allclose(attacked.reshape(3), [0.4, 0.6, 0.5], atol=1e-6)


def test_steps_one_by_one_are_the_attack():
    attacked = IMAGES
    for _ in range(3):
        attacked = analysis.fgsm_step(
            logits, attacked, LABELS, IMAGES, epsilon=0.1, step_size=analysis.step_size(0.1, 3)
        )
    np.testing.assert_allclose(attacked, analysis.ifgsm(logits, IMAGES, LABELS, epsilon=0.1, steps=3), atol=1e-6)
    assert analysis.step_size(0.4, 5) == pytest.approx(0.1)
    first = analysis.fgsm_step(logits, IMAGES, LABELS, IMAGES, epsilon=0.1, step_size=0.01)
    np.testing.assert_allclose(np.abs(first - IMAGES).max(), 0.01, atol=1e-6)


def test_an_example_is_attacked_the_same_in_any_company():
    order = RNG.permutation(6)
    attacked = analysis.ifgsm(logits, IMAGES, LABELS, epsilon=0.1)
    np.testing.assert_allclose(
        analysis.ifgsm(logits, IMAGES[order], LABELS[order], epsilon=0.1), attacked[order], atol=1e-6
    )


@pytest.mark.parametrize(
    ("images", "labels", "origin"),
    [
        (IMAGES, LABELS[:1], IMAGES),
        (IMAGES, LABELS[:, None], IMAGES),
        (IMAGES, LABELS, IMAGES[:1]),
        (IMAGES, LABELS, IMAGES[..., :1]),
        (IMAGES[..., 0], LABELS, IMAGES[..., 0]),
    ],
)
def test_nothing_is_spread_to_fit(images, labels, origin):
    with pytest.raises(AssertionError):
        analysis.fgsm_step(logits, images, labels, origin, epsilon=0.1, step_size=0.1)
