"""From stored bytes to a network's input."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax import images as ops
from effjax.errors import UserError
from effjax.steps import Crop, CutMix, Erase, Flip, MixUp, RandAugment, Shift, View

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 5, 5, 3), dtype=np.uint8)
KEYS = jax.random.split(jax.random.key(0), 6)


def see(view, images=IMAGES, keys=None, step=0):
    return view.see({"image": images}, keys, step)["image"]


def test_scale_and_normalise_by_channel():
    view = View(mean=(0.5, 0.25, 0.0), std=(0.5, 0.25, 2.0))
    expected = (IMAGES / 255 - [0.5, 0.25, 0.0]) / [0.5, 0.25, 2.0]
    assert see(view).dtype == jnp.float32
    np.testing.assert_allclose(see(view), expected, atol=1e-6)
    np.testing.assert_allclose(see(View()), IMAGES / 255, atol=1e-6)
    np.testing.assert_allclose(see(View(mean=(0.5,), std=(0.5,))), IMAGES / 127.5 - 1, atol=1e-6)


def test_without_keys_nothing_is_random():
    assert not View().is_random
    for view in (View(ops=(Shift(2),)), View(ops=(Flip(),))):
        assert view.is_random
        np.testing.assert_array_equal(see(view), see(View()))
        assert (see(view, IMAGES, KEYS) != see(View())).any()
    np.testing.assert_array_equal(see(View(), IMAGES, KEYS), see(View()))


def test_every_shift_comes_with_and_without_a_flip():
    many = jax.random.split(jax.random.key(1), 300)
    images = np.zeros((300, 5, 5, 1), np.uint8)
    images[:, 2, 1] = 255  # left of the centre, so that a flip shows
    seen = np.argwhere(np.asarray(jax.jit(View(ops=(Flip(), Shift(1))).see)({"image": images}, many)["image"][..., 0]))
    places = {(int(y), int(x)) for _, y, x in seen}
    assert places == {(y, x) for y in (1, 2, 3) for x in (0, 1, 2, 3, 4)}


def test_the_border_is_black_before_normalisation():
    view = View(mean=(0.5,), std=(0.5,), ops=(Shift(4),))
    out = np.asarray(see(view, np.full((6, 5, 5, 1), 255, np.uint8), KEYS))
    assert set(np.unique(out)) == {-1.0, 1.0}


def test_augmented_images_are_those_of_the_image_operations():
    keys = jax.vmap(jax.random.fold_in, (0, None))(KEYS, 1)
    expected = ops.random_crop(keys, IMAGES, 2).astype(np.float32) / 255
    np.testing.assert_allclose(see(View(ops=(Shift(2),)), IMAGES, KEYS), expected, atol=1e-6)


def test_the_student_sees_fewer_pixels():
    images = see(View(), np.random.default_rng(1).integers(0, 256, (2, 12, 18, 3), dtype=np.uint8))
    for reduction, expected in (
        ("frequency", ops.low_frequency_crop(images, (8, 12), method="matmul")),
        ("resize", ops.resize(images, (8, 12))),
    ):
        np.testing.assert_allclose(View(size=8, reduction=reduction).reduce(images), expected, atol=1e-6)
    assert View(size=12).reduce(images) is images
    assert View().reduce(images) is images
    with pytest.raises(UserError, match="image_size=13 is larger than the images, 18×12"):
        View(size=13).reduce(images)
    with pytest.raises(UserError, match=r"reduction='frequencies'.*did you mean 'frequency'"):
        View(reduction="frequencies")


def test_images_are_reduced_before_they_are_erased_and_mixed():
    small = View(size=4, reduction="resize", ops=(Flip(), Erase(1.0)), mean=(0.5,), std=(0.25,))
    early = dataclasses.replace(small, early=True)
    seen = see(early, IMAGES, KEYS)
    assert seen.shape == (6, 4, 4, 3)
    flipped = ops.random_flip(jax.vmap(jax.random.fold_in, (0, None))(KEYS, Flip.number), IMAGES / np.float32(255))
    reduced = (jnp.clip(ops.resize(flipped, 4), 0, 1) - 0.5) / 0.25
    expected = ops.random_erasing(jax.vmap(jax.random.fold_in, (0, None))(KEYS, Erase.number), reduced, probability=1.0)
    np.testing.assert_allclose(seen, expected, atol=1e-5)
    np.testing.assert_array_equal(early.reduce(seen), seen)
    assert see(small, IMAGES, KEYS).shape == see(early).shape == (6, 5, 5, 3)  # and not in evaluation
    whole = dataclasses.replace(early, size=None)
    np.testing.assert_allclose(
        see(whole, IMAGES, KEYS), see(dataclasses.replace(small, size=None), IMAGES, KEYS), atol=1e-6
    )


def test_magnitude_follows_its_schedule_without_a_new_program():
    view = View(ops=(RandAugment(2, lambda step: jnp.where(step < 5, 0.0, 10.0)),))
    traced = []

    @jax.jit
    def at(step):
        traced.append(step)
        return see(view, IMAGES, KEYS, step)

    weak, strong = at(4), at(5)
    assert len(traced) == 1
    np.testing.assert_allclose(strong, see(view.at_magnitude(10.0), IMAGES, KEYS), atol=1e-5)
    np.testing.assert_allclose(strong, see(View(ops=(RandAugment(2, 10.0),)), IMAGES, KEYS), atol=1e-5)
    assert not np.allclose(weak, strong)


def test_mixtures_keep_what_they_are_made_of():
    images, labels = see(View()), jnp.eye(6)
    for view in (View(mix=(MixUp(1.0),)), View(mix=(CutMix(),)), View(mix=(MixUp(1.0), CutMix()))):
        assert view.mixes
        assert view.is_random
        mixed, shares = view.mixed(KEYS, jax.random.key(2), images, labels)
        np.testing.assert_allclose(shares.sum(-1), 1.0, rtol=1e-6)
        np.testing.assert_allclose(shares @ labels, shares)
        assert not np.allclose(mixed, images)


def test_versions_cannot_come_again_of_what_changes():
    assert View(ops=(RandAugment(2, 3.0),), replays=2).is_random
    for changing in ({"mix": (MixUp(0.2),)}, {"ops": (RandAugment(2, lambda step: 1.0),)}):
        with pytest.raises(UserError, match=r"view\.replays"):
            View(replays=2, **changing)


def test_a_random_crop_keeps_the_size():
    view = View(ops=(Crop(0.25),))
    keys = jax.vmap(jax.random.fold_in, (0, None))(KEYS, 6)
    expected = ops.random_resized_crop(keys, IMAGES.astype(np.float32) / 255, (5, 5), scale=(0.25, 1.0))
    np.testing.assert_allclose(see(view, IMAGES, KEYS), expected, atol=1e-6)
    assert view.is_random
    np.testing.assert_array_equal(see(view), see(View()))
