"""VQA's accuracy against its definition, person by person."""

import jax
import numpy as np
import pytest

from effjax import metrics


def by_definition(answer, given):
    """Each person is left out once; min(1, agreeing / 3) of the others."""
    scores = []
    for left_out in range(len(given)):
        others = [other for i, other in enumerate(given) if i != left_out]
        scores.append(min(1.0, sum(other == answer for other in others) / 3))
    return sum(scores) / len(scores)


@pytest.mark.parametrize("compile_", [lambda f: f, jax.jit])
def test_it_is_the_mean_over_all_but_one(compile_):
    rng = np.random.default_rng(0)
    given, answers = rng.integers(0, 4, (50, 10)), rng.integers(0, 4, 50)
    found = compile_(metrics.consensus_accuracy)(answers, given)
    np.testing.assert_allclose(found, [by_definition(*pair) for pair in zip(answers, given, strict=True)], atol=1e-6)


@pytest.mark.parametrize(("agreeing", "expected"), [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (10, 1.0)])
def test_ten_people_by_hand(agreeing, expected):
    given = np.where(np.arange(10) < agreeing, 5, 1)[None]
    np.testing.assert_allclose(metrics.consensus_accuracy(np.array([5]), given), [expected], atol=1e-6)


def test_what_has_no_number_is_like_nothing():
    assert float(metrics.consensus_accuracy(np.array([-1]), np.full((1, 10), -1))[0]) == 0


@pytest.mark.parametrize("shape", [(3,), (2, 10), (3, 1)])
def test_shapes_that_do_not_fit_are_refused(shape):
    with pytest.raises(ValueError, match=r"allowed: \[N\] and \[N, G\]"):
        metrics.consensus_accuracy(np.zeros(3, int), np.zeros(shape, int))


def test_of_two_people_the_other_one_counts():
    given = np.array([[7, 7], [7, 3]])
    np.testing.assert_allclose(metrics.consensus_accuracy(np.array([7, 7]), given), [1 / 3, 1 / 6], atol=1e-6)
