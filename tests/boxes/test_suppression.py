"""Which boxes are kept: by hand, against boxes one by one, and whatever is padded."""

import jax
import numpy as np
import pytest
from boxes.references import random_boxes, suppressed

from effjax import boxes
from effjax.errors import UserError

RNG = np.random.default_rng(1)
# Of the first, the others have IoU .8, .6 and 0.
ROW = np.array([[0, 0, 1, 0.5], [0, 0, 1, 0.4], [0, 0, 1, 0.3], [0, 0.5, 1, 1]], np.float32)
SCORES = np.array([0.9, 0.8, 0.7, 0.6], np.float32)


def kept(*given, **options):
    positions, valid = boxes.non_max_suppression(*given, **options)
    assert positions.dtype == np.int32
    assert (np.diff(valid.astype(int)) <= 0).all()  # what is there comes first
    np.testing.assert_array_equal(positions[~valid], 0)
    return positions[valid].tolist()


@pytest.mark.parametrize(
    ("threshold", "expected"), [(0.5, [0, 3]), (0.7, [0, 2, 3]), (0.81, [0, 1, 2, 3]), (0.0, [0, 3])]
)
def test_by_hand(threshold, expected):
    assert kept(ROW, SCORES, 4, iou_threshold=threshold) == expected


def test_what_is_dropped_drops_nothing():
    chain = np.array([[0, 0, 1, 0.5], [0, 0.1, 1, 0.6], [0, 0.2, 1, 0.7]], np.float32)  # neighbours: 2/3; ends: 3/7
    assert kept(chain, SCORES[:3], 3) == [0, 2]


def test_as_many_as_are_asked_for():
    assert kept(ROW, SCORES, 1) == [0]
    assert kept(ROW, SCORES, 9) == [0, 3]
    assert boxes.non_max_suppression(ROW, SCORES, 9)[0].shape == (9,)
    assert kept(np.zeros((0, 4)), np.zeros(0), 2) == []


def test_of_equal_scores_the_first_is_kept():
    assert kept(ROW, np.full(4, 0.5), 4) == [0, 3]
    assert kept(ROW[::-1], np.full(4, 0.5), 4) == [0, 1]


def test_classes_drop_their_own():
    assert kept(ROW, SCORES, 4, classes=np.array([0, 1, 1, 0])) == [0, 1, 3]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("threshold", [0.2, 0.5])
def test_random_boxes_against_boxes_one_by_one(seed, threshold):
    rng = np.random.default_rng(seed)
    some, scores, classes = random_boxes(rng, 40), rng.random(40).astype(np.float32), rng.integers(0, 3, 40)
    suppress = jax.jit(lambda *x: boxes.non_max_suppression(x[0], x[1], 40, iou_threshold=threshold, classes=x[2]))
    positions, valid = suppress(some, scores, classes)
    assert positions[valid].tolist() == suppressed(some, scores, threshold, classes)
    assert kept(some, scores, 40, iou_threshold=threshold, classes=classes) == positions[valid].tolist()
    order = rng.permutation(40)
    turned, _ = suppress(some[order], scores[order], classes[order])
    np.testing.assert_array_equal(order[turned][valid], positions[valid])


@pytest.mark.parametrize("nothing", [-np.inf, np.nan])
def test_padding_is_as_if_it_were_not_there(nothing):
    some, there = random_boxes(RNG, 20), RNG.random(20) < 0.6
    scores = RNG.random(20).astype(np.float32)
    padded = kept(some, np.where(there, scores, np.float32(nothing)), 20)
    assert padded == np.flatnonzero(there)[kept(some[there], scores[there], 20)].tolist()


def test_empty_boxes_are_kept_once():
    assert kept(np.zeros((3, 4)), SCORES[:3], 9) == [0, 1, 2]


def test_over_a_batch():
    some, scores = random_boxes(RNG, 3, 10), RNG.random((3, 10)).astype(np.float32)
    together = jax.vmap(lambda b, s: boxes.non_max_suppression(b, s, 5))(some, scores)
    for i in range(3):
        for one, all_ in zip(boxes.non_max_suppression(some[i], scores[i], 5), together, strict=True):
            np.testing.assert_array_equal(all_[i], one)


def test_no_gradient_flows():
    def total(some, scores):
        positions, valid = boxes.non_max_suppression(some, scores, 3)
        return (scores[positions] * valid).sum()

    to_boxes, to_scores = jax.grad(total, (0, 1))(ROW, SCORES)
    np.testing.assert_array_equal(to_boxes, 0)
    np.testing.assert_array_equal(to_scores, [1, 0, 0, 1])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((ROW, SCORES[:3], 2), r"scores: shape \(3,\); allowed: \(4,\), one for each box"),
        ((ROW[:, :3], SCORES, 2), r"boxes: shape \(4, 3\); allowed: \[..., 4\]"),
        ((ROW, SCORES, 0), "k=0 must be a whole number, 1 or more"),
        ((ROW, SCORES, 1.5), "k=1.5 must be a whole number, 1 or more"),
    ],
)
def test_bad_arguments_are_refused(given, said):
    with pytest.raises(UserError, match=said):
        boxes.non_max_suppression(*given)


def test_classes_are_as_many_as_boxes():
    with pytest.raises(UserError, match=r"classes: shape \(1,\); allowed: \(4,\)"):
        boxes.non_max_suppression(ROW, SCORES, 2, classes=np.zeros(1, int))
