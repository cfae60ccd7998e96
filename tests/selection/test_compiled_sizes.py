"""Pools that shrink from round to round: few programs, and the picks that the pool alone gives."""

import jax
import numpy as np
import pytest
from compilations import count_compilations

from effjax import selection
from effjax.selection import pools
from effjax.selection.pools import bucket, by_rows, padded

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(300, 5)).astype(np.float32)
PROBS = RNG.dirichlet(np.full(3, 0.5), (4, 300)).astype(np.float32)
KEY = jax.random.key(0)

SELECTORS = {
    "class_balanced": lambda n, _: selection.class_balanced(PROBS[0, :n, 0], PROBS[0, :n].argmax(-1), 4, 3),
    "k_center_greedy": lambda n, labelled: selection.k_center_greedy(FEATURES[:n], 4, FEATURES[n : n + labelled]),
    "badge": lambda n, _: selection.badge(KEY, PROBS[0, :n], FEATURES[:n], 4),
    "batch_bald": lambda n, _: selection.batch_bald(KEY, PROBS[:, :n], 4, num_samples=20),
    "typiclust": lambda n, labelled: selection.typiclust(KEY, FEATURES[:n], 4, FEATURES[n : n + labelled]),
}


@pytest.mark.parametrize("name", SELECTORS)
def test_a_shrinking_pool_compiles_nothing_new(name):
    with count_compilations() as compiled:
        SELECTORS[name](288, 12)
    assert compiled
    with count_compilations() as compiled:
        for n, labelled in ((288, 12), (284, 16), (275, 25), (265, 35)):
            assert len(set(SELECTORS[name](n, labelled).tolist())) == 4
    assert not compiled


def test_sizes_grow_by_an_eighth_at_most():
    sizes = [bucket(n) for n in range(1, 5000)]
    assert all(n <= size <= max(n * 1.125, n + 7) for n, size in enumerate(sizes, 1))
    assert len(set(sizes)) < 70
    assert bucket(256) == 256
    assert all(bucket(n, 256) % 256 == 0 for n in range(1, 9000, 7))
    assert padded(np.ones((2, 9)), axis=1, fill=5).tolist() == [[1.0] * 9 + [5.0] * 7] * 2


def test_a_pool_is_in_memory_once_more_and_not_twice(monkeypatch):
    made, aligned = [], pools._aligned
    monkeypatch.setattr(pools, "_aligned", lambda *given: made.append(aligned(*given)) or made[-1])
    longer = padded(FEATURES[1:])
    np.testing.assert_array_equal(longer, np.pad(FEATURES[1:], ((0, 320 - 299), (0, 0))))
    assert [longer.unsafe_buffer_pointer()] == [one.ctypes.data for one in made]


@pytest.mark.parametrize("rows", [320, 304, 24, 25])
def test_some_rows_at_a_time_are_all_of_them(rows, monkeypatch):
    features, weights = RNG.normal(size=(rows, 6)).astype(np.float32), RNG.normal(size=rows).astype(np.float32)

    def function(weights, features):
        return weights + (features**2).sum(-1)

    monkeypatch.setattr(pools, "_CACHED", 32 * 7 * 4)
    program = jax.jit(lambda *arrays: by_rows(function, *arrays))
    np.testing.assert_allclose(program(weights, features), function(weights, features), rtol=1e-6)
    assert ("stablehlo.while" in program.lower(weights, features).as_text()) == (rows > 32)


def test_inside_a_program_the_same():
    chosen = jax.jit(lambda features: selection.k_center_greedy(features, 5))(FEATURES[:37])
    assert chosen.tolist() == selection.k_center_greedy(FEATURES[:37], 5).tolist()
    chosen = jax.jit(lambda probs: selection.batch_bald(KEY, probs, 3))(PROBS[:, :37])
    assert chosen.tolist() == selection.batch_bald(KEY, PROBS[:, :37], 3).tolist()


def test_products_are_of_full_precision():
    """On GPUs and TPUs the default would leave 3 digits."""
    programs = [
        jax.make_jaxpr(lambda x: selection.k_center_greedy(x, 3, FEATURES[:9]))(FEATURES),
        jax.make_jaxpr(lambda x: selection.badge(KEY, PROBS[0], x, 3))(FEATURES),
        jax.make_jaxpr(lambda x: selection.batch_bald(KEY, x, 3))(PROBS),
    ]
    for program in programs:
        text = str(program)
        assert text.count("dot_general[") > 0
        assert text.count("dot_general[") == text.count("precision=(Precision.HIGHEST, Precision.HIGHEST)")
