"""Dataset maps: from records of training, and extended to what has no labels."""

import jax.numpy as jnp
import numpy as np
import pytest

from effjax import selection
from effjax.errors import UserError
from effjax.selection.extended_map import _PENALTIES, _by_examples, _by_features
from effjax.steps import init_records, update_records

RNG = np.random.default_rng(0)


def test_records_give_the_map_of_their_epochs():
    probs, right = RNG.uniform(size=(6, 4)).astype(np.float32), RNG.uniform(size=(6, 4)) < 0.5
    records = init_records(10)
    for epoch in range(6):
        records = update_records(records, jnp.array([7, 1, 4, 2]), probs[epoch], right[epoch], jnp.asarray(epoch))
    found = selection.map_of_records(records, jnp.array([7, 1, 4, 2, 0]))
    expected = selection.dataset_map(probs, right)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours[:4], theirs, atol=1e-6)
        assert np.isnan(ours[4])  # never seen


def test_records_of_several_networks_are_taken_together():
    one = {name: RNG.uniform(1, 5, size=(2, 3)).astype(np.float32) for name in ("seen", "right", "prob")}
    one["prob_squared"] = one["prob"] ** 2
    found = selection.map_of_records(one, jnp.array([2]))
    assert found.confidence[0] == pytest.approx(one["prob"][:, 2].sum() / one["seen"][:, 2].sum())


def refit(x, y, pool, penalty):
    """Ridge regression with a mean that is not penalised, by normal equations."""
    centre = x.mean(0)
    weights = np.linalg.solve(
        (x - centre).T @ (x - centre) + penalty * np.eye(x.shape[1]), (x - centre).T @ (y - y.mean())
    )
    return y.mean() + (pool - centre) @ weights


@pytest.mark.parametrize("dim", [5, 45], ids=["more examples than features", "more features than examples"])
def test_the_extended_map_is_the_best_ridge_regression_by_leaving_one_out(dim):
    features, pool = RNG.normal(size=(30, dim)), RNG.normal(size=(8, dim))
    coordinate = 0.5 + 0.1 * features[:, 0] + 0.05 * RNG.normal(size=30)
    mapped = selection.DatasetMap(jnp.asarray(coordinate), jnp.full(30, 0.2), jnp.asarray(coordinate > 0.5) * 1.0)
    found = selection.extend_map(mapped, jnp.asarray(features), jnp.asarray(pool))
    centre, spread = features.mean(0), features.std(0)
    x, z = (features - centre) / spread, (pool - centre) / spread
    scale = np.maximum(np.linalg.eigvalsh(x @ x.T), 0).mean()
    errors = []
    for penalty in np.asarray(_PENALTIES) * scale:
        guesses = [refit(np.delete(x, i, 0), np.delete(coordinate, i), x[i : i + 1], penalty)[0] for i in range(30)]
        errors.append(((np.array(guesses) - coordinate) ** 2).mean())
    best = np.asarray(_PENALTIES)[np.argmin(errors)] * scale
    np.testing.assert_allclose(found.confidence, refit(x, coordinate, z, best), atol=1e-4)
    np.testing.assert_allclose(found.variability, 0.2, atol=1e-6)
    assert 0 <= float(found.correctness.min()) <= float(found.correctness.max()) <= 1


@pytest.mark.parametrize("solve", [_by_examples, _by_features])
@pytest.mark.parametrize("dim", [4, 20])
def test_errors_without_an_example_are_those_of_a_fit_without_it(solve, dim):
    x, y = RNG.normal(size=(12, dim)), RNG.normal(size=(12, 2))
    x, y = x - x.mean(0), y - y.mean(0)
    left_out, mean = solve(jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32))
    np.testing.assert_allclose(mean, np.linalg.eigvalsh(x @ x.T).mean(), rtol=1e-4)
    for penalty in (0.3, 4.0, 50.0):
        errors, slopes = left_out(jnp.float32(penalty))
        for i, own in enumerate(y.T):
            refits = [refit(np.delete(x, j, 0), np.delete(own, j), x[j : j + 1], penalty)[0] for j in range(12)]
            np.testing.assert_allclose(errors[i], ((np.array(refits) - own) ** 2).mean(), rtol=1e-3)
            np.testing.assert_allclose(x @ slopes[:, i], refit(x, own, x, penalty), atol=1e-4)


def test_what_is_guessed_lies_on_the_map():
    features = np.array([[-1.0], [0.0], [1.0]])  # as few as there may be
    rising = jnp.array([0.1, 0.3, 0.5])
    far = jnp.array([[-50.0], [50.0]])
    found = selection.extend_map(selection.DatasetMap(2 * rising, rising, 2 * rising), jnp.asarray(features), far)
    np.testing.assert_array_equal(np.stack(found), [[0, 1], [0, 0.5], [0, 1]])


def test_too_few_to_extend_and_values_that_are_not_finite():
    mapped = selection.DatasetMap(*jnp.full((3, 2), 0.5))
    with pytest.raises(UserError, match="a map of 2 labelled examples cannot be extended"):
        selection.extend_map(mapped, jnp.ones((2, 3)), jnp.ones((4, 3)))
    mapped = selection.DatasetMap(*jnp.full((3, 4), 0.5))
    with pytest.raises(UserError, match="pool: 1 values are not finite"):
        selection.extend_map(mapped, jnp.ones((4, 3)), jnp.ones((4, 3)).at[1, 1].set(jnp.nan))
