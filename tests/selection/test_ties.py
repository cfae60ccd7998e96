"""Equal examples are told apart by lot: where they stand, which is by class in a folder, decides nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax import selection
from effjax.selection.ties import highest, highest_of, highest_one, lots

N, K, C = 60, 20, 3
SAME = np.full((N, 4), 0.25, np.float32)
MAP = selection.DatasetMap(*np.full((3, N), 0.5, np.float32))


def running(key):
    seed = int(jax.random.key_data(key)[-1])
    return selection.RunningTopK.empty(K, seed).update(jnp.ones(N), jnp.arange(N)).best()[0]


# What each picks of examples that are all alike.
ALIKE = {
    "top_k": lambda key: selection.top_k(np.ones(N), K, key=key),
    "running": running,
    "power_batch": lambda key: selection.power_batch(key, np.ones(N), K),
    "class_balanced": lambda key: selection.class_balanced(np.ones(N), np.arange(N) % C, K, C, key=key),
    "k_center_greedy": lambda key: selection.k_center_greedy(SAME, K, key=key),
    "k_center_greedy, labelled": lambda key: selection.k_center_greedy(SAME, K, SAME[:2], key=key),
    "badge": lambda key: selection.badge(key, SAME, SAME, K),
    "batch_bald": lambda key: selection.batch_bald(key, np.stack([SAME, SAME]), K),
    "typiclust": lambda key: selection.typiclust(key, SAME, K),
    "rank_outliers": lambda key: selection.rank_outliers(MAP, key=key)[:K],
    "rank_outliers, variability": lambda key: selection.rank_outliers(MAP, "confidence_variability", key=key)[:K],
}


@pytest.mark.parametrize("name", ALIKE)
def test_of_equal_ones_any_part_of_the_file_is_picked(name):
    picks = [np.asarray(ALIKE[name](jax.random.key(seed))) for seed in range(5)]
    for picked in picks:
        assert len(set(picked.tolist())) == K
    assert len({tuple(sorted(picked.tolist())) for picked in picks}) == 5  # another key, other examples
    assert picks[0].tolist() == np.asarray(ALIKE[name](jax.random.key(0))).tolist()
    by_third = np.bincount(np.concatenate(picks) // (N // 3), minlength=3)
    assert by_third.min() >= 15  # of 100: a third each, but for chance


def test_without_a_key_by_lot_too():
    assert selection.top_k(np.ones(N), K).tolist() != list(range(K))
    assert selection.top_k(np.ones(N), K).tolist() == selection.top_k(np.ones(N), K).tolist()


def test_what_is_higher_comes_first_whatever_the_lots():
    scores = np.array([0.5, 1.0, 0.5, 1.0, 0.7])
    for seed in range(4):
        chosen = selection.top_k(scores, 4, key=jax.random.key(seed)).tolist()
        assert sorted(chosen[:2]) == [1, 3]
        assert chosen[2] == 4
        assert chosen[3] in (0, 2)


def test_a_lot_depends_on_its_example_alone():
    key = jax.random.key(1)
    few, many = lots(key, np.array([5, 9])), lots(key, np.arange(100))
    assert few.tolist() == many[np.array([5, 9])].tolist()
    assert len(set(many.tolist())) == 100


@pytest.mark.parametrize("levels", [1, 2, 3, 1000])
def test_without_a_sort_the_same_are_found(levels):
    rng = np.random.default_rng(levels)
    for k in (1, 5, 11, 12):
        values = jnp.asarray(rng.integers(0, levels, 12), jnp.float32)
        drawn = lots(jax.random.key(k), jnp.arange(12))
        ordered = highest(values, drawn, k).tolist()
        assert sorted(highest_of(values, drawn, k).tolist()) == sorted(ordered)
        assert highest_one(values, drawn) == ordered[0]


def test_one_place_is_left_for_equal_ones():
    values = jnp.array([1.0, 3.0, 1.0, 2.0, 1.0])
    for seed in range(6):
        drawn = lots(jax.random.key(seed), jnp.arange(5))
        assert sorted(highest_of(values, drawn, 3).tolist()) == sorted(highest(values, drawn, 3).tolist())
