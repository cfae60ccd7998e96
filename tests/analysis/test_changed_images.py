"""Transformations and unseen domains."""

import colorsys
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax import analysis

RNG = np.random.default_rng(7)
IMAGES = RNG.uniform(size=(5, 9, 11, 3)).astype(np.float32)
KEYS = jax.random.split(jax.random.key(1), 5)
RANDOM = {
    "color_jitter": analysis.color_jitter,
    "random_resized_crop": analysis.random_resized_crop,
    "add_noise": analysis.add_noise,
    "shuffle_patches": functools.partial(analysis.shuffle_patches, patches=3),
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", RANDOM)
def test_by_the_examples_own_key(name, channels):
    images, order = IMAGES[..., :channels], np.array([4, 0, 3, 1, 2])
    change = jax.jit(RANDOM[name])
    changed = np.asarray(change(KEYS, images))
    assert changed.shape == images.shape
    assert changed.min() >= -1e-6
    assert changed.max() <= 1 + 1e-6
    assert (np.abs(changed - images).max((1, 2, 3)) > 1e-3).all()
    np.testing.assert_allclose(change(KEYS[order], images[order]), changed[order], atol=1e-6)
    assert not np.allclose(changed, change(KEYS[order], images))


def test_nothing_changes_where_nothing_may():
    same = analysis.color_jitter(KEYS, IMAGES, brightness=0.0, contrast=0.0, hue=0.0)
    np.testing.assert_allclose(same, IMAGES, atol=1e-5)
    np.testing.assert_allclose(analysis.random_resized_crop(KEYS, IMAGES, min_area=1.0), IMAGES, atol=1e-5)
    np.testing.assert_array_equal(analysis.add_noise(KEYS, IMAGES, deviation=0.0), IMAGES)


def test_hue_turns_colours_and_leaves_greys():
    grey = np.broadcast_to(IMAGES[..., :1], IMAGES.shape)
    turn = functools.partial(analysis.color_jitter, brightness=0.0, contrast=0.0, hue=0.5)
    np.testing.assert_allclose(turn(KEYS, grey), grey, atol=1e-3)
    red = jnp.zeros((5, 2, 2, 3)).at[..., 0].set(0.5).at[..., 1:].set(0.3)
    hues = [colorsys.rgb_to_hsv(*pixel)[0] for pixel in np.asarray(turn(KEYS, red))[:, 0, 0].tolist()]
    assert len({round(hue, 2) for hue in hues}) > 2
    luma = np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(turn(KEYS, red) @ luma, red @ luma, atol=1e-3)


@pytest.mark.parametrize("most", [0.1, 0.5])
def test_hue_turns_colours_alike_by_every_angle_that_is_allowed(most):
    colours = np.array([[[0.5, 0.4, 0.4], [0.4, 0.52, 0.45]]], np.float32)  # none leaves [0, 1] as it turns
    keys = jax.random.split(jax.random.key(2), 400)
    turn = functools.partial(analysis.color_jitter, brightness=0.0, contrast=0.0, hue=most)
    turned = np.asarray(turn(keys, np.broadcast_to(colours, (400, *colours.shape))))
    basis = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
    (luma, i, q), (luma_before, *before) = np.moveaxis(turned @ basis.T, -1, 0), np.moveaxis(colours @ basis.T, -1, 0)
    np.testing.assert_allclose(luma, np.broadcast_to(luma_before, luma.shape), atol=1e-3)
    ratio = (i + 1j * q) / (before[0] + 1j * before[1])
    np.testing.assert_allclose(np.abs(ratio), 1, atol=5e-3)
    angles = np.angle(ratio[:, 0]) / (2 * np.pi)
    np.testing.assert_allclose(np.angle(ratio / ratio[:, :, :1]), 0, atol=1e-2)  # one angle for all of an image
    np.testing.assert_allclose(np.quantile(angles, [0, 0.25, 0.5, 0.75, 1]) / most, [-1, -0.5, 0, 0.5, 1], atol=0.15)


def test_brightness_and_contrast_stay_within_their_factors():
    flat = np.full((5, 4, 4, 1), 0.4, np.float32)
    factor = analysis.color_jitter(KEYS, flat, brightness=0.5, contrast=0.0).reshape(5, -1) / 0.4
    assert (np.ptp(factor, axis=1) < 1e-6).all()
    assert ((factor >= 0.5 - 1e-6) & (factor <= 1.5 + 1e-6)).all()
    image = 0.45 + 0.1 * IMAGES[..., :1]
    changed = np.asarray(analysis.color_jitter(KEYS, image, brightness=0.0, contrast=0.5))
    np.testing.assert_allclose(changed.mean((1, 2, 3)), image.mean((1, 2, 3)), atol=1e-5)
    factor = changed.std((1, 2, 3)) / image.std((1, 2, 3))
    assert ((factor >= 0.5) & (factor <= 1.5)).all()


def test_crop_of_a_ramp_is_a_part_of_it():
    ramp = np.broadcast_to(np.linspace(0, 1, 16, dtype=np.float32)[:, None, None], (5, 16, 16, 1))
    cut = np.asarray(analysis.random_resized_crop(KEYS, ramp, min_area=0.25))[:, :, 0, 0]
    middle = np.diff(cut[:, 2:-2], axis=1)
    np.testing.assert_allclose(middle, middle[:, :1] * np.ones_like(middle), atol=1e-4)  # still a ramp
    slope = middle[:, 0] * 15
    assert ((slope > 0.5 - 1e-3) & (slope < 1 + 1e-3)).all()  # a side of ½ to 1


def test_patches_are_moved_whole():
    numbers = np.arange(5 * 9 * 11, dtype=np.float32).reshape(5, 9, 11, 1)
    shuffled = np.asarray(analysis.shuffle_patches(KEYS, numbers, patches=3))
    np.testing.assert_array_equal(np.sort(shuffled.reshape(5, -1)), numbers.reshape(5, -1))
    np.testing.assert_array_equal(shuffled[:, :, 9:], numbers[:, :, 9:])
    tiles = shuffled[:, :9, :9, 0].reshape(5, 3, 3, 3, 3)
    np.testing.assert_array_equal(tiles[..., 1] - tiles[..., 0], 1)
    np.testing.assert_array_equal(tiles[:, :, 1] - tiles[:, :, 0], 11)


def test_noise_is_what_the_key_draws():
    grey = np.full((5, 6, 7, 2), 0.5, np.float32)
    drawn = jnp.stack([jax.random.normal(key, (6, 7, 2)) for key in KEYS])
    np.testing.assert_allclose(analysis.add_noise(KEYS, grey, deviation=0.05), grey + 0.05 * drawn, atol=1e-6)


@pytest.mark.parametrize("name", RANDOM)
def test_one_key_an_image(name):
    for keys, images in ((KEYS[0], IMAGES), (KEYS, IMAGES[0]), (KEYS[:1], IMAGES), (KEYS, IMAGES[:1])):
        with pytest.raises(AssertionError):
            RANDOM[name](keys, images)
    for images in (IMAGES[..., 0], IMAGES[:, None]):
        with pytest.raises(AssertionError):
            RANDOM[name](KEYS, images)


@pytest.mark.parametrize("function", [analysis.edges, analysis.blur])
def test_what_is_no_batch_of_images_is_refused(function):
    for images in (IMAGES[0], IMAGES[None]):
        with pytest.raises(AssertionError):
            function(images)


def test_domains_by_hand():
    np.testing.assert_allclose(analysis.invert(IMAGES) + IMAGES, 1.0, rtol=1e-6)
    step = np.zeros((1, 4, 6, 1), np.float32)
    step[:, :, 3:] = 0.5
    np.testing.assert_allclose(analysis.edges(step)[0, :, :, 0], [[0, 0, 1, 1, 0, 0]] * 4, atol=1e-6)
    turned = analysis.edges(step.swapaxes(1, 2))[0, :, :, 0]
    np.testing.assert_allclose(turned, np.array([[0, 0, 1, 1, 0, 0]] * 4).T, atol=1e-6)
    flat = np.full((1, 8, 8, 1), 0.3, np.float32)
    np.testing.assert_array_equal(analysis.edges(flat), 0)
    np.testing.assert_allclose(analysis.blur(flat), flat, rtol=1e-5)
    point = np.zeros((1, 33, 33, 1), np.float32)
    point[0, 16, 16] = 1.0
    spread = np.asarray(jax.jit(analysis.blur)(point))[0, :, :, 0]
    np.testing.assert_allclose(spread.sum(), 1.0, rtol=1e-5)
    np.testing.assert_allclose(spread, spread.T, atol=1e-8)
    variance = (spread.sum(1) * (np.arange(33) - 16) ** 2).sum()
    np.testing.assert_allclose(np.sqrt(variance), 0.06 * 33, rtol=0.03)
