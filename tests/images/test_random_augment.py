"""RandAugment: what it draws, and that an example's fate is its own."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax import images as ops
from effjax.images.examples import each_example
from effjax.images.random_augment import _augment_one

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 9, 8, 3)).astype(np.float32) / 255
KEYS = jax.random.split(jax.random.key(3), 12)
MAGNITUDES = np.linspace(0, 10, 12, dtype=np.float32)
augment = jax.jit(ops.random_augment, static_argnames="num_ops")


@pytest.fixture(scope="module")
def whole():
    return np.asarray(augment(KEYS, IMAGES, MAGNITUDES))


def test_an_example_is_changed_by_its_key_and_not_by_its_place(whole):
    order = np.random.default_rng(1).permutation(12)
    np.testing.assert_array_equal(augment(KEYS[order], IMAGES[order], MAGNITUDES[order]), whole[order])
    assert (augment(KEYS[::-1], IMAGES, MAGNITUDES) != whole).any()


def test_a_part_without_jit_is_the_same(whole):
    np.testing.assert_allclose(ops.random_augment(KEYS[4:9], IMAGES[4:9], MAGNITUDES[4:9]), whole[4:9], atol=1e-6)


def test_all_branches_at_once_are_the_same(whole):
    at_once = jax.jit(jax.vmap(partial(_augment_one, num_ops=2)))
    np.testing.assert_allclose(at_once(KEYS, IMAGES, MAGNITUDES), whole, atol=1e-6)


def test_images_stay_in_range_and_many_change(whole):
    assert whole.min() >= 0
    assert whole.max() <= 1
    assert 4 <= (whole != IMAGES).any((1, 2, 3)).sum() <= 11  # three of four times something is drawn


def test_a_rising_magnitude_needs_no_new_program(whole):
    traced = []

    @jax.jit
    def augment(magnitude):
        traced.append(magnitude)
        return ops.random_augment(KEYS, IMAGES, magnitude)

    weak, strong = augment(1.0), augment(9.0)
    changed = [np.abs(np.asarray(result) - IMAGES).mean() for result in (weak, strong)]
    assert changed[0] < changed[1]
    for i in (2, 7):  # one magnitude for all is the same as one each
        np.testing.assert_allclose(augment(float(MAGNITUDES[i]))[i], whole[i], atol=1e-6)
    assert len(traced) == 1


def test_how_often_what_is_drawn_and_how_strong():
    """Of grey images of level 40, four operations change the pixel in the middle, and each can be told by how."""
    batch = 3000
    images = np.full((batch, 5, 5, 1), 40 / 255, np.float32)
    changed = np.asarray(augment(jax.random.key(0), images, 5.0, num_ops=1))[:, 2, 2, 0] * 255
    darker = changed[(changed > 10) & (changed < 31)]
    brighter = changed[(changed > 49) & (changed < 70)]
    counts = {
        "nothing": (np.abs(changed - 40) < 0.01).sum(),
        "darker": len(darker),
        "brighter": len(brighter),
        "added to": ((changed > 70) & (changed < 130)).sum(),
        "inverted": (np.abs(changed - 215) < 0.01).sum(),
        "posterized": ((np.abs(changed - 32) < 0.01) | (changed < 0.01)).sum(),
    }
    assert sum(counts.values()) == batch
    expected = {"nothing": 26, "darker": 0.5, "brighter": 0.5, "added to": 1, "inverted": 1, "posterized": 1}
    for what, share in expected.items():
        mean = batch * share / 30
        assert abs(counts[what] - mean) < 4 * np.sqrt(mean * (1 - share / 30)), (what, counts[what], mean)
    levels = np.concatenate([40 - darker, brighter - 40]) / 3.6
    assert abs(levels.mean() - 5) < 4 * 0.5 / np.sqrt(len(levels))
    assert 0.35 < levels.std() < 0.65


def test_bfloat16_stays():
    result = jax.eval_shape(ops.random_augment, jax.random.key(0), jnp.asarray(IMAGES, jnp.bfloat16), 9.0)
    assert result.dtype == jnp.bfloat16
    assert result.shape == IMAGES.shape


def test_gradients_are_finite():
    gradient = jax.jit(jax.grad(lambda images: jnp.square(ops.random_augment(KEYS, images, 9.0)).sum()))(IMAGES)
    assert np.isfinite(gradient).all()
    assert (gradient != 0).any((1, 2, 3)).sum() >= 8


def test_wrong_input_is_refused():
    for images in (IMAGES[0], (IMAGES * 255).astype(np.uint8)):
        with pytest.raises(AssertionError):
            ops.random_augment(jax.random.key(0), images, 9)
    with pytest.raises(AssertionError):
        ops.random_augment(KEYS[:5], IMAGES, 9)
    with pytest.raises(AssertionError):
        ops.random_augment(KEYS, IMAGES[..., :2], 9)


def test_each_example_takes_its_own_branch():
    def change(branch, x):
        return jax.lax.switch(branch, [lambda x: x, lambda x: -x, lambda x: 2 * x], x)

    x = jnp.arange(6.0).reshape(3, 2)
    np.testing.assert_array_equal(each_example(change, jnp.array([2, 0, 1]), x), [[0, 2], [2, 3], [-4, -5]])
