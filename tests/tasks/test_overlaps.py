"""Overlaps of boxes on the host: those of the pure function, in few shapes."""

import numpy as np
import pytest
from compilations import count_compilations

from effjax import boxes
from effjax.tasks.overlaps import overlaps, overlaps_by_image

CORNERS = np.sort(np.random.default_rng(0).uniform(size=(30, 2, 2)), 1).reshape(-1, 4)


@pytest.mark.parametrize(("m", "n"), [(0, 0), (0, 3), (1, 0), (8, 9), (17, 1), (30, 30)])
def test_they_are_those_of_the_pure_function(m, n):
    a, b = CORNERS[:m], CORNERS[::-1][:n]
    found = overlaps(a, b)
    assert found.shape == (m, n)
    np.testing.assert_array_equal(found, np.asarray(boxes.iou(a, b)))


def test_images_are_looked_at_some_at_once():
    shifts = np.random.default_rng(1).uniform(-0.1, 0.1, (70, 1, 4))
    a, b = np.tile(CORNERS[:3], (70, 1, 1)) + shifts, np.tile(CORNERS[3:7], (70, 1, 1))
    found = list(overlaps_by_image(a, b))
    assert len(found) == 70
    for own, one, other in zip(found, a, b, strict=True):
        np.testing.assert_array_equal(own, np.asarray(boxes.iou(one, other)))
    assert list(overlaps_by_image(a[:0], b[:0])) == []


def test_another_number_of_boxes_compiles_nothing():
    overlaps(CORNERS[:5], CORNERS[:9])
    with count_compilations() as compiled:
        for m, n in ((1, 10), (3, 16), (8, 12)):
            overlaps(CORNERS[:m], CORNERS[:n])
    assert not compiled
