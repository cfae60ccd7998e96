"""From the scores of an example's items to one of the example."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax.errors import UserError
from effjax.uncertainty import AGGREGATES, aggregate

SCORES = np.array([[0.3, 0.5, 0.1, 0.9, 0.2, 0.7, 0.4], [0.8, 0.6, 0.0, 0.0, 0.0, 0.0, 0.0], [1.0] * 7])
PRESENT = np.array([[1, 1, 1, 0, 1, 1, 1], [1, 1, 0, 0, 0, 0, 0], [0] * 7], bool)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("max", [0.7, 0.8, 0]),
        ("mean", [2.2 / 6, 0.7, 0]),
        ("sum", [2.2, 1.4, 0]),
        ("top_mean", [2.1 / 5, 0.7, 0]),  # the five highest, of which the second example has two
    ],
)
def test_by_hand(kind, expected):
    np.testing.assert_allclose(aggregate(SCORES, PRESENT, kind), expected, atol=1e-6)


def reference(scores, present, kind):
    found = []
    for row, there in zip(scores, present, strict=True):
        kept = sorted(row[there], reverse=True)
        if kind == "top_mean":
            kept = kept[:5]
        whole = {"max": np.max, "mean": np.mean, "sum": np.sum, "top_mean": np.mean}[kind]
        found.append(whole(kept) if kept else 0.0)
    return found


@pytest.mark.parametrize("items", [1, 3, 12])
@pytest.mark.parametrize("kind", AGGREGATES)
def test_equals_numpy_in_a_program_and_not(kind, items):
    rng = np.random.default_rng(items)
    scores, present = rng.exponential(1, (20, items)), rng.random((20, items)) < 0.6
    expected = reference(scores, present, kind)
    np.testing.assert_allclose(aggregate(scores, present, kind), expected, rtol=1e-5)
    np.testing.assert_allclose(jax.jit(aggregate, static_argnums=2)(scores, present, kind), expected, rtol=1e-5)


@pytest.mark.parametrize("kind", AGGREGATES)
def test_what_is_not_there_says_nothing_not_even_that_it_is_no_number(kind):
    spoilt = np.where(PRESENT, SCORES, np.nan)
    np.testing.assert_array_equal(aggregate(spoilt, PRESENT, kind), aggregate(SCORES, PRESENT, kind))
    order = np.random.default_rng(0).permutation(7)
    permuted = aggregate(SCORES[:, order], PRESENT[:, order], kind)
    np.testing.assert_allclose(permuted, aggregate(SCORES, PRESENT, kind), rtol=1e-6)
    more = np.pad(SCORES, ((0, 0), (0, 3)), constant_values=9.0), np.pad(PRESENT, ((0, 0), (0, 3)))
    np.testing.assert_allclose(aggregate(*more, kind), aggregate(SCORES, PRESENT, kind), rtol=1e-6)


@pytest.mark.parametrize("kind", AGGREGATES)
def test_gradients_are_finite_where_nothing_is(kind):
    gradient = jax.grad(lambda scores: aggregate(scores, PRESENT, kind).sum())(jnp.asarray(SCORES))
    assert np.isfinite(gradient).all()
    assert not np.asarray(gradient)[~PRESENT].any()


def test_bad_arguments_are_refused():
    with pytest.raises(UserError, match=r"aggregate='maximum'; allowed: max, mean, sum, top_mean"):
        aggregate(SCORES, PRESENT, "maximum")
    with pytest.raises(AssertionError):
        aggregate(SCORES, PRESENT[:, :3])
    with pytest.raises(AssertionError):
        aggregate(SCORES[0], PRESENT[0])
