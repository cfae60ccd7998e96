"""Any finite features, however large, small or alike: k positions, no duplicates."""

import jax
import numpy as np
import pytest

from effjax import selection
from effjax.errors import UserError

N, D, C = 33, 4, 3
RNG = np.random.default_rng(4)
KEY = jax.random.key(2)
NORMAL = RNG.normal(size=(N, D)).astype(np.float32)
ONE_LARGE = NORMAL.copy()
ONE_LARGE[7] *= 1e37
FEATURES = {
    "1e20": NORMAL * np.float32(1e20),
    "1e38": NORMAL / np.abs(NORMAL).max() * np.float32(3e38),
    "1e-30": NORMAL * np.float32(1e-30),
    "1e-44": NORMAL * np.float32(1e-44),
    "zero": np.zeros((N, D), np.float32),
    "alike": np.broadcast_to(NORMAL[0], (N, D)),
    "alike and large": np.broadcast_to(NORMAL[0] * np.float32(1e30), (N, D)),
    "copies": np.repeat(NORMAL[: N // 3], 3, axis=0) * np.float32(1e25),
    "one large": ONE_LARGE,
    "far away": NORMAL + np.float32(1e30),
    "no feature": np.zeros((N, 0), np.float32),
}
SURE = np.eye(C, dtype=np.float32)[np.arange(N) % C]
PROBS = {"sure": SURE, "alike": np.full((N, C), 1 / 3, np.float32), "any": RNG.dirichlet(np.ones(C), N)}

BY_FEATURES = {
    "k_center_greedy": lambda f, k: selection.k_center_greedy(f, k, key=KEY),
    "k_center_greedy, labelled": lambda f, k: selection.k_center_greedy(f, k, f[:5]),
    "k_center_greedy, small labelled": lambda f, k: selection.k_center_greedy(f, k, NORMAL[:5, : f.shape[1]]),
    "typiclust": lambda f, k: selection.typiclust(KEY, f, k),
    "typiclust, labelled": lambda f, k: selection.typiclust(KEY, f, k, f[:5]),
    "badge, sure": lambda f, k: selection.badge(KEY, PROBS["sure"], f, k),
    "badge, alike": lambda f, k: selection.badge(KEY, PROBS["alike"], f, k),
    "badge": lambda f, k: selection.badge(KEY, PROBS["any"], f, k),
}


@pytest.mark.parametrize("kind", FEATURES)
@pytest.mark.parametrize("name", BY_FEATURES)
def test_no_duplicates(name, kind):
    for k in (3, N):
        chosen = BY_FEATURES[name](FEATURES[kind], k).tolist()
        assert len(chosen) == len(set(chosen)) == k
        assert set(chosen) <= set(range(N))


@pytest.mark.parametrize("name", BY_FEATURES)
def test_one_candidate(name):
    select = {
        "k_center_greedy": lambda f: selection.k_center_greedy(f, 1, f),
        "typiclust": lambda f: selection.typiclust(KEY, f, 1),
        "badge": lambda f: selection.badge(KEY, PROBS["any"][:1], f, 1),
    }[name.partition(",")[0]]
    for features in FEATURES.values():
        assert select(features[:1]).tolist() == [0]


@pytest.mark.parametrize("kind", PROBS)
@pytest.mark.parametrize("members", [1, 3])
def test_no_duplicates_by_probabilities(kind, members):
    probs = np.broadcast_to(PROBS[kind], (members, N, C))
    for k in (1, N):
        assert len(set(selection.batch_bald(KEY, probs, k, num_samples=9).tolist())) == k


def test_size_does_not_matter():
    """What is nearer and further is the same for features of any size."""
    expected = selection.k_center_greedy(NORMAL, 9).tolist()
    for factor in (2.0**70, 2.0**-70):
        assert selection.k_center_greedy(NORMAL * np.float32(factor), 9).tolist() == expected
        assert (
            selection.badge(KEY, PROBS["any"], NORMAL * np.float32(factor), 9).tolist()
            == selection.badge(KEY, PROBS["any"], NORMAL, 9).tolist()
        )


@pytest.mark.parametrize("beta", [1e-30, 1e30])
def test_any_power(beta):
    scores = np.array([0.0, 1e-30, 0.5, 1.0, 2.0, 3e38])
    chosen = selection.power_batch(KEY, scores, 6, beta=beta).tolist()
    assert sorted(chosen) == list(range(6))
    if beta > 1:
        assert chosen[:4] == [5, 4, 3, 2]


@pytest.mark.parametrize("beta", [0, -1, np.nan, np.inf])
def test_a_power_that_is_none_is_refused(beta):
    with pytest.raises(UserError, match=r"beta=.* must be above 0, and finite"):
        selection.power_batch(KEY, np.ones(3), 1, beta=beta)


def test_negative_scores_have_no_power():
    with pytest.raises(UserError, match="scores: negative ones have no power; add what makes the least 0"):
        selection.power_batch(KEY, np.array([1.0, -0.1]), 1)
    assert selection.power_batch(KEY, np.array([1.0, -1e-7]), 1).tolist() == [0]  # as 0, which rounding has missed


def test_classes_that_there_are_not_are_refused():
    with pytest.raises(UserError, match="classes: 3 is no class of 3"):
        selection.class_balanced(np.ones(3), np.array([0, 1, 3]), 2, 3)


NO_PROBABILITIES = {
    "negative": np.array([[1.5, -0.5, 0.0]]),
    "unnormalised": np.array([[3.0, 2.0, 1.0]]),
}


@pytest.mark.parametrize("kind", NO_PROBABILITIES)
def test_what_is_no_probability_is_refused(kind):
    probs = np.concatenate([PROBS["any"], NO_PROBABILITIES[kind]])
    for select in (
        lambda: selection.badge(KEY, probs, np.ones((N + 1, 2)), 2),
        lambda: selection.batch_bald(KEY, probs[None], 2),
    ):
        with pytest.raises(UserError, match=r"probs: 1 of 34 are no probabilities .* the first at \[(0, )?33\]"):
            select()
