"""From stored bytes to a network's input."""

import jax
import jax.numpy as jnp
import numpy as np

from effjax import images as ops
from effjax.steps import View

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 5, 5, 3), dtype=np.uint8)
KEYS = jax.random.split(jax.random.key(0), 6)


def test_scale_and_normalise_by_channel():
    view = View(mean=(0.5, 0.25, 0.0), std=(0.5, 0.25, 2.0))
    expected = (IMAGES / 255 - [0.5, 0.25, 0.0]) / [0.5, 0.25, 2.0]
    assert view(IMAGES).dtype == jnp.float32
    np.testing.assert_allclose(view(IMAGES), expected, atol=1e-6)
    np.testing.assert_allclose(View()(IMAGES), IMAGES / 255, atol=1e-6)
    np.testing.assert_allclose(View(mean=(0.5,), std=(0.5,))(IMAGES), IMAGES / 127.5 - 1, atol=1e-6)


def test_without_keys_nothing_is_random():
    assert not View().is_random
    for view in (View(shift=2), View(flip=True)):
        assert view.is_random
        np.testing.assert_array_equal(view(IMAGES), View()(IMAGES))
        assert (view(IMAGES, KEYS) != View()(IMAGES)).any()
    np.testing.assert_array_equal(View()(IMAGES, KEYS), View()(IMAGES))


def test_every_shift_comes_with_and_without_a_flip():
    many = jax.random.split(jax.random.key(1), 300)
    images = np.zeros((300, 5, 5, 1), np.uint8)
    images[:, 2, 1] = 255  # left of the centre, so that a flip shows
    seen = np.argwhere(np.asarray(jax.jit(View(shift=1, flip=True))(images, many)[..., 0]))
    places = {(int(y), int(x)) for _, y, x in seen}
    assert places == {(y, x) for y in (1, 2, 3) for x in (0, 1, 2, 3, 4)}


def test_the_border_is_black_before_normalisation():
    view = View(mean=(0.5,), std=(0.5,), shift=4)
    out = np.asarray(view(np.full((6, 5, 5, 1), 255, np.uint8), KEYS))
    assert set(np.unique(out)) == {-1.0, 1.0}


def test_augmented_images_are_those_of_the_image_operations():
    keys = jax.vmap(jax.random.fold_in, (0, None))(KEYS, 1)
    expected = ops.random_crop(keys, IMAGES, 2).astype(np.float32) / 255
    np.testing.assert_allclose(View(shift=2)(IMAGES, KEYS), expected, atol=1e-6)
