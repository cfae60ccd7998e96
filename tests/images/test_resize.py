"""Resizing against Pillow, and what holds of every filter."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from effjax.errors import UserError
from effjax.images import resize
from effjax.images.resize import _weights

METHODS = {
    "lanczos3": Image.Resampling.LANCZOS,
    "cubic": Image.Resampling.BICUBIC,
    "linear": Image.Resampling.BILINEAR,
}


def noise(shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("source", "size"),
    [
        ((224, 224), (160, 160)),
        ((32, 32), (13, 24)),
        ((17, 30), (9, 30)),
        ((9, 14), (20, 11)),
        ((5, 7), (1, 3)),
        ((1, 40), (1, 5)),
    ],
)
def test_equals_pillow_on_floats(source, size, method):
    image = noise(source)
    expected = Image.fromarray(image).resize(size[::-1], METHODS[method])
    resized = resize(image[..., None], size, method=method)
    assert resized.dtype == jnp.float32
    np.testing.assert_allclose(resized[..., 0], np.asarray(expected), atol=2e-6)


def test_two_pixels_to_four_by_hand():
    # Centres at ¼, ¾, 5/4, 7/4 of pixels at ½ and 3/2; linear holds the border and cuts in quarters between.
    image = np.array([0.0, 8.0], np.float32).reshape(1, 2, 1)
    np.testing.assert_allclose(resize(image, (1, 4), method="linear")[0, :, 0], [0, 2, 6, 8], atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [(5, 19), 12])
def test_a_constant_stays_a_constant(size, method):
    np.testing.assert_allclose(resize(np.full((11, 8, 2), 3.25, np.float32), size, method=method), 3.25, rtol=1e-6)


def test_linear_stays_in_range_and_lanczos_does_not():
    step = np.zeros((16, 16, 1), np.float32)
    step[:, 8:] = 1
    linear, lanczos = resize(step, 24, method="linear"), resize(step, 24)
    assert linear.min() >= 0
    assert linear.max() <= 1
    assert lanczos.max() > 1.01


def test_leading_axes_jit_vmap_and_gradient():
    images = noise((2, 3, 8, 9, 2))
    whole = resize(images, (5, 12))
    assert whole.shape == (2, 3, 5, 12, 2)
    np.testing.assert_allclose(jax.jit(jax.vmap(lambda x: resize(x, (5, 12))))(images), whole, atol=1e-6)
    np.testing.assert_allclose(resize(images[1, 2], (5, 12)), whole[1, 2], atol=1e-6)
    weights = noise(whole.shape)
    gradient = jax.grad(lambda x: (weights * resize(x, (5, 12))).sum())(images)
    np.testing.assert_allclose((gradient * images).sum(), (weights * whole).sum(), rtol=1e-4)  # it is linear


def test_bfloat16_is_rounded_only_at_the_end():
    images = jnp.asarray(noise((2, 16, 16, 3)), jnp.bfloat16)
    exact = resize(images.astype(jnp.float32), 12)
    np.testing.assert_array_equal(resize(images, 12), exact.astype(jnp.bfloat16))
    assert resize(images, 16) is images


@pytest.mark.parametrize(
    ("size", "options", "message"),
    [(0, {}, "size=0; allowed"), (8, {"method": "lanczos"}, "method='lanczos'.*did you mean 'lanczos3'")],
)
def test_what_cannot_be_is_refused(size, options, message):
    with pytest.raises(ValueError, match=message):
        resize(noise((16, 12, 1)), size, **options)
    with pytest.raises(UserError):
        resize(noise((16, 12, 1)), 8, method="area")


@pytest.mark.parametrize("channels", [1, 3, 6])
@pytest.mark.parametrize("size", [(40, 24), (80, 90), (3, 5)])
def test_bands_are_the_whole_product_for_less(size, channels):
    """On CPU the zeros of the matrices are not multiplied."""
    images = noise((2, 60, 64, channels))
    matrices = [_weights(side, new, "lanczos3") for side, new in zip((60, 64), size, strict=True)]
    whole = np.einsum("hH,wW,bHWc->bhwc", *matrices, images.astype(np.float64))
    np.testing.assert_allclose(resize(images, size), whole, atol=3e-6)
    flops = jax.jit(lambda x: resize(x, size)).lower(images).compile().cost_analysis()["flops"]
    dense = (
        jax.jit(lambda x: jnp.einsum("hH,wW,bHWc->bhwc", *matrices, x)).lower(images).compile().cost_analysis()["flops"]
    )
    if jax.default_backend() == "cpu":
        assert flops < (0.8 if min(size) > 5 else 1.1) * dense
