"""The best of a pool that passes by: as of the whole pool, whatever the batches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax.errors import UserError
from effjax.selection import RunningTopK
from effjax.selection.ties import lots

N, K, SEED = 57, 9, 3
RNG = np.random.default_rng(1)
SCORES = RNG.integers(0, 12, N).astype(np.float32)  # many ties
IDS = RNG.permutation(1000)[:N]


def in_batches(size, order=None, k=K):
    update = jax.jit(lambda top, scores, ids, where: top.update(scores, ids, where=where))
    top, order = RunningTopK.empty(k, SEED), np.arange(N) if order is None else order
    for start in range(0, N, size):
        rows = order[start : start + size]
        padding = size - len(rows)
        where = np.arange(size) < len(rows)
        top = update(
            top, np.pad(SCORES[rows], (0, padding), constant_values=99), np.pad(IDS[rows], (0, padding)), where
        )
    return top


def reference(k):
    order = np.lexsort((-np.asarray(lots(jax.random.key(SEED), IDS), np.int64), -SCORES))[:k]
    return IDS[order], SCORES[order]


@pytest.mark.parametrize("size", [1, 8, 57, 64])
def test_as_of_the_whole_pool_in_any_batches_and_any_order(size):
    for order in (None, RNG.permutation(N)):
        ids, scores = in_batches(size, order).best()
        np.testing.assert_array_equal(ids, reference(K)[0])
        np.testing.assert_array_equal(scores, reference(K)[1])


def test_parts_merge():
    empty = RunningTopK.empty(K, SEED)
    half = empty.update(SCORES[:20], IDS[:20]).merge(empty.update(SCORES[20:], IDS[20:]))
    np.testing.assert_array_equal(half.best()[0], reference(K)[0])
    assert int(half.seen) == N


def test_a_pool_smaller_than_k():
    ids, _ = in_batches(8, k=100).best()
    np.testing.assert_array_equal(ids, reference(N)[0])


def test_scores_that_are_not_finite_are_refused():
    top = RunningTopK.empty(2).update(jnp.array([1.0, jnp.nan, jnp.inf]), jnp.arange(3))
    with pytest.raises(UserError, match="2 of 3 are not finite"):
        top.best()
    padded = RunningTopK.empty(2).update(jnp.array([1.0, jnp.nan]), jnp.arange(2), where=jnp.array([True, False]))
    assert padded.best()[0].tolist() == [0]


@pytest.mark.parametrize("k", [0, 1.5, True])
def test_a_number_that_cannot_be_kept_is_refused(k):
    with pytest.raises(UserError, match="must be a whole number, 1 or more"):
        RunningTopK.empty(k)


@pytest.mark.parametrize("k", [1, np.int64(1)])
def test_the_best_one(k):
    assert RunningTopK.empty(k).update(jnp.array([0.5, 2.0, 1.0]), jnp.array([7, 3, 4])).best()[0].tolist() == [3]
