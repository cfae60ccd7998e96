"""Random resized crop and random erasing: boxes, filter, noise."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from effjax import images as ops
from effjax.images.boxes import inside, random_box

IMAGES = np.random.default_rng(0).random((12, 15, 11, 3), np.float32)
KEYS = jax.random.split(jax.random.key(3), 12)


def crop(key, images, **options):
    return ops.random_resized_crop(key, images, 8, **options)


def erase(key, images):
    return ops.random_erasing(key, images, probability=0.5)


BOTH = pytest.mark.parametrize("augment", [crop, erase])


@BOTH
def test_an_example_is_changed_by_its_key_and_not_by_its_place(augment):
    jitted = jax.jit(augment)
    whole = np.asarray(jitted(KEYS, IMAGES))
    order = np.random.default_rng(1).permutation(12)
    np.testing.assert_array_equal(jitted(KEYS[order], IMAGES[order]), whole[order])
    np.testing.assert_allclose(jitted(KEYS[5:8], IMAGES[5:8]), whole[5:8], atol=1e-6)
    assert (jitted(KEYS[::-1], IMAGES) != whole).any()


@BOTH
def test_dtype_gradients_and_wrong_input(augment):
    assert jax.eval_shape(augment, KEYS, jnp.asarray(IMAGES, jnp.bfloat16)).dtype == jnp.bfloat16
    gradient = jax.jit(jax.grad(lambda images: jnp.square(augment(KEYS, images)).sum()))
    for images in (IMAGES, np.zeros_like(IMAGES)):
        assert np.isfinite(gradient(images)).all()
    assert (gradient(IMAGES) != 0).any((1, 2, 3)).all()
    for wrong in (IMAGES[0], (IMAGES * 255).astype(np.uint8)):
        with pytest.raises(AssertionError):
            augment(jax.random.key(0), wrong)


def test_boxes_have_the_area_and_the_shape_asked_for_and_fit():
    keys = jax.random.split(jax.random.key(0), 2000)
    boxes, fits = jax.jit(jax.vmap(lambda key: random_box(key, 300, 400, (0.1, 0.5), (0.5, 2.0))))(keys)
    top, left, height, width = (np.asarray(entry)[fits] for entry in boxes)
    assert np.mean(fits) > 0.99
    assert min(top.min(), left.min()) == 0
    assert (top + height).max() == 300
    assert (left + width).max() == 400
    area, ratio = height * width / (300 * 400), np.log2(width / height)
    assert area.min() > 0.095
    assert area.max() < 0.505
    assert abs(area.mean() - 0.3) < 0.02
    assert np.abs(ratio).max() < 1.03
    assert -0.05 < ratio.mean() < 0.15  # tall boxes fit less often into a wide image
    box = jax.tree.map(lambda entry: entry[0], boxes)
    pixels = np.asarray(inside(box, 300, 400))[..., 0]
    assert pixels.sum() == box.height * box.width
    assert pixels[box.top, box.left]
    assert pixels[box.top + box.height - 1, box.left + box.width - 1]


def by_pillow(image, box, size):
    """Crops and resizes float channels ``[H, W, C]`` with Pillow; box is top, left, height, width."""
    top, left, height, width = (int(entry) for entry in box)
    cut = image[top : top + height, left : left + width]
    channels = [Image.fromarray(cut[..., c]).resize((size, size), Image.Resampling.BILINEAR) for c in range(3)]
    return np.stack([np.asarray(channel) for channel in channels], -1)


@pytest.mark.parametrize("size", [5, 32])  # smaller than the boxes, which needs a filter, and larger
def test_a_resized_crop_is_pillows_of_the_same_box(size):
    images = np.random.default_rng(1).random((12, 33, 24, 3), np.float32)
    area, ratio = (0.3, 1.0), (3 / 4, 4 / 3)
    boxes, fits = jax.jit(jax.vmap(lambda key: random_box(key, 33, 24, area, ratio)))(KEYS)
    ours = np.asarray(jax.jit(partial(ops.random_resized_crop, size=size, scale=area))(KEYS, images))
    assert np.mean(fits) > 0.5
    for i in np.flatnonzero(fits):
        expected = by_pillow(images[i], [entry[i] for entry in boxes], size)
        np.testing.assert_allclose(ours[i], expected, atol=2e-6)


def test_a_box_that_cannot_fit_gives_way_to_the_middle():
    image = np.random.default_rng(2).random((1, 8, 40, 3), np.float32)  # 8 high: at most 10⅔ wide
    ours = jax.jit(partial(crop, scale=(1.0, 1.0)))(KEYS[:1], image)
    np.testing.assert_allclose(ours[0], by_pillow(image[0], (0, 14, 8, 11), 8), atol=2e-6)


def test_the_whole_image_at_its_own_size_is_itself():
    whole = partial(ops.random_resized_crop, size=11, scale=(1.0, 1.0), ratio=(1.0, 1.0))
    same = jax.jit(whole)(KEYS, IMAGES[:, :11])
    np.testing.assert_allclose(same, IMAGES[:, :11], atol=1e-6)


def test_erasing_takes_one_box_of_a_quarter_of_the_images():
    images = np.random.default_rng(0).random((400, 32, 24, 1), np.float32)
    erased = (np.asarray(jax.jit(ops.random_erasing)(jax.random.key(0), images)) != images)[..., 0]
    hit = erased.any((1, 2))
    assert abs(hit.sum() - 100) < 4 * np.sqrt(400 * 0.25 * 0.75)
    for box in erased[hit]:
        assert box.sum() == box.any(1).sum() * box.any(0).sum()
        assert 0.01 < box.mean() < 0.36
    assert not (jax.jit(partial(ops.random_erasing, probability=0.0))(KEYS, IMAGES) != IMAGES).any()


def test_noise_is_like_the_image_and_commutes_with_normalising():
    shift, scale = np.array([0.2, 0.5, 0.7], np.float32), np.array([0.1, 0.2, 0.05], np.float32)
    images = shift + scale * np.random.default_rng(0).standard_normal((12, 64, 64, 3)).astype(np.float32)
    erase = jax.jit(partial(ops.random_erasing, probability=1.0))
    erased = np.asarray(erase(KEYS, images))
    noise = erased[(erased != images).all(-1)]
    np.testing.assert_allclose(noise.mean(0), shift, atol=0.02)
    np.testing.assert_allclose(noise.std(0), scale, rtol=0.1)
    assert np.abs(np.corrcoef(noise.T) - np.eye(3)).max() < 0.1
    np.testing.assert_allclose((erased - shift) / scale, erase(KEYS, (images - shift) / scale), atol=1e-4)
