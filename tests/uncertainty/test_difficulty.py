"""What boxes of a class count for, and how unsure a detector is of them: by hand."""

import math

import numpy as np
import pytest

from effjax.numerics import Unusable
from effjax.uncertainty import class_difficulty, weighted_entropy


def test_the_worse_a_class_is_found_the_more_it_counts():
    quality = np.array([1.0, 0.9, 0.5, 0.0], np.float32)
    expected = [1 + 0.3 * 0.2 * math.log((math.exp(1 / 0.3) - 1) * (1 - q) + 1) for q in quality]
    found = np.asarray(class_difficulty(quality))
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert (np.diff(found) > 0).all()
    np.testing.assert_allclose(found[[0, -1]], [1.0, 1.2], rtol=1e-6)


def test_entropy_is_that_of_the_likeliest_class_of_the_mean():
    probs = np.array([[[0.2, 0.5, 0.3]], [[0.4, 0.1, 0.5]]], np.float32)  # the mean: .3, .3 (the first), .4 nothing
    expected = 3.0 * -(0.3 * math.log(0.3) + 0.7 * math.log(0.7))
    np.testing.assert_allclose(weighted_entropy(probs, np.array([3.0, 7.0])), [expected], rtol=1e-6)
    sure = np.array([[[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]], np.float32)
    np.testing.assert_array_equal(weighted_entropy(sure, np.array([3.0, 7.0])), [0, 0])


def test_bad_arguments():
    with pytest.raises(AssertionError):
        weighted_entropy(np.full((1, 1, 3), 1 / 3, np.float32), np.ones(3))
    with pytest.raises(Unusable):
        weighted_entropy(np.full((1, 1, 3), np.nan, np.float32), np.ones(2))
