"""Policies of streams against loops by the book, and the budget."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax.errors import UserError
from effjax.selection import streams

SCORES = np.random.default_rng(0).uniform(size=600).astype(np.float32)
POLICIES = {
    "fixed": lambda budget: streams.fixed_threshold(budget, 0.3),
    "variable": lambda budget: streams.variable_threshold(budget),
    "randomised": lambda budget: streams.randomised_threshold(jax.random.key(0), budget),
    "quantile": lambda budget: streams.quantile_filter(budget),
}


def run(policy, scores=SCORES):
    return np.asarray(jax.lax.scan(policy.step, policy.start, jnp.asarray(scores))[1])


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("budget", [0.05, 0.2])
def test_the_budget_is_kept_and_used(name, budget):
    asked = run(POLICIES[name](budget)).mean()
    # Spending starts from none, so a window's worth may come on top; and the estimate rounds up half a query a window.
    assert round(asked * 600) <= budget * (600 + 100) + 600 / 100 / 2 + 1
    assert asked > 0.7 * budget


def test_variable_threshold_by_the_book():
    spent, threshold, expected = 0.0, 0.5, []
    for score in SCORES:
        query = False
        if spent / 100 < 0.2:
            query = bool(score > threshold)
            threshold *= 1.01 if query else 0.99
        spent = spent * 99 / 100 + query
        expected.append(query)
    assert run(streams.variable_threshold(0.2)).tolist() == expected


@pytest.mark.parametrize(
    ("options", "threshold", "change", "spread", "window"),
    [
        ({}, 0.5, 0.01, 1.0, 100),
        ({"threshold": 0.7, "change": 0.05, "spread": 0.3, "window": 50}, 0.7, 0.05, 0.3, 50),
    ],
)
def test_randomised_threshold_by_the_book(options, threshold, change, spread, window):
    key, spent, expected = jax.random.key(3), 0.0, []
    for score in SCORES:
        key, own = jax.random.split(key)
        query = False
        if spent / window < 0.2:
            query = bool(score > threshold * (1 + spread * float(jax.random.normal(own))))
            threshold *= 1 + change if query else 1 - change
        spent = spent * (window - 1) / window + query
        expected.append(query)
    assert run(streams.randomised_threshold(jax.random.key(3), 0.2, **options)).tolist() == expected


def test_fixed_threshold_by_the_book():
    spent, expected = 0.0, []
    for score in SCORES:
        expected.append(bool(spent / 100 < 0.2 and score > 0.3))
        spent = spent * 99 / 100 + expected[-1]
    assert run(streams.fixed_threshold(0.2, 0.3)).tolist() == expected


def test_quantile_filter_by_the_book():
    seen, asked, expected = [], 0, []
    for score in SCORES:
        seen.append(score)
        window = np.array(seen[-100:])
        owed = 0.2 * len(seen) - asked
        threshold = np.quantile(window, 0.8) - (window.max() - window.min()) * owed / 50
        expected.append(bool(score >= threshold))
        asked += expected[-1]
    assert (run(streams.quantile_filter(0.2)) == expected).mean() > 0.995  # float32 against float64 at the edge


def test_a_state_goes_on_where_it_stopped():
    policy = streams.randomised_threshold(jax.random.key(1), 0.3)
    middle, first = jax.lax.scan(policy.step, policy.start, jnp.asarray(SCORES[:250]))
    _, second = jax.lax.scan(policy.step, middle, jnp.asarray(SCORES[250:]))
    np.testing.assert_array_equal(np.concatenate([first, second]), run(policy))


def test_what_scores_high_is_asked_for():
    for name in ("fixed", "variable", "quantile"):
        asked = run(POLICIES[name](0.2))
        assert SCORES[asked].mean() > SCORES[~asked].mean() + 0.1, name


@pytest.mark.parametrize("budget", [0, 1.5, True, float("nan")])
def test_what_is_no_share_of_the_examples_is_refused(budget):
    for policy in POLICIES.values():
        with pytest.raises(UserError, match=f"budget={budget} must be a share of the examples, above 0 and at most 1"):
            policy(budget)


def test_refused():
    for make in (streams.variable_threshold, streams.quantile_filter):
        with pytest.raises(UserError, match="window=0 must be 1 or more"):
            make(0.1, window=0)
    with pytest.raises(UserError, match="window=0 must be 1 or more"):
        streams.fixed_threshold(0.1, 0.5, window=0)
    with pytest.raises(UserError, match="window=0 must be 1 or more"):
        streams.randomised_threshold(jax.random.key(0), 0.1, window=0)
    with pytest.raises(UserError, match="tolerance=0"):
        streams.quantile_filter(0.1, tolerance=0)


def test_the_least_that_is_allowed():
    """A window of one remembers nothing but the last example; a budget of 1 is for all that score above."""
    assert run(streams.fixed_threshold(1.0, 0.3, window=1), [0.4, 0.2, 0.3, 0.9]).tolist() == [True, False, False, True]
    # The only score is its own quantile; an owed query lowers the threshold by the range, which is 0.
    assert run(streams.quantile_filter(0.5, window=1, tolerance=1), [0.4, 0.2]).tolist() == [True, True]
