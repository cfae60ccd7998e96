"""Which point predicts which box: points of a grid, distances, FCOS' assignment."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from boxes.references import area, random_boxes

from effjax import boxes
from effjax.errors import UserError

RNG = np.random.default_rng(2)
POINTS = np.asarray(boxes.grid_points(4, 6))
SOME, VALID = random_boxes(RNG, 12), np.arange(12) != 2
REACH = np.full((24, 2), 0.3, np.float32)
SIZES = np.stack([np.where(np.arange(24) % 2, 0.3, 0.0), np.where(np.arange(24) % 2, 0.6, 0.3)], -1)


def matched(points, some, valid, reach, sizes):
    """Index and positive, point by point and box by box."""
    index, positive = np.zeros(len(points), int), np.zeros(len(points), bool)
    for p, (y, x) in enumerate(points):
        smallest = np.inf
        for m, (y0, x0, y1, x1) in enumerate(some):
            inside = y0 < y < y1 and x0 < x < x1
            near = abs(y - (y0 + y1) / 2) < reach[p][0] and abs(x - (x0 + x1) / 2) < reach[p][1]
            farthest = max(y - y0, x - x0, y1 - y, x1 - x)
            fits = sizes is None or sizes[p][0] <= farthest <= sizes[p][1]
            if valid[m] and inside and near and fits and area(some[m]) < smallest:
                smallest, index[p], positive[p] = area(some[m]), m, True
    return index, positive


def test_points_are_the_centres_of_cells_row_by_row():
    expected = [[0.25, 1 / 6], [0.25, 0.5], [0.25, 5 / 6], [0.75, 1 / 6], [0.75, 0.5], [0.75, 5 / 6]]
    np.testing.assert_allclose(boxes.grid_points(2, 3), expected, rtol=1e-6)


def test_distances_by_hand_and_back():
    distances = boxes.encode(np.array([0.5, 0.25]), np.array([0.25, 0.5, 1.0, 0.75]))
    np.testing.assert_array_equal(distances, [0.25, -0.25, 0.5, 0.5])  # the point is left of the box
    there = boxes.decode(POINTS[:, None], boxes.encode(POINTS[:, None], SOME))
    np.testing.assert_allclose(there, np.broadcast_to(SOME, (24, 12, 4)), atol=1e-6)


@pytest.mark.parametrize("compile_", [lambda f: f, jax.jit])
@pytest.mark.parametrize("sizes", [None, SIZES])
def test_against_points_one_by_one(compile_, sizes):
    index, positive = compile_(lambda *x: boxes.match(*x[:3], reach=x[3], sizes=x[4]))(
        POINTS, SOME, VALID, REACH, sizes
    )
    expected = matched(POINTS, SOME, VALID, REACH, sizes)
    np.testing.assert_array_equal(index, expected[0])
    np.testing.assert_array_equal(positive, expected[1])
    assert index.dtype == np.int32
    assert 0 < positive.sum() < len(POINTS)


def test_reach_is_said_along_each_axis():
    whole = np.array([[0, 0, 1, 1]], np.float32)
    for reach in (np.array([0.2, 1.0]), np.tile([0.2, 1.0], (24, 1))):
        positive = boxes.match(POINTS, whole, np.array([True]), reach=reach).positive
        np.testing.assert_array_equal(positive.reshape(4, 6), [[False] * 6, [True] * 6, [True] * 6, [False] * 6])


def test_of_several_boxes_the_smallest_and_of_equal_ones_the_first():
    whole, half = [0, 0, 1, 1], [0, 0, 1, 0.75]
    centre = np.array([[0.5, 0.5]], np.float32)
    for some, expected in ([whole, half], 1), ([half, whole], 0), ([whole, whole], 0), ([whole, half, half], 1):
        given = np.array(some, np.float32)
        found = boxes.match(centre, given, np.ones(len(some), bool), reach=np.array([0.5, 0.5]))
        assert found.index.tolist() == [expected]
        assert found.positive.all()


@pytest.mark.parametrize(
    ("least", "largest", "positive"), [(0.5, 0.9, 1), (0.0, 0.5, 1), (0.51, 0.9, 0), (0.0, 0.49, 0)]
)
def test_the_bounds_of_a_level_are_its_own(least, largest, positive):
    sizes = np.array([[least, largest]])  # the farthest side is half of the image away
    found = boxes.match(
        np.full((1, 2), 0.5), np.array([[0, 0, 1, 0.75]]), np.array([True]), reach=np.array([0.5, 0.5]), sizes=sizes
    )
    assert found.positive.sum() == positive


def test_what_is_as_far_as_reach_is_not_near():
    given = np.array([[0.5, 0.5]]), np.array([[0.0, 0.0, 1.0, 0.75]]), np.array([True])  # the centre is 1/8 away
    assert not boxes.match(*given, reach=np.array([0.5, 0.125])).positive.any()
    assert boxes.match(*given, reach=np.array([0.5, 0.126])).positive.all()


def test_a_point_on_a_side_is_not_in_the_box():
    found = boxes.match(
        np.array([[0.5, 0.5]]), np.array([[0.5, 0, 1, 1]]), np.array([True]), reach=np.array([1.0, 1.0])
    )
    assert not found.positive.any()


def test_empty_boxes_belong_to_no_point():
    nothing = np.array([[0.5, 0.5, 0.5, 0.5], [0.8, 0.8, 0.2, 0.2]], np.float32)
    assert not boxes.match(POINTS, nothing, np.ones(2, bool), reach=REACH).positive.any()
    assert not boxes.match(POINTS, SOME, np.zeros(12, bool), reach=REACH).positive.any()


def test_padding_and_order_of_the_boxes_change_nothing():
    expected = boxes.match(POINTS, SOME, VALID, reach=REACH)
    order = RNG.permutation(12)
    turned = boxes.match(POINTS, SOME[order], VALID[order], reach=REACH)
    np.testing.assert_array_equal(turned.positive, expected.positive)
    np.testing.assert_array_equal(order[turned.index][turned.positive], expected.index[expected.positive])
    subset = boxes.match(POINTS, SOME[VALID], np.ones(11, bool), reach=REACH)
    np.testing.assert_array_equal(np.flatnonzero(VALID)[subset.index][subset.positive], expected.index[subset.positive])
    np.testing.assert_array_equal(subset.positive, expected.positive)


def test_matching_a_batch():
    some, valid = random_boxes(RNG, 3, 5), RNG.random((3, 5)) < 0.7
    together = jax.vmap(lambda b, v: boxes.match(POINTS, b, v, reach=REACH))(some, valid)
    for i in range(3):
        one = boxes.match(POINTS, some[i], valid[i], reach=REACH)
        np.testing.assert_array_equal(together.index[i], one.index)
        np.testing.assert_array_equal(together.positive[i], one.positive)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"points": np.zeros((24, 4))}, r"points: shape \(24, 4\); allowed: \[..., 2\]"),
        ({"valid": np.ones(4, bool)}, r"valid: shape \(4,\); allowed: \(12,\), one for each box"),
        ({"reach": np.ones((3, 2))}, r"reach: shape \(3, 2\); allowed: \(24, 2\), one for each point"),
        ({"sizes": np.ones(2)}, r"sizes: shape \(2,\); allowed: \(24, 2\), the least and the largest"),
    ],
)
def test_shapes_that_match_nothing_are_refused(changed, said):
    given = {"points": POINTS, "boxes": SOME, "valid": VALID, "reach": jnp.asarray(REACH), **changed}
    with pytest.raises(UserError, match=said):
        boxes.match(**given)
