"""Deciding example by example, as they come, with a budget that is kept: states for ``jax.lax.scan``.

A policy is ``(start, step)``: a state, and a pure function ``(state, score) -> (state, query)`` with a score ``[]``,
higher is less sure, and a boolean::

    start, step = streams.variable_threshold(budget=0.1)
    _, queries = jax.lax.scan(step, start, scores)
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from effjax.errors import UserError

State = Any
Step = Callable[[State, jax.Array], tuple[State, jax.Array]]


class Policy(NamedTuple):
    """A stream's policy.

    Attributes:
      start: its state before the first score.
      step: pure, ``(state, score) -> (state, query)``.
    """

    start: State
    step: Step


def fixed_threshold(budget: float, threshold: float, *, window: int = 100) -> Policy:
    """Asks for what scores above a threshold, while there is budget.

    What has been spent is estimated as u ← u (w − 1) / w + query; an example is asked for only while u / w < budget.
    So of n examples at most budget · (n + w) + n / 2w + 1 are asked for: the estimate starts from none, and rounds.

    Args:
      budget: the share of examples that may be asked for, in (0, 1].
      threshold: the score.
      window: w, over how many examples the spending is averaged.

    Returns:
      The policy.

    Raises:
      UserError: if the budget or the window is out of range.

    Example:
      >>> start, step = fixed_threshold(budget=0.5, threshold=0.6)
      >>> jax.lax.scan(step, start, jnp.array([0.9, 0.1, 0.7]))[1]
      Array([ True, False,  True], dtype=bool)

    References:
      Žliobaitė et al., `Active Learning With Drifting Streaming Data <https://doi.org/10.1109/TNNLS.2012.2236570>`_,
      2014, algorithm 2 and equation 1.
    """
    _check(budget, window)

    def step(spent: jax.Array, score: jax.Array) -> tuple[jax.Array, jax.Array]:
        query = (spent / window < budget) & (score > threshold)
        return _spend(spent, query, window), query

    return Policy(jnp.zeros(()), step)


class _Variable(NamedTuple):
    spent: jax.Array
    threshold: jax.Array


def variable_threshold(budget: float, *, threshold: float = 0.5, change: float = 0.01, window: int = 100) -> Policy:
    """Asks for what scores above a threshold that rises with each query and falls while there is budget and none.

    Args:
      budget: the share of examples that may be asked for, in (0, 1].
      threshold: the first one, above 0.
      change: s: the threshold is multiplied by 1 + s or 1 − s.
      window: as for :func:`fixed_threshold`.

    Returns:
      The policy.

    Raises:
      UserError: if the budget or the window is out of range.

    References:
      Žliobaitė et al., 2014, algorithm 3 (which lowers a threshold for certainty where this raises one for doubt).
    """
    _check(budget, window)

    def step(state: _Variable, score: jax.Array) -> tuple[_Variable, jax.Array]:
        affordable = state.spent / window < budget
        query = affordable & (score > state.threshold)
        moved = state.threshold * jnp.where(query, 1.0 + change, 1.0 - change)
        return _Variable(_spend(state.spent, query, window), jnp.where(affordable, moved, state.threshold)), query

    return Policy(_Variable(jnp.zeros(()), jnp.asarray(threshold, jnp.float32)), step)


class _Randomised(NamedTuple):
    spent: jax.Array
    threshold: jax.Array
    key: jax.Array


def randomised_threshold(
    key: jax.Array,
    budget: float,
    *,
    threshold: float = 0.5,
    change: float = 0.01,
    spread: float = 1.0,
    window: int = 100,
) -> Policy:
    """The variable threshold, multiplied for each example by a draw from N(1, spread): anything may be asked for.

    Args:
      key: a PRNG key.
      budget: the share of examples that may be asked for, in (0, 1].
      threshold: the first one, above 0.
      change: as for :func:`variable_threshold`.
      spread: the standard deviation δ.
      window: as for :func:`fixed_threshold`.

    Returns:
      The policy.

    Raises:
      UserError: if the budget or the window is out of range.

    References:
      Žliobaitė et al., 2014, algorithm 4.
    """
    _check(budget, window)

    def step(state: _Randomised, score: jax.Array) -> tuple[_Randomised, jax.Array]:
        key, own = jax.random.split(state.key)
        affordable = state.spent / window < budget
        query = affordable & (score > state.threshold * (1.0 + spread * jax.random.normal(own)))
        moved = state.threshold * jnp.where(query, 1.0 + change, 1.0 - change)
        threshold = jnp.where(affordable, moved, state.threshold)
        return _Randomised(_spend(state.spent, query, window), threshold, key), query

    return Policy(_Randomised(jnp.zeros(()), jnp.asarray(threshold, jnp.float32), key), step)


class _Quantile(NamedTuple):
    scores: jax.Array
    seen: jax.Array
    asked: jax.Array


def quantile_filter(budget: float, *, window: int = 100, tolerance: int = 50) -> Policy:
    """Asks for what is among the least sure of the last examples, more freely the further it is behind the budget.

    The threshold is the (1 − budget) quantile of the last ``window`` scores, this one included, less their range times
    the queries that are still owed over ``tolerance``.

    Args:
      budget: the share of examples that are asked for, in (0, 1].
      window: how many scores are remembered.
      tolerance: how many owed queries move the threshold by the whole range of the scores.

    Returns:
      The policy.

    Raises:
      UserError: if the budget, the window or the tolerance is out of range.

    References:
      Kottke et al., `Probabilistic Active Learning in Datastreams <https://doi.org/10.1007/978-3-319-24465-5_13>`_,
      2015, sec. 4 (balanced incremental quantile filter).
    """
    _check(budget, window)
    if tolerance < 1:
        raise UserError(f"tolerance={tolerance} must be 1 or more")

    def step(state: _Quantile, score: jax.Array) -> tuple[_Quantile, jax.Array]:
        scores = state.scores.at[state.seen % window].set(score)
        seen = state.seen + 1
        quantile = jnp.nanquantile(scores, 1.0 - budget)
        owed = budget * seen - state.asked
        threshold = quantile - (jnp.nanmax(scores) - jnp.nanmin(scores)) * owed / tolerance
        query = score >= threshold
        return _Quantile(scores, seen, state.asked + query), query

    start = _Quantile(jnp.full(window, jnp.nan), jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32))
    return Policy(start, step)


#: The policies that a config may name. One more is one function and one line here.
POLICIES: dict[str, Callable[..., Policy]] = {
    "fixed_threshold": fixed_threshold,
    "variable_threshold": variable_threshold,
    "randomised_threshold": randomised_threshold,
    "quantile_filter": quantile_filter,
}


def _spend(spent: jax.Array, query: jax.Array, window: int) -> jax.Array:
    return spent * (window - 1) / window + query


def _check(budget: float, window: int) -> None:
    if isinstance(budget, bool) or not 0 < budget <= 1:
        raise UserError(f"budget={budget!r} must be a share of the examples, above 0 and at most 1")
    if window < 1:
        raise UserError(f"window={window} must be 1 or more")
