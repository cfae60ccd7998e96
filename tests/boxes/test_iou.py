"""Overlaps by hand, against boxes one by one, and of boxes that are empty."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from boxes.references import area, overlap, random_boxes

from effjax import boxes
from effjax.errors import UserError

RNG = np.random.default_rng(0)
A, B = random_boxes(RNG, 2, 5), random_boxes(RNG, 2, 7)
WHOLE, LEFT, RIGHT = [0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.25], [0.0, 0.75, 1.0, 1.0]
POINT, LINE, TURNED = [0.5, 0.5, 0.5, 0.5], [0.0, 0.5, 1.0, 0.5], [0.8, 0.8, 0.2, 0.2]


@pytest.mark.parametrize(
    ("a", "b", "iou", "generalized"),
    [
        (WHOLE, WHOLE, 1, 1),
        (WHOLE, LEFT, 0.25, 0.25),
        (LEFT, RIGHT, 0, -0.5),
        ([0, 0, 0.5, 0.5], [0.25, 0.25, 0.75, 0.75], 1 / 7, 1 / 7 - 2 / 9),
        (POINT, POINT, 0, 0),
        (POINT, WHOLE, 0, 0),
        (POINT, [0.5, 0.5, 1, 1], 0, 0),
        ([0, 0, 0, 0], [1, 1, 1, 1], 0, -1),
        (TURNED, WHOLE, 0, 0),
    ],
)
def test_by_hand(a, b, iou, generalized):
    a, b = np.array(a, np.float32), np.array(b, np.float32)
    for first, second in ((a, b), (b, a)):
        np.testing.assert_allclose(boxes.aligned_iou(first, second), iou, atol=1e-6)
        np.testing.assert_allclose(boxes.aligned_generalized_iou(first, second), generalized, atol=1e-6)


@pytest.mark.parametrize("compile_", [lambda f: f, jax.jit])
def test_all_pairs_are_those_of_boxes_one_by_one(compile_):
    expected = np.array([[[overlap(a, b) for b in bs] for a in as_] for as_, bs in zip(A, B, strict=True)])
    np.testing.assert_allclose(compile_(boxes.iou)(A, B), expected[..., 0], atol=2e-6)
    np.testing.assert_allclose(compile_(boxes.generalized_iou)(A, B), expected[..., 1], atol=2e-6)
    np.testing.assert_allclose(boxes.area(A), [[area(a) for a in as_] for as_ in A], rtol=1e-5)


def test_aligned_is_the_diagonal():
    np.testing.assert_array_equal(boxes.aligned_iou(A, B[:, :5]), jnp.diagonal(boxes.iou(A, B[:, :5]), 0, 1, 2))
    generalized = boxes.generalized_iou(A, B[:, :5])
    np.testing.assert_array_equal(boxes.aligned_generalized_iou(A, B[:, :5]), jnp.diagonal(generalized, 0, 1, 2))


def test_it_neither_depends_on_where_nor_how_large_the_boxes_are():
    moved = 0.25 * A + np.array([0.5, 0.125, 0.5, 0.125], np.float32)
    other = 0.25 * B + np.array([0.5, 0.125, 0.5, 0.125], np.float32)
    np.testing.assert_allclose(boxes.generalized_iou(moved, other), boxes.generalized_iou(A, B), atol=1e-5)
    np.testing.assert_allclose(boxes.iou(500 * A, 500 * B), boxes.iou(A, B), atol=1e-6)


def test_values_and_gradients_of_empty_boxes_are_finite():
    odd = np.array([WHOLE, POINT, LINE, TURNED, [0, 0, 1e-12, 1e-12], [0, 0, 1e-20, 1], [0, 0, 1e-9, 2e-9]], np.float32)
    for function in (boxes.iou, boxes.generalized_iou):
        for cotangent in (np.ones((7, 7), np.float32), np.eye(7, dtype=np.float32)):
            values, back = jax.vjp(function, odd, odd)
            assert np.isfinite(values).all()
            assert np.abs(values).max() <= 1 + 1e-6
            assert all(np.isfinite(gradient).all() for gradient in back(cotangent))


def test_gradients_are_those_of_finite_differences():
    direction = RNG.normal(size=A.shape).astype(np.float32)

    def total(a):
        return boxes.generalized_iou(a, B).sum()

    above, below = total(A + 1e-3 * direction), total(A - 1e-3 * direction)
    np.testing.assert_allclose((jax.grad(total)(A) * direction).sum(), (above - below) / 2e-3, rtol=2e-2)


def test_bfloat16_is_computed_in_float32():
    low = jnp.asarray(A, jnp.bfloat16)
    assert boxes.area(low).dtype == jnp.float32
    np.testing.assert_array_equal(boxes.iou(low, low), boxes.iou(low.astype(jnp.float32), low.astype(jnp.float32)))


def test_a_number_is_no_box():
    with pytest.raises(UserError, match=r"boxes: shape \(\); allowed: \[..., 4\]"):
        boxes.area(np.float32(1))


@pytest.mark.parametrize("function", [boxes.iou, boxes.generalized_iou, boxes.aligned_iou])
def test_what_are_no_boxes_is_refused(function):
    with pytest.raises(UserError, match=r"a: shape \(2, 3\); allowed: \[..., 4\]"):
        function(np.zeros((2, 3)), np.zeros((2, 4)))


def test_aligned_boxes_are_as_many():
    with pytest.raises(UserError, match=r"b: shape \(3, 4\); allowed: \(2, 4\), as many as of a"):
        boxes.aligned_iou(np.zeros((2, 4)), np.zeros((3, 4)))
