"""Blurred feature maps against an independent Gaussian, and where in a network they are."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import correlate

from effjax import models
from effjax.curricula import smoothing
from effjax.models.smoothing import gaussian_blur, smoothed_maps

IMAGES = jax.random.normal(jax.random.key(1), (2, 9, 8, 1))


def reference(maps, sigma):
    y, x = np.mgrid[-1:2, -1:2]
    kernel = np.exp(-(x**2 + y**2) / (2 * sigma**2))
    return correlate(maps, (kernel / kernel.sum())[None, :, :, None], mode="constant")


@pytest.mark.parametrize("sigma", [0.3, 1.0, 5.0])
def test_it_is_the_published_kernel(sigma):
    maps = np.random.default_rng(0).normal(size=(2, 5, 6, 3)).astype(np.float32)
    np.testing.assert_allclose(gaussian_blur(maps, sigma), reference(maps, sigma), atol=1e-5)


def test_without_deviation_nothing_changes():
    maps = jax.random.normal(jax.random.key(0), (1, 4, 4, 2))
    np.testing.assert_array_equal(gaussian_blur(maps, 0.0), maps)
    assert np.isfinite(jax.grad(lambda sigma: gaussian_blur(maps, sigma).sum())(0.0))
    assert gaussian_blur(maps.astype(jnp.bfloat16), 1.0).dtype == jnp.bfloat16


def test_every_convolution_is_blurred_but_those_of_single_pixels_and_only_within():
    model = models.create("resnet8", 3, width=0.25)
    variables = models.init(model, jax.random.key(0), IMAGES.shape[1:])
    blurred = []

    def seen(following, args, options, context):
        maps = following(*args, **options)
        if type(context.module).__name__ == "Conv":
            blurred.append(("/".join(context.module.path), maps))
        return maps

    with nn.intercept_methods(seen):
        model.apply(variables, IMAGES)
        plain = dict(blurred)
        blurred.clear()
        with smoothed_maps(jnp.float32(1.0)):
            logits = model.apply(variables, IMAGES).logits
    first = next(iter(plain))
    np.testing.assert_allclose(dict(blurred)[first], gaussian_blur(plain[first], 1.0), atol=1e-5)
    assert not np.allclose(logits, model.apply(variables, IMAGES).logits)
    with smoothed_maps(0.0):
        np.testing.assert_array_equal(model.apply(variables, IMAGES).logits, model.apply(variables, IMAGES).logits)


def test_the_published_schedule():
    plan = smoothing()
    assert plan.setting == "smoothing"
    assert len(plan.pieces) == 40
    assert plan(0.0) == 1.0
    assert plan(0.9999) == pytest.approx(0.9**39)
    assert [start * 200 for start, _ in plan.pieces[:3]] == [0.0, 5.0, 10.0]
