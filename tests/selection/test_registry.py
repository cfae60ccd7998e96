"""What selectors are given by name: which predictions, features and scores, and whose."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax import selection
from effjax.selection.registry import OF_OBJECTS, RANKS, SELECTORS, Candidates, Objects

N, M, C, K = 30, 3, 4, 6
RNG = np.random.default_rng(0)
KEY = jax.random.key(5)
PROBS = RNG.dirichlet(np.full(C, 0.7), (M, N)).astype(np.float32)
# Each three times, and few different scores: which of equal ones is taken, the key decides.
FEATURES, LABELLED = RNG.normal(size=(N // 3, 2)).astype(np.float32).repeat(3, 0), np.zeros((1, 2), np.float32)
SCORES = RNG.integers(1, 4, N).astype(np.float32)
OBJECT = RNG.uniform(0.02, 1, (N, 5, 1))  # how surely it is one
FOUND = Objects(
    np.concatenate([OBJECT * RNG.dirichlet(np.full(C - 1, 0.2), (N, 5)), 1 - OBJECT], -1).astype(np.float32),
    RNG.random((N, 5)) < 0.8,
    RNG.normal(size=(N, 5, 3)).astype(np.float32),
)
CANDIDATES = Candidates(KEY, PROBS, FEATURES, SCORES, lambda: LABELLED, lambda: FOUND)
MEAN = PROBS.sum(0) / M
# The last class is nothing, and is what nobody looks for.
KINDS = np.array([[max(range(C - 1), key=lambda kind: one[kind]) for one in objects] for objects in FOUND.probs])
SURE = FOUND.probs[:, :, : C - 1].max(2)
EXPECTED = {
    "class_balanced": lambda: selection.class_balanced(SCORES, np.array([p.argmax() for p in MEAN]), K, C, key=KEY),
    "k_center_greedy": lambda: selection.k_center_greedy(FEATURES, K, LABELLED, key=KEY),
    "category_diverse": lambda: selection.category_diverse(KEY, FOUND.features, KINDS, SURE, FOUND.present, K),
    "badge": lambda: selection.badge(KEY, MEAN, FEATURES, K),
    "batch_bald": lambda: selection.batch_bald(KEY, PROBS, K),
    "typiclust": lambda: selection.typiclust(KEY, FEATURES, K, LABELLED),
}


@pytest.mark.parametrize("name", SELECTORS)
def test_by_its_name(name):
    chosen = np.asarray(SELECTORS[name](CANDIDATES, K))
    assert chosen.shape == (K,)
    np.testing.assert_array_equal(chosen, EXPECTED[name]())


def test_which_look_at_objects():
    def refused():
        raise AssertionError("of one item an example nothing is found")

    whole = Candidates(KEY, PROBS, FEATURES, SCORES, lambda: LABELLED, refused)
    for name in SELECTORS.keys() - OF_OBJECTS:
        assert len(SELECTORS[name](whole, 1)) == 1


def test_draws_by_power_are_in_proportion_to_the_scores():
    """The highest is drawn first, as often as its share of all scores; what scores 0 is never before what does not."""
    scores, ids = jnp.array([1.0, 0.0, 2.0, 5.0]), jnp.array([7, 2, 9, 4])
    draws = np.asarray(jax.vmap(lambda key: RANKS["power_batch"](scores, ids, key))(jax.random.split(KEY, 4000)))
    shares = np.bincount(draws.argmax(1), minlength=4) / 4000
    np.testing.assert_allclose(shares, [1 / 8, 0, 2 / 8, 5 / 8], atol=0.03)
    assert (draws.argmin(1) == 1).all()


def test_a_draw_by_power_is_of_the_example_wherever_it_stands():
    ids = jnp.arange(N) * 3
    whole = RANKS["power_batch"](SCORES, ids, KEY)
    turned = RNG.permutation(N)[:11]
    np.testing.assert_allclose(RANKS["power_batch"](SCORES[turned], ids[turned], KEY), whole[turned], rtol=1e-6)
    assert RANKS["top_k"] is None  # the scores themselves
