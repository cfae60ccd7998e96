"""Selectors at the edges: ties, copies, far from the origin, sure predictions, half precision, many picks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax import selection
from effjax.errors import UserError

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)
FEATURES = RNG.normal(size=(41, 6)).astype(np.float32)
PROBS = RNG.dirichlet(np.full(3, 0.5), (4, 41)).astype(np.float32)


@pytest.mark.parametrize("select", [selection.k_center_greedy, lambda *a, **b: selection.typiclust(KEY, *a, **b)])
def test_labelled_positions(select):
    with pytest.raises(UserError, match="labelled: 41 is no position in a pool of 41"):
        select(FEATURES, 3, labelled=[2, 41])
    with pytest.raises(UserError, match="labelled: -1 is no position"):
        select(FEATURES, 3, labelled=[-1])
    with pytest.raises(UserError, match="labelled: positions must be integers, not bool"):
        select(FEATURES, 3, labelled=np.ones(41, bool))
    twice = np.array([4, 4, 7])
    assert select(FEATURES, 3, labelled=twice).tolist() == select(FEATURES, 3, labelled=twice[1:]).tolist()
    assert sorted([*select(FEATURES, 39, labelled=twice).tolist(), 4, 7]) == list(range(41))


def test_k_center_of_copies_picks_each_once():
    copies = np.repeat(RNG.normal(size=(7, 33)).astype(np.float32), 5, axis=0)
    chosen = selection.k_center_greedy(copies, 7)
    assert sorted((chosen // 5).tolist()) == list(range(7))
    assert sorted(selection.k_center_greedy(copies, 35).tolist()) == list(range(35))


@pytest.mark.parametrize("offset", [0.0, 3000.0])
def test_typiclust_picks_the_most_typical_wherever_it_is(offset):
    blob = (0.1 * RNG.normal(size=(50, 4))).astype(np.float32) + np.float32(offset)
    exact = blob.astype(np.float64)
    nearest = np.sort(np.linalg.norm(exact[:, None] - exact, axis=-1), -1)[:, 1:21]
    assert selection.typiclust(KEY, blob, 1).tolist() == [int(nearest.mean(-1).argmin())]


def test_typiclust_of_copies():
    assert sorted(selection.typiclust(KEY, np.ones((9, 3), np.float32), 9).tolist()) == list(range(9))


@pytest.mark.parametrize("dtype", [np.float16, jnp.bfloat16, np.float64])
def test_other_types_are_computed_in_float32(dtype):
    features, probs = FEATURES.astype(dtype), PROBS.astype(dtype)
    for select in (
        lambda p, f: selection.k_center_greedy(f, 9, f[:3]),
        lambda p, f: selection.badge(KEY, p[0], f, 9),
        lambda p, f: selection.batch_bald(KEY, p, 4),
        lambda p, f: selection.typiclust(KEY, f, 9, f[:3]),
        lambda p, f: selection.top_k(p[0, :, 0], 9),
    ):
        exact = select(np.asarray(probs, np.float32), np.asarray(features, np.float32))
        assert select(probs, features).tolist() == exact.tolist()


def test_numbers_too_large_for_float32_are_refused():
    with pytest.raises(UserError, match="features: 1 values are not finite"):
        selection.k_center_greedy(np.array([[1.0], [1e300]]), 1)


def test_sure_predictions():
    """Members that are sure and agree say nothing; any further examples will do, but each only once."""
    sure = np.broadcast_to(np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1]], (4, 5, 3))
    assert sorted(selection.badge(KEY, sure[0], FEATURES[:5], 5).tolist()) == list(range(5))
    assert sorted(selection.batch_bald(KEY, sure, 5).tolist()) == list(range(5))
    assert sorted(selection.batch_bald(KEY, sure, 5, num_samples=8).tolist()) == list(range(5))


def test_one_class_and_one_member():
    assert sorted(selection.batch_bald(KEY, np.ones((4, 5, 1)), 5).tolist()) == list(range(5))
    assert sorted(selection.batch_bald(KEY, PROBS[:1], 41, num_samples=9).tolist()) == list(range(41))
    assert sorted(selection.badge(KEY, np.ones((41, 1)), FEATURES, 41).tolist()) == list(range(41))


def test_batch_bald_of_many_labels():
    """What members agree on is never worth more than what they do not, however improbable the labels together."""
    told, rest, members, classes = 60, 60, 5, 10
    disputed = RNG.dirichlet(np.full(classes, 4.0), (members, told))
    agreed = np.broadcast_to(RNG.dirichlet(np.full(classes, 0.05), rest), (members, rest, classes))
    chosen = selection.batch_bald(KEY, np.concatenate([agreed, disputed], 1), told, num_samples=200)
    assert (chosen >= rest).all()


def test_badge_with_members_that_are_alike():
    """Copies of what has been picked come last."""
    probs = np.repeat(PROBS[0, :4], 3, axis=0)
    chosen = selection.badge(KEY, probs, np.repeat(FEATURES[:4], 3, axis=0), 4)
    assert sorted((chosen // 3).tolist()) == [0, 1, 2, 3]
