"""Maps of evidence and how alike they are."""

import jax
import numpy as np
import pytest

from effjax import analysis

RNG = np.random.default_rng(5)


def test_grad_cam_by_hand():
    activation = np.array([[[[1.0, 2.0], [0.0, 5.0]]]], np.float32)  # one image, 1×2 places, two channels
    gradient = np.array([[[[3.0, -1.0], [1.0, 0.0]]]], np.float32)  # means over places: 2 and −½
    np.testing.assert_allclose(analysis.grad_cam(activation, gradient), [[[1.0, 0.0]]])  # 2·1 − ½·2, relu(−½·5)


def test_gradient_times_input_by_hand():
    images = np.array([[[[1.0, 2.0], [0.5, 0.0]]]], np.float32)
    gradient = np.array([[[[3.0, -1.0], [-4.0, 9.0]]]], np.float32)
    np.testing.assert_allclose(analysis.gradient_times_input(images, gradient), [[[1.0, 0.0]]])


def test_cosine_of_maps():
    a = np.abs(RNG.normal(size=(4, 5, 6))).astype(np.float32)
    b = np.abs(RNG.normal(size=(4, 5, 6))).astype(np.float32)
    flat_a, flat_b = a.reshape(4, -1), b.reshape(4, -1)
    expected = (flat_a * flat_b).sum(1) / np.linalg.norm(flat_a, axis=1) / np.linalg.norm(flat_b, axis=1)
    np.testing.assert_allclose(analysis.map_similarity(a, b), expected, rtol=1e-5)
    np.testing.assert_allclose(analysis.map_similarity(1e-30 * a, 1e30 * b), expected, rtol=1e-5)
    np.testing.assert_allclose(analysis.map_similarity(a, 7 * a), 1.0, rtol=1e-5)
    np.testing.assert_allclose(jax.jit(analysis.map_similarity)(b[::-1], a[::-1]), expected[::-1], rtol=1e-5)


def test_the_coarser_map_is_resized_whichever_it_is():
    coarse = np.abs(RNG.normal(size=(2, 3, 4))).astype(np.float32)
    fine = np.asarray(jax.image.resize(coarse, (2, 9, 8), "bilinear"))
    np.testing.assert_allclose(analysis.map_similarity(coarse, fine), 1.0, rtol=1e-5)
    np.testing.assert_allclose(analysis.map_similarity(fine, coarse), 1.0, rtol=1e-5)


def test_a_map_that_is_zero_is_like_nothing():
    maps = np.ones((2, 3, 3), np.float32)
    maps[0] = 0.0
    np.testing.assert_allclose(analysis.map_similarity(maps, np.ones_like(maps)), [0.0, 1.0], rtol=1e-6)
    assert analysis.map_similarity(maps, maps)[0] == 0.0
    gradient = jax.grad(lambda x: analysis.map_similarity(x, np.ones_like(maps)).sum())(maps)
    assert np.isfinite(gradient).all()


def test_maps_are_one_an_image():
    maps = np.ones((2, 3, 3), np.float32)
    for a, b in ((maps, maps[:1]), (maps[0], maps[0]), (maps[..., None], maps[..., None]), (maps, maps[..., None])):
        with pytest.raises(AssertionError):
            analysis.map_similarity(a, b)


@pytest.mark.parametrize("function", [analysis.grad_cam, analysis.gradient_times_input])
def test_a_gradient_of_another_shape_is_refused(function):
    images = np.ones((2, 4, 3, 5))
    for other in (images[:1], images[..., :1], images[0]):
        with pytest.raises(AssertionError):
            function(images, other)
    with pytest.raises(AssertionError):
        function(images[0], images[0])
