"""Hints by hand and against loops."""

import numpy as np
import pytest

from effjax import losses
from effjax.errors import UserError

RNG = np.random.default_rng(5)
STUDENT = RNG.normal(size=(3, 2, 4, 5)).astype(np.float32)
TEACHER = RNG.normal(size=(3, 2, 4, 5)).astype(np.float32)


def test_by_hand():
    # Differences (1, 2) and (3, 0): over two channels of one vector, or over two positions of two channels.
    vectors = np.array([[1.0, 2.0], [3.0, 0.0]])
    np.testing.assert_allclose(losses.hint_mse(vectors, np.zeros((2, 2))), [5 / 2, 9 / 2])
    np.testing.assert_allclose(losses.hint_mse(vectors, np.zeros((2, 2)), form="mean"), [5 / 2, 9 / 2])
    maps = vectors.reshape(1, 2, 1, 2)
    np.testing.assert_allclose(losses.hint_mse(maps, 0 * maps), [(5 / 2 + 9 / 2) / 2])
    np.testing.assert_allclose(losses.hint_mse(maps, 0 * maps, form="mean"), [14 / 4])


@pytest.mark.parametrize("form", ["paper", "mean"])
def test_equals_the_reference(form):
    expected = []
    for s, t in zip(STUDENT.astype(np.float64), TEACHER.astype(np.float64), strict=True):
        squares = [(s[i, j, c] - t[i, j, c]) ** 2 for i in range(2) for j in range(4) for c in range(5)]
        expected.append(sum(squares) / 2 / 8 if form == "paper" else sum(squares) / 40)
    np.testing.assert_allclose(losses.hint_mse(STUDENT, TEACHER, form=form), expected, rtol=1e-5)


def test_what_does_not_fit_is_refused():
    with pytest.raises(UserError, match=r"hint_mse: form='papr'; allowed: mean, paper \(did you mean 'paper'\?\)"):
        losses.hint_mse(STUDENT, TEACHER, form="papr")
    with pytest.raises(AssertionError):
        losses.hint_mse(STUDENT, TEACHER[..., :4])
    with pytest.raises(AssertionError):
        losses.hint_mse(STUDENT[0, 0, 0], TEACHER[0, 0, 0])
