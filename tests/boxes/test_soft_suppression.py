"""Scores that are lowered: by hand, against boxes one by one, and whatever is padded."""

import jax
import numpy as np
import pytest
from boxes.references import overlap, random_boxes

from effjax import boxes
from effjax.errors import UserError

RNG = np.random.default_rng(4)
ROW = np.array([[0, 0, 1, 0.5], [0, 0, 1, 0.4], [0, 0.5, 1, 1]], np.float32)  # IoU with the first: 1, .8, 0
SCORES = np.array([0.9, 0.8, 0.6], np.float32)


def one_by_one(some, scores, sigma, classes):
    """Positions and lowered scores of all boxes, in float64."""
    scores, picked = scores.astype(np.float64), []
    while len(picked) < len(scores):
        left = [i for i in range(len(scores)) if i not in [position for position, _ in picked]]
        best = max(left, key=lambda i: scores[i])
        picked.append((best, scores[best]))
        for i in left:
            if classes[i] == classes[best]:
                scores[i] *= np.exp(-(overlap(some[i], some[best])[0] ** 2) / sigma)
    return map(np.array, zip(*picked, strict=True))


def test_scores_by_hand():
    positions, scores, valid = boxes.soft_non_max_suppression(ROW, SCORES, 4)
    np.testing.assert_array_equal(positions, [0, 2, 1, 0])
    np.testing.assert_allclose(scores, [0.9, 0.6, 0.8 * np.exp(-0.64 / 0.5), -np.inf], rtol=1e-6)
    np.testing.assert_array_equal(valid, [True, True, True, False])


@pytest.mark.parametrize("compile_", [lambda f: f, jax.jit])
@pytest.mark.parametrize("sigma", [0.1, 0.5])
def test_random_scores_against_boxes_one_by_one(compile_, sigma):
    some, scores, classes = random_boxes(RNG, 20), RNG.random(20).astype(np.float32), RNG.integers(0, 2, 20)
    suppress = compile_(lambda *x: boxes.soft_non_max_suppression(x[0], x[1], 20, sigma=sigma, classes=x[2]))
    positions, lowered, valid = suppress(some, scores, classes)
    expected_positions, expected = one_by_one(some, scores, sigma, classes)
    np.testing.assert_array_equal(positions, expected_positions)
    np.testing.assert_allclose(lowered, expected, rtol=1e-4)
    assert valid.all()


def test_a_narrow_sigma_leaves_the_boxes_that_overlap_none():
    some, scores = random_boxes(RNG, 12), RNG.random(12).astype(np.float32)
    positions, lowered, _ = boxes.soft_non_max_suppression(some, scores, 12, sigma=1e-9)
    kept, valid = boxes.non_max_suppression(some, scores, 12, iou_threshold=1e-3)
    assert positions[lowered > 1e-6].tolist() == kept[valid].tolist()


@pytest.mark.parametrize("nothing", [-np.inf, np.nan])
def test_padding_lowers_nothing(nothing):
    some, there, scores = random_boxes(RNG, 10), np.arange(10) % 3 > 0, RNG.random(10).astype(np.float32)
    padded = boxes.soft_non_max_suppression(some, np.where(there, scores, np.float32(nothing)), 10, sigma=1e-9)
    positions, lowered, _ = boxes.soft_non_max_suppression(some[there], scores[there], 6, sigma=1e-9)
    np.testing.assert_array_equal(padded[0][:6], np.flatnonzero(there)[positions])
    np.testing.assert_array_equal(padded[1][:6], lowered)
    np.testing.assert_array_equal(padded[2], np.arange(10) < 6)


def test_lowering_over_a_batch():
    some, scores = random_boxes(RNG, 3, 6), RNG.random((3, 6)).astype(np.float32)
    together = jax.vmap(lambda b, s: boxes.soft_non_max_suppression(b, s, 4))(some, scores)
    for i in range(3):
        positions, lowered, _ = boxes.soft_non_max_suppression(some[i], scores[i], 4)
        np.testing.assert_array_equal(together[0][i], positions)
        np.testing.assert_allclose(together[1][i], lowered, rtol=1e-6)


def test_as_many_scores_as_boxes():
    with pytest.raises(UserError, match=r"scores: shape \(2,\); allowed: \(3,\), one for each box"):
        boxes.soft_non_max_suppression(ROW, SCORES[:2], 2)
