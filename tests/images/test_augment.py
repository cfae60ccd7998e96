"""Random shifts and flips: what they may do, how often, and that they follow the example."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax import images as ops

IMAGES = np.random.default_rng(0).permutation(12 * 5 * 7 * 2).reshape(12, 5, 7, 2).astype(np.float32) + 1  # no 0


def keys_for(size, seed=0):
    return jax.random.split(jax.random.key(seed), size)


def offset_of(image, original, padding):
    """By which offset the image was cut from the padded original; fails if by none."""
    padded = np.pad(original, ((padding, padding), (padding, padding), (0, 0)))
    height, width, _ = original.shape
    found = [
        (y, x)
        for y in range(2 * padding + 1)
        for x in range(2 * padding + 1)
        if np.array_equal(padded[y : y + height, x : x + width], image)
    ]
    assert len(found) == 1, f"{len(found)} offsets fit"
    return found[0]


def test_crop_cuts_from_the_zero_padded_image_at_every_offset():
    image = np.repeat(IMAGES[:1], 400, axis=0)
    cut = np.asarray(jax.jit(ops.random_crop, static_argnums=2)(keys_for(400), image, 1))
    assert cut.shape == image.shape
    offsets = [offset_of(a, b, 1) for a, b in zip(cut, image, strict=True)]
    counts = np.array([offsets.count((y, x)) for y in range(3) for x in range(3)])
    assert counts.sum() == 400
    assert counts.min() > 400 / 9 - 4 * np.sqrt(400 / 9)  # uniform: each within four standard deviations
    assert counts.max() < 400 / 9 + 4 * np.sqrt(400 / 9)


@pytest.mark.parametrize("padding", [2, 4, 9])
def test_crop_of_many_images(padding):
    cut = np.asarray(ops.random_crop(keys_for(12, padding), IMAGES, padding))
    shown = (cut != 0).any((1, 2, 3))
    for i in np.flatnonzero(shown):  # one that is shifted out whole is blank, and any such offset fits
        offset_of(cut[i], IMAGES[i], padding)
    assert shown.sum() >= 3


def test_no_padding_is_the_identity():
    np.testing.assert_array_equal(ops.random_crop(keys_for(12), IMAGES, 0), IMAGES)


def test_flip_mirrors_left_to_right_half_of_the_time():
    image = np.repeat(IMAGES[:1], 400, axis=0)
    flipped = np.asarray(ops.random_flip(keys_for(400), image))
    mirrored = (flipped == image[:, :, ::-1]).all((1, 2, 3))
    same = (flipped == image).all((1, 2, 3))
    assert (mirrored ^ same).all()
    assert 160 < mirrored.sum() < 240


def crop(keys, images):
    return ops.random_crop(keys, images, 2)


@pytest.mark.parametrize("augment", [crop, ops.random_flip])
def test_an_example_is_changed_by_its_key_and_not_by_its_place(augment):
    augment = jax.jit(augment)
    keys = keys_for(12, 3)
    whole = np.asarray(augment(keys, IMAGES))
    order = np.random.default_rng(1).permutation(12)
    np.testing.assert_array_equal(augment(keys[order], IMAGES[order]), whole[order])
    np.testing.assert_array_equal(np.concatenate([augment(keys[:6], IMAGES[:6]), augment(keys[6:], IMAGES[6:])]), whole)
    assert (augment(keys_for(12, 4), IMAGES) != whole).any()


@pytest.mark.parametrize("augment", [crop, ops.random_flip])
def test_bytes_stay_bytes(augment):
    assert augment(keys_for(12), IMAGES.astype(np.uint8)).dtype == jnp.uint8


@pytest.mark.parametrize("augment", [crop, ops.random_flip])
def test_typed_raw_and_single_keys(augment):
    keys = keys_for(12)
    np.testing.assert_array_equal(augment(jax.random.key_data(keys), IMAGES), augment(keys, IMAGES))
    single = np.asarray(augment(jax.random.key(5), IMAGES))
    np.testing.assert_array_equal(augment(jax.random.PRNGKey(5), IMAGES), single)
    np.testing.assert_array_equal(augment(jax.random.key(5), IMAGES[:7]), single[:7])  # by the place alone
    assert len({offset.tobytes() for offset in single - IMAGES}) > 1  # not one key for all


@pytest.mark.parametrize("augment", [crop, ops.random_flip])
def test_wrong_shapes_are_refused(augment):
    with pytest.raises(AssertionError):
        augment(keys_for(5), IMAGES[0])
    with pytest.raises(AssertionError):
        augment(keys_for(5), IMAGES)
