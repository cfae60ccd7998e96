"""Colour jitter, DeiT III's three, blur and bicubic warps against Pillow's, on the same bytes."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.data
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from effjax import images as ops
from effjax.errors import UserError
from effjax.images.blur import _box_weights, gaussian_blur
from effjax.images.operations import WARPS
from effjax.images.warp import warp

PHOTO = np.ascontiguousarray(skimage.data.chelsea()[90:131, 120:174])  # 41×54
NOISE = np.random.default_rng(0).integers(0, 256, PHOTO.shape, np.uint8)
FILL = (124, 116, 104)


@pytest.fixture(params=[PHOTO, NOISE, PHOTO[..., :1]], ids=["photo", "noise", "grey"])
def pixels(request):
    return request.param


def pillow(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def unit(pixels: np.ndarray) -> np.ndarray:
    return pixels.astype(np.float32) / 255


def levels(image, like: np.ndarray) -> np.ndarray:
    return np.asarray(image).reshape(like.shape).astype(float)


def rounded_as_pillow_does(pixels: np.ndarray, radius: float) -> np.ndarray:
    """Six box blurs, with whole levels after each."""
    weights, image = np.asarray(_box_weights(jnp.float32(radius)), np.float64), pixels.astype(float)
    for axis in (1, 1, 1, 0, 0, 0):
        padded = np.pad(image, [(2, 2) if axis == one else (0, 0) for one in range(3)], mode="edge")
        parts = (padded.take(np.arange(i, i + image.shape[axis]), axis) for i in range(5))
        blurred = sum(weight * part for weight, part in zip(weights, parts, strict=True))
        image = np.floor(blurred + 0.5 - 1e-4)  # it cuts its weights, so that a half goes down
    return image


def test_blur_is_pillows(pixels):
    radii = np.array([0.0, 0.1, 0.4, 0.8, 1.0, 1.37, 2.0, 2.4], np.float32)
    blurred = jax.jit(jax.vmap(gaussian_blur, (None, 0)))(unit(pixels), radii)
    for radius, ours in zip(radii.tolist(), np.asarray(blurred), strict=True):
        theirs = levels(pillow(pixels).filter(ImageFilter.GaussianBlur(radius)), pixels)
        assert np.abs(rounded_as_pillow_does(pixels, radius) - theirs).mean() < 0.12, radius  # 0 but for ties
        assert np.abs(ours * 255 - theirs).max() < 3.2  # by what Pillow rounds, six times
        assert np.abs(ours * 255 - theirs).mean() < 1.2
    np.testing.assert_allclose(blurred[0], unit(pixels), atol=1e-6)


def test_a_constant_stays_one_and_gradients_flow():
    constant = jnp.full((6, 7, 3), 0.3)
    np.testing.assert_allclose(gaussian_blur(constant, 1.7), constant, atol=1e-6)
    slope = jax.jit(jax.grad(lambda radius: gaussian_blur(jnp.asarray(unit(NOISE)), radius).var()))(1.3)
    assert np.isfinite(slope)
    assert slope < 0


@pytest.mark.parametrize("name", WARPS)
def test_bicubic_warps_are_pillows(name, pixels):
    filled = {"resample": Image.Resampling.BICUBIC, "fillcolor": 117 if pixels.shape[-1] == 1 else FILL}
    height, width = pixels.shape[:2]
    on_levels = jax.jit(
        jax.vmap(
            lambda level: warp(jnp.asarray(unit(pixels)), WARPS[name](level, height, width), interpolation="bicubic")
        )
    )
    strengths = np.array([0, 2.5, -5, 7.3, -10], np.float32)
    for level, ours in zip(strengths.tolist(), np.asarray(on_levels(strengths)), strict=True):
        matrix = np.asarray(WARPS[name](jnp.float32(level), height, width), np.float64)
        theirs = levels(
            pillow(pixels).transform((width, height), Image.Transform.AFFINE, matrix.ravel(), **filled), pixels
        )
        away = np.abs(ours * 255 - theirs).max(-1)
        # Pillow cuts fractions; and a place on the very edge of the image may fall to either side of it.
        assert np.sort(away.ravel())[-3] < 1.01, level


def test_random_augment_may_warp_by_either():
    images, keys = np.tile(unit(PHOTO), (24, 1, 1, 1)), jax.random.split(jax.random.key(0), 24)
    by = {
        name: np.asarray(
            jax.jit(ops.random_augment, static_argnames="interpolation")(keys, images, 9.0, interpolation=name)
        )
        for name in ("bilinear", "bicubic")
    }
    moved = np.asarray(jnp.abs(ops.augment_matrices(keys, 9.0, (41, 54)) - jnp.eye(2, 3)).max((1, 2, 3))) > 1e-3
    assert 2 <= moved.sum() <= 16  # a third: half of the operations do something, and 5 of 14 move places
    differ = (by["bilinear"] != by["bicubic"]).any((1, 2, 3))
    assert 4 <= differ.sum() <= moved.sum()
    assert not differ[~moved].any()
    assert np.abs(by["bilinear"] - by["bicubic"]).max() < 0.5
    with pytest.raises(UserError, match=r"interpolation='cubic'; .*did you mean 'bicubic'"):
        ops.random_augment(keys, images, 9.0, interpolation="cubic")


def test_jitter_is_pillows_three_in_an_order_of_its_own(pixels):
    keys = jax.random.split(jax.random.key(5), 40)
    jittered = jax.jit(ops.color_jitter, static_argnames="strength")(
        keys, np.tile(unit(pixels), (40, 1, 1, 1)), strength=0.4
    )
    enhance = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
    seen = set()
    for key, ours in zip(keys, np.asarray(jittered), strict=True):
        (brightness, contrast, colour), places = np.asarray(jax.random.uniform(key, (2, 3)))
        factors, order = 0.6 + 0.8 * np.array([brightness, contrast, colour]), np.argsort(places)
        image = pillow(pixels)
        for which in order:
            image = enhance[which](image).enhance(float(factors[which]))
        away = np.abs(ours * 255 - levels(image, pixels))
        assert away.max() < 5  # Pillow cuts fractions in between, by which the next factor is multiplied
        assert away.mean() < 2.2
        seen.add(tuple(order.tolist()))
    assert seen == set(itertools.permutations(range(3)))


def test_factors_and_orders_are_uniform():
    constant = np.full((6000, 2, 2, 3), 0.5, np.float32)
    brightness = (
        np.asarray(jax.jit(ops.color_jitter, static_argnums=2)(jax.random.key(1), constant, 0.4))[:, 0, 0, 0] * 2
    )
    assert brightness.min() < 0.61
    assert brightness.max() > 1.39
    shares = np.histogram(brightness, 8, (0.6, 1.4))[0] / 6000
    np.testing.assert_allclose(shares, 1 / 8, atol=0.02)


def test_one_of_three_each_a_third_of_the_time(pixels):
    keys = jax.random.split(jax.random.key(2), 60)
    changed = np.asarray(jax.jit(ops.three_augment)(keys, np.tile(unit(pixels), (60, 1, 1, 1))))
    original = pillow(pixels)
    grey = levels(original.convert("L").convert(original.mode), pixels)
    solarised = levels(ImageOps.solarize(original), pixels)
    kinds = []
    for key, ours in zip(keys, changed, strict=True):
        choice, share = np.asarray(jax.random.uniform(key, (2,)))
        blurred = levels(original.filter(ImageFilter.GaussianBlur(0.1 + 1.9 * float(share))), pixels)
        expected = (grey, solarised, blurred)[int(choice * 3)]
        assert np.abs(ours * 255 - expected).max() < 3.2
        kinds.append(int(choice * 3))
    assert min(np.bincount(kinds, minlength=3)) > 8


def test_solarised_are_levels_from_128_on():
    ramp = np.broadcast_to((np.arange(120, 136, dtype=np.float32) / 255)[:, None, None], (40, 16, 16, 3))
    changed = np.asarray(ops.three_augment(jax.random.split(jax.random.key(2), 40), ramp)) * 255
    levels = next(image[:, 0, 0] for image in changed if image[-1, 0, 0] < 128)
    np.testing.assert_allclose(levels, [*range(120, 128), *range(127, 119, -1)], atol=1e-3)


def test_an_example_is_changed_by_its_key_and_not_by_its_place():
    rng = np.random.default_rng(3)
    images, keys = rng.random((10, 6, 5, 3), np.float32), jax.random.split(jax.random.key(3), 10)
    order = rng.permutation(10)[:4]
    for change in (jax.jit(ops.three_augment), jax.jit(lambda keys, images: ops.color_jitter(keys, images, 0.3))):
        whole = np.asarray(change(keys, images))
        np.testing.assert_allclose(change(keys[order], images[order]), whole[order], atol=1e-6)
        assert whole.min() >= 0
        assert whole.max() <= 1
        assert np.isfinite(whole).all()
