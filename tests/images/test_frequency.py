"""The low-frequency crop against a reference in numpy, by hand, and what holds of it."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax.errors import UserError
from effjax.images import low_frequency_crop

METHODS = ("fft", "matmul")
SIZES = [  # source, target
    ((32, 32), (24, 24)),  # even → even, as published
    ((224, 224), (160, 160)),
    ((32, 32), (31, 31)),
    ((9, 9), (8, 8)),
    ((9, 9), (5, 5)),
    ((12, 7), (6, 4)),
    ((7, 10), (7, 6)),  # one axis stays, odd
    ((10, 7), (10, 6)),  # one axis stays, even
    ((11, 8), (1, 2)),
]


def reference(images, size):
    """Shift the spectrum, cut its middle out, transform back: complex, in float64."""
    images = np.moveaxis(np.asarray(images, np.float64), -1, -3)
    spectrum = np.fft.fftshift(np.fft.fft2(images), axes=(-2, -1))
    (height, width), (h, w) = images.shape[-2:], size
    top, left = height // 2 - h // 2, width // 2 - w // 2
    cut = np.fft.ifftshift(spectrum[..., top : top + h, left : left + w], axes=(-2, -1))
    return np.moveaxis(np.fft.ifft2(cut).real * h * w / (height * width), -3, -1)


def noise(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("source", "size"), SIZES)
def test_equals_the_reference(source, size, method):
    images = noise((2, *source, 3))
    cropped = low_frequency_crop(images, size, method=method)
    assert cropped.shape == (2, *size, 3)
    assert cropped.dtype == jnp.float32
    np.testing.assert_allclose(cropped, reference(images, size), atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_doubles_are_cropped_in_double(method):
    with jax.enable_x64(True):
        images = noise((12, 7, 1)).astype(np.float64)
        cropped = low_frequency_crop(images, (6, 4), method=method)
        assert cropped.dtype == np.float64
        np.testing.assert_allclose(cropped, reference(images, (6, 4)), atol=1e-14)


@pytest.mark.parametrize("method", METHODS)
def test_four_pixels_to_two_by_hand(method):
    # A row [a b c d] becomes mean ± half of the wave −1's amplitude, (a − c)/4: the unpaired wave loses its sine.
    row = np.array([1.0, 2.0, 4.0, 9.0], np.float32).reshape(1, 4, 1)
    np.testing.assert_allclose(low_frequency_crop(row, (1, 2), method=method)[0, :, 0], [4 - 0.75, 4 + 0.75], atol=1e-6)
    # A sine along both axes has no cosine; of the two unpaired frequencies together the real part is −(i·i)/4.
    sine = np.array([0.0, 1.0, 0.0, -1.0], np.float32)
    square = np.outer(sine, sine)[..., None]
    expected = 0.25 * np.array([[-1, 1], [1, -1]])
    np.testing.assert_allclose(low_frequency_crop(square, 2, method=method)[..., 0], expected, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("size", "gains"), [(8, [1, 1, 1, 1, 0.5, 0]), (7, [1, 1, 1, 1, 0, 0])])
def test_waves_that_fit_are_kept_and_the_unpaired_one_is_halved(size, gains, method):
    for frequency, gain in enumerate(gains):
        wave, small = (np.cos(2 * np.pi * frequency * np.arange(n) / n) for n in (20, size))
        images = np.broadcast_to(wave[:, None, None], (20, 20, 1)).astype(np.float32)
        expected = np.broadcast_to(gain * small[:, None, None], (size, size, 1))
        np.testing.assert_allclose(low_frequency_crop(images, size, method=method), expected, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_the_mean_stays(method):
    images = noise((5, 13, 10, 2)) + 3
    cropped = low_frequency_crop(images, (6, 7), method=method)
    np.testing.assert_allclose(cropped.mean((1, 2)), images.mean((1, 2)), rtol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_two_steps_equal_one_if_the_last_makes_both_axes_smaller(method):
    crop = partial(low_frequency_crop, method=method)
    images = noise((3, 32, 32, 1))
    direct = crop(images, 16)
    for between in (24, 17, (25, 18)):
        np.testing.assert_allclose(crop(crop(images, between), 16), direct, atol=1e-5)
    # With the width cropped first, the sines of the width's unpaired frequency are gone: a checkerboard is missing.
    missing = direct - crop(crop(images, (32, 16)), 16)
    signs = (-1.0) ** np.add.outer(np.arange(16), np.arange(16))
    corner = missing[:, :1, :1]
    assert (np.abs(corner) > 1e-4).all()
    np.testing.assert_allclose(missing, corner * signs[..., None], atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_the_gradient_is_the_transpose(method):
    images, weights = noise((2, 9, 10, 2)), noise((2, 6, 6, 2), 1)

    def product(images):
        return (weights * low_frequency_crop(images, 6, method=method)).sum()

    gradient = jax.jit(jax.grad(product))(images)
    # ⟨w, crop(x)⟩ = ⟨gradient, x⟩ for every x, as the crop is linear.
    for seed in (2, 3):
        other = noise(images.shape, seed)
        np.testing.assert_allclose((gradient * other).sum(), (weights * reference(other, (6, 6))).sum(), rtol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_jit_vmap_and_leading_axes_change_nothing(method):
    crop = partial(low_frequency_crop, size=(5, 4), method=method)
    images = noise((2, 3, 8, 9, 1))
    whole = crop(images)
    assert whole.shape == (2, 3, 5, 4, 1)
    for other in (jax.jit(crop)(images), jax.vmap(crop)(images), jnp.stack([crop(part) for part in images])):
        np.testing.assert_allclose(other, whole, atol=1e-6)
    np.testing.assert_allclose(crop(images[0, 0]), whole[0, 0], atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_bfloat16_is_rounded_only_at_the_end(method):
    images = jnp.asarray(noise((2, 16, 16, 3)), jnp.bfloat16)
    cropped = low_frequency_crop(images, 12, method=method)
    assert cropped.dtype == jnp.bfloat16
    exact = low_frequency_crop(images.astype(jnp.float32), 12, method=method)
    np.testing.assert_array_equal(cropped, exact.astype(jnp.bfloat16))


def test_auto_is_one_of_the_two():
    images = noise((2, 16, 16, 3))
    automatic = low_frequency_crop(images, 12, method="auto")
    assert any((automatic == low_frequency_crop(images, 12, method=method)).all() for method in METHODS)


def test_images_of_that_size_are_returned_as_they_are():
    images = jnp.asarray(noise((2, 8, 6, 3)), jnp.bfloat16)
    assert low_frequency_crop(images, (8, 6)) is images


@pytest.mark.parametrize(
    ("size", "options", "message"),
    [
        (17, {}, r"size=17 is larger than the images, 16×12"),
        ((16, 13), {}, r"size=\(16, 13\) is larger .* Use resize"),
        (0, {}, r"size=0; allowed: a whole number"),
        (8.0, {}, r"size=8.0; allowed"),
        ((8, 8, 3), {}, r"size=\(8, 8, 3\); allowed"),
        (8, {"method": "mattmul"}, "method='mattmul'.*did you mean 'matmul'"),
    ],
)
def test_what_cannot_be_is_refused(size, options, message):
    with pytest.raises(ValueError, match=message) as error:
        low_frequency_crop(noise((16, 12, 1)), size, **options)
    assert "\n" not in str(error.value)


def test_larger_is_the_users_error_and_bytes_the_programmers():
    with pytest.raises(UserError):
        low_frequency_crop(noise((16, 16, 1)), 17)
    with pytest.raises(TypeError, match="float, got uint8"):
        low_frequency_crop(np.zeros((16, 16, 1), np.uint8), 8)
    with pytest.raises(ValueError, match=r"\[\.\.\., H, W, C\]"):
        low_frequency_crop(noise((16, 16)), 8)
