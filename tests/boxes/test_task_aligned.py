"""TOOD's assignment: by hand, point by point and box by box, and whatever is padded."""

import jax
import numpy as np
import pytest
from boxes.references import overlap, random_boxes

from effjax import boxes
from effjax.errors import UserError

RNG = np.random.default_rng(5)
POINTS = np.asarray(boxes.grid_points(6, 6))
SOME = np.array([[0, 0, 0.6, 0.7], [0.2, 0.3, 0.9, 1], [0, 0, 1, 1], [0.5, 0.1, 0.95, 0.6], [0.1, 0.1, 0.4, 0.4]])
SOME, CLASSES = SOME.astype(np.float32), np.array([0, 2, -1, 1, 0])
VALID = np.array([True, True, False, True, True])
PROBS = RNG.random((36, 3)).astype(np.float32)
NEAR = SOME[RNG.integers(0, 5, 36)] + RNG.normal(0, 0.1, (36, 4)).astype(np.float32)
PREDICTED = np.concatenate([NEAR[:, :2], np.maximum(NEAR[:, 2:], NEAR[:, :2] + 0.1)], -1)
GIVEN = POINTS, SOME, CLASSES, VALID, PROBS, PREDICTED


def assigned(points, some, classes, valid, probs, predicted, candidates, alpha=1.0, beta=6.0):
    """Index, positive and quality, in float64."""
    agreement, ious = np.zeros((len(some), len(points))), np.zeros((len(some), len(points)))
    taken = np.zeros(agreement.shape, bool)
    for m, (y0, x0, y1, x1) in enumerate(some):
        for p, (y, x) in enumerate(points):
            ious[m, p] = overlap(predicted[p], some[m])[0]
            if valid[m] and y0 < y < y1 and x0 < x < x1:
                agreement[m, p] = float(probs[p, classes[m]]) ** alpha * ious[m, p] ** beta
        for p in np.argsort(-agreement[m], kind="stable")[:candidates]:
            taken[m, p] = agreement[m, p] > 0
    index, quality = np.zeros(len(points), int), np.zeros(len(points))
    for p in np.flatnonzero(taken.any(0)):
        index[p] = max(np.flatnonzero(taken[:, p]), key=lambda m: ious[m, p])
    for m in range(len(some)):
        own = np.flatnonzero(taken.any(0) & (index == m))
        if len(own):
            quality[own] = agreement[m, own] / agreement[m, own].max() * ious[m, own].max()
    return index, taken.any(0), quality


@pytest.mark.parametrize("compile_", [lambda f: f, jax.jit])
@pytest.mark.parametrize(("candidates", "alpha", "beta"), [(13, 1.0, 6.0), (3, 0.5, 2.0), (99, 1.0, 6.0)])
def test_alignment_against_points_one_by_one(compile_, candidates, alpha, beta):
    options = {"candidates": candidates, "alpha": alpha, "beta": beta}
    (index, positive), quality = compile_(lambda *x: boxes.match_task_aligned(*x, **options))(*GIVEN)
    expected = assigned(*GIVEN, **options)
    np.testing.assert_array_equal(index, expected[0])
    np.testing.assert_array_equal(positive, expected[1])
    np.testing.assert_allclose(quality, expected[2], rtol=1e-4, atol=1e-7)
    assert index.dtype == np.int32
    assert 3 <= positive.sum() < 36


def test_qualities_by_hand():
    # Of the same probability, IoU 1 and .5: t is .5 and .5/64. The third point is not in the box.
    points = np.array([[0.25, 0.5], [0.75, 0.5], [0.75, 1.5]], np.float32)
    predicted = np.array([[0, 0, 1, 1], [0, 0, 1, 0.5], [0, 0, 1, 1]], np.float32)
    box, one = np.array([[0, 0, 1, 1]], np.float32), np.array([True])
    match, quality = boxes.match_task_aligned(points, box, np.array([0]), one, np.full((3, 1), 0.5), predicted)
    np.testing.assert_array_equal(match.positive, [True, True, False])
    np.testing.assert_allclose(quality, [1, 1 / 64, 0], rtol=1e-6)
    worse = predicted * np.array([1, 1, 1, 0.5], np.float32)  # IoU .5 and .25: no quality is above .5
    _, quality = boxes.match_task_aligned(points, box, np.array([0]), one, np.full((3, 1), 0.5), worse)
    np.testing.assert_allclose(quality, [1 / 2, 1 / 128, 0], rtol=1e-6)


def test_of_equal_boxes_and_points_the_first():
    twice, points = np.array([[0, 0, 1, 1]] * 2, np.float32), np.array([[0.4, 0.5], [0.6, 0.5]], np.float32)
    given = points, twice, np.zeros(2, int), np.ones(2, bool), np.full((2, 1), 0.5), twice
    match, _ = boxes.match_task_aligned(*given, candidates=1)
    np.testing.assert_array_equal(match.positive, [True, False])
    np.testing.assert_array_equal(match.index, [0, 0])


def test_alignment_of_a_subset_and_in_another_order():
    (index, positive), quality = boxes.match_task_aligned(*GIVEN)
    for chosen in (np.flatnonzero(VALID), RNG.permutation(5)):
        given = POINTS, SOME[chosen], CLASSES[chosen], VALID[chosen], PROBS, PREDICTED
        other, same = boxes.match_task_aligned(*given)
        np.testing.assert_array_equal(other.positive, positive)
        np.testing.assert_array_equal(chosen[other.index][positive], index[positive])
        np.testing.assert_allclose(same, quality, rtol=1e-6)


def test_predictions_of_nothing_give_no_positives_and_no_nan():
    for probs, predicted in ((0 * PROBS, PREDICTED), (PROBS, 0 * PREDICTED)):
        match, quality = boxes.match_task_aligned(POINTS, SOME, CLASSES, VALID, probs, predicted)
        assert not match.positive.any()
        np.testing.assert_array_equal(quality, 0)


def test_no_gradient_flows_to_the_predictions():
    def total(probs, predicted):
        return boxes.match_task_aligned(POINTS, SOME, CLASSES, VALID, probs, predicted)[1].sum()

    for gradient in jax.grad(total, (0, 1))(PROBS, PREDICTED):
        np.testing.assert_array_equal(gradient, 0)


def test_alignment_over_a_batch():
    some = np.stack([SOME, random_boxes(RNG, 5)])
    together = jax.vmap(lambda b: boxes.match_task_aligned(POINTS, b, *GIVEN[2:]))(some)
    for i in range(2):
        one = boxes.match_task_aligned(POINTS, some[i], *GIVEN[2:])
        jax.tree.map(lambda a, b, i=i: np.testing.assert_allclose(a[i], b, rtol=1e-6), together, one)


@pytest.mark.parametrize(
    ("place", "wrong", "said"),
    [
        (2, CLASSES[1:], r"classes: shape \(4,\); allowed: \(5,\), one for each box"),
        (3, VALID[1:], r"valid: shape \(4,\); allowed: \(5,\), one for each box"),
        (4, PROBS[1:], r"probs: shape \(35, 3\); allowed: \(36, 3\), those of each point"),
        (4, PROBS[:, 0], r"probs: shape \(36,\); allowed: \(36, 36\), those of each point"),
        (5, PREDICTED[1:], r"predicted: shape \(35, 4\); allowed: \(36, 4\), one for each point"),
    ],
)
def test_predictions_of_other_shapes_are_refused(place, wrong, said):
    with pytest.raises(UserError, match=said):
        boxes.match_task_aligned(*(wrong if i == place else x for i, x in enumerate(GIVEN)))


def test_no_candidates_are_refused():
    with pytest.raises(UserError, match="candidates=0 must be a whole number, 1 or more"):
        boxes.match_task_aligned(*GIVEN, candidates=0)
