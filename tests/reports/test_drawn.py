"""What is drawn on images: boxes, and where a network looks."""

import numpy as np
import pytest

from effjax.reports.drawn_boxes import FOUND, TRUE, Marks, drawn_boxes
from effjax.reports.heat import heated


def test_boxes_lie_around_their_pixels_the_last_on_top():
    image = np.full((10, 20, 1), 50, np.uint8)
    box = [0.2, 0.1, 0.7, 0.5]  # rows 2 to 6, columns 2 to 9
    drawn = drawn_boxes(image, [Marks([box], TRUE), Marks([[0.2, 0.1, 0.4, 0.2]], FOUND)], least=20)
    assert drawn.shape == (10, 20, 3)
    green = (drawn == TRUE).all(-1)
    expected = np.zeros((10, 20), bool)
    expected[[2, 6], 2:10] = expected[2:7, 2] = expected[2:7, 9] = True
    orange = (drawn == FOUND).all(-1)
    assert orange[2:4, 2:4].all()
    assert orange.sum() == 4
    np.testing.assert_array_equal(green | orange, expected | orange)
    assert (drawn[4, 5] == 50).all()  # within
    np.testing.assert_array_equal(image, 50)


def test_a_small_image_is_enlarged_by_a_whole_factor():
    drawn = drawn_boxes(np.arange(12, dtype=np.uint8).reshape(2, 2, 3), [], least=7)
    assert drawn.shape == (8, 8, 3)
    np.testing.assert_array_equal(drawn[:4, 4:], np.broadcast_to([3, 4, 5], (4, 4, 3)))


def test_the_places_that_are_looked_at_are_warm():
    image = np.zeros((4, 6, 1), np.uint8)
    weights = np.array([0, 0, 0.2, 0.8, 0, 0.4])  # of two rows of three
    lit = heated(image, weights, least=6)
    assert lit.shape == (4, 6, 3)
    red = lit[..., 0].astype(float)
    np.testing.assert_allclose(red[::2, ::2].ravel() / red.max(), weights / 0.8, atol=0.01)
    np.testing.assert_array_equal(red[:2, :2], 0)
    assert (lit[2, 0] == [166, 78, 0]).all()
    with pytest.raises(ValueError, match="5 places"):
        heated(image, np.ones(5))
