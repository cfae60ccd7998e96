"""Learning curves, by hand."""

import numpy as np
import pytest

from effjax.reports.active_curves import area, labels_needed, mean_curve, shared_range

LABELS, ACCURACY = np.array([10.0, 20.0, 40.0]), np.array([0.5, 0.7, 0.8])


def seed(labels, accuracy):
    return {"rounds": [{"labels": x, "test/accuracy": y} for x, y in zip(labels, accuracy, strict=True)]}


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (10, 40, (0.6 * 10 + 0.75 * 20) / 30),
        (15, 30, (0.65 * 5 + 0.725 * 10) / 15),  # the ends lie between rounds
        (20, 20, 0.7),
        (12, 14, 0.56),  # no round inside
    ],
)
def test_area_is_the_mean_height(low, high, expected):
    assert area(LABELS, ACCURACY, low, high) == pytest.approx(expected)


def test_area_of_a_level_curve_is_its_level():
    assert area(LABELS, np.full(3, 0.9), 11, 39) == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("level", "expected"),
    [(0.5, 10), (0.3, 10), (0.6, 15), (0.7, 20), (0.75, 30), (0.8, 40), (0.81, None)],
)
def test_labels_needed_lie_on_straight_lines(level, expected):
    found = labels_needed(LABELS, ACCURACY, level)
    assert found is None if expected is None else found == pytest.approx(expected)


def test_the_first_crossing_counts():
    assert labels_needed(np.array([10, 20, 30, 40]), np.array([0.5, 0.7, 0.6, 0.8]), 0.65) == pytest.approx(17.5)


def test_a_round_without_new_labels():
    labels, accuracy = np.array([10.0, 20, 20, 30]), np.array([0.5, 0.6, 0.7, 0.8])
    assert labels_needed(labels, accuracy, 0.65) == 20
    assert area(labels, accuracy, 10, 30) == pytest.approx((0.55 * 10 + 0.75 * 10) / 20)


def test_shared_range():
    curves = [seed([10, 20, 40], ACCURACY)["rounds"], seed([12, 30], [0.5, 0.6])["rounds"]]
    assert shared_range(curves) == (12, 30)
    assert shared_range([*curves, seed([31], [0.6])["rounds"]]) is None


def test_mean_curve_over_unequal_rounds():
    curve = mean_curve([seed([10, 20, 40], ACCURACY), seed([10, 30], [0.6, 0.8])], "labels", "test/accuracy")
    np.testing.assert_allclose(curve.at, [10, 20, 30])  # what both cover
    np.testing.assert_allclose(curve.mean, [0.55, 0.7, 0.775])
    np.testing.assert_allclose(curve.half, 12.7062 * np.array([0.05, 0.0, 0.025]), rtol=1e-5, atol=1e-12)


def test_one_seed_has_a_line_without_an_interval():
    curve = mean_curve([seed(LABELS, ACCURACY)], "labels", "test/accuracy")
    np.testing.assert_array_equal(curve.mean, ACCURACY)
    assert curve.half is None


def test_seeds_that_share_nothing_have_no_mean():
    assert mean_curve([seed([1], [0.5]), seed([2], [0.5])], "labels", "test/accuracy").at.size == 0
