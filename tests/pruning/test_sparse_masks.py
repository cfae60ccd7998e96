"""Masks by hand, against sorting in loops; their counts are exact, whatever the scores."""

import fractions
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax import pruning
from effjax.errors import UserError
from effjax.numerics import Unusable
from effjax.pruning.ranking import highest, rounded

RNG = np.random.default_rng(3)
SHAPES = {"a": (3, 3, 2, 5), "b": (7, 1), "c": (1, 1), "d": (4, 6)}
SPARSITIES = (0.0, 0.003, 0.1, 0.25, 0.333, 0.5, 0.625, 0.9, 0.95, 0.999, 1.0)


def tree(make):
    return {name: {"kernel": make(shape), "bias": np.ones(shape[-1], np.float32)} for name, shape in SHAPES.items()}


SCORES = {
    "all different": tree(lambda shape: RNG.permutation(np.prod(shape)).reshape(shape).astype(np.float32)),
    "few different": tree(lambda shape: RNG.integers(0, 3, shape).astype(np.float32)),
    "all equal": tree(lambda shape: np.ones(shape, np.float32)),
    "all 0, of both signs": tree(lambda shape: np.where(RNG.random(shape) < 0.5, 0.0, -0.0).astype(np.float32)),
    "below 0": tree(lambda shape: RNG.normal(size=shape).astype(np.float32)),
    "bfloat16": tree(lambda shape: jnp.asarray(RNG.normal(size=shape), jnp.bfloat16)),
}


def half_even(density, size):
    """In fractions, which are exact; Python rounds them half to even."""
    return round(fractions.Fraction(round(float(np.float32(density)) * 2**24), 2**24) * size)


def by_loop(scores, kept):
    """One after the other, the highest that is left and, of equal ones, the first."""
    scores = [float(score) for score in np.asarray(scores, np.float32).ravel()]
    chosen = sorted(range(len(scores)), key=lambda i: (-scores[i], i))[:kept]
    return [i in chosen for i in range(len(scores))]


def density(sparsity):
    return np.float32(1) - np.float32(sparsity)


@pytest.mark.parametrize("scores", SCORES.values(), ids=SCORES)
def test_all_together_equal_the_reference(scores):
    compiled = jax.jit(pruning.mask)
    joined = np.concatenate([np.asarray(leaf["kernel"], np.float32).ravel() for leaf in scores.values()])
    for sparsity in SPARSITIES:
        masks = pruning.mask(scores, sparsity)
        assert [leaf["bias"] for leaf in masks.values()] == [None] * len(SHAPES)
        assert {name: leaf["kernel"].shape for name, leaf in masks.items()} == SHAPES
        found = np.concatenate([np.asarray(leaf["kernel"]).ravel() for leaf in masks.values()])
        assert found.tolist() == by_loop(joined, half_even(density(sparsity), len(joined))), sparsity
        jax.tree.map(np.testing.assert_array_equal, compiled(scores, sparsity), masks)


@pytest.mark.parametrize("scope", ["layer", "erk"])
@pytest.mark.parametrize("scores", SCORES.values(), ids=SCORES)
def test_layers_equal_the_reference(scope, scores):
    compiled = jax.jit(functools.partial(pruning.mask, scope=scope))
    shares = {"layer": pruning.uniform, "erk": pruning.erk}[scope]
    for sparsity in SPARSITIES:
        masks = pruning.mask(scores, sparsity, scope=scope)
        for name, share in shares(SHAPES, sparsity).items():
            wanted = by_loop(scores[name]["kernel"], half_even(share, np.prod(SHAPES[name])))
            assert np.asarray(masks[name]["kernel"]).ravel().tolist() == wanted, (name, sparsity)
        jax.tree.map(np.testing.assert_array_equal, compiled(scores, sparsity), masks)


def test_by_hand():
    scores = {"a": {"kernel": jnp.array([[5.0, 1.0, 4.0, 1.0]])}, "b": {"kernel": jnp.array([[3.0, 3.0]])}}
    half = pruning.mask(scores, 0.5)
    assert half["a"]["kernel"].tolist() == [[True, False, True, False]]
    assert half["b"]["kernel"].tolist() == [[True, False]]
    half = pruning.mask(scores, 0.75, scope="layer")  # 1 of 4; ½ of 2 is 0.5, half to even: none
    assert half["a"]["kernel"].tolist() == [[True, False, False, False]]
    assert half["b"]["kernel"].tolist() == [[False, False]]


def test_more_sparsity_never_brings_a_weight_back():
    kept = [pruning.mask(SCORES["few different"], s) for s in SPARSITIES]
    for more, fewer in itertools.pairwise(kept):
        assert all(jax.tree.leaves(jax.tree.map(lambda m, f: bool((m >= f).all()), more, fewer)))


@pytest.mark.parametrize("size", [1, 2, 3, 10, 4095, 4096, 4097, 99_999, 2**24 + 1, 86_567_656, 2**31 - 1])
def test_numbers_are_rounded_exactly_at_any_size(size):
    for share in [0.0, 1e-9, 0.05, 0.1, 1 / 3, 0.5, 0.75, 0.9, 1 - 2**-24, 1.0, *RNG.random(20)]:
        assert int(rounded(share, size)) == half_even(share, size), share
    assert int(rounded(-1.0, size)) == 0
    assert int(rounded(2.0, size)) == size
    for kept in range(0, size, max(size // 50, 1)):
        assert abs(int(rounded(kept / size, size)) - kept) <= size / 2**24


def test_counts_and_sparsity():
    masks = pruning.mask(SCORES["all equal"], 0.5)
    total = sum(np.prod(shape) for shape in SHAPES.values())
    kept, size = pruning.count(masks)
    assert (int(kept), size) == (total / 2, total)
    np.testing.assert_allclose(pruning.sparsity_of(masks), 0.5)
    assert float(pruning.sparsity_of({"bias": None})) == 0.0


def test_seeds_together():
    members = [tree(lambda shape: RNG.normal(size=shape).astype(np.float32)) for _ in range(3)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)
    sparsities = jnp.array([0.25, 0.5, 0.9])
    for scope in pruning.SCOPES:
        together = jax.vmap(functools.partial(pruning.mask, scope=scope))(stacked, sparsities)
        for i, member in enumerate(members):
            alone = pruning.mask(member, sparsities[i], scope=scope)
            jax.tree.map(np.testing.assert_array_equal, jax.tree.map(lambda leaf, i=i: leaf[i], together), alone)


def test_a_layer_is_left_dense_by_leaving_it_out():
    paths = [path for path in pruning.prunable(SCORES["below 0"]) if path != "a/kernel"]
    masks = pruning.mask(SCORES["below 0"], 0.5, scope="erk", paths=paths)
    assert masks["a"] == {"kernel": None, "bias": None}
    assert int(pruning.count(masks)[0]) == 16  # of 7 + 1 + 24
    params = SCORES["below 0"]
    masked = pruning.apply_masks(params, masks)
    np.testing.assert_array_equal(masked["a"]["kernel"], params["a"]["kernel"])
    np.testing.assert_array_equal(masked["d"]["bias"], params["d"]["bias"])
    for name in "bcd":
        np.testing.assert_array_equal(
            masked[name]["kernel"], np.where(masks[name]["kernel"], params[name]["kernel"], 0)
        )


def test_a_mask_needs_no_finite_weight_where_it_removes():
    weights = {"kernel": jnp.array([[jnp.inf, jnp.nan, 1.0]], jnp.bfloat16), "none": None}
    masked = pruning.apply_masks(weights, {"kernel": jnp.array([[False, False, True]]), "none": None})
    assert masked["kernel"].tolist() == [[0.0, 0.0, 1.0]]
    assert masked["kernel"].dtype == jnp.bfloat16


def test_scores_that_are_not_finite_are_refused_and_inside_of_a_program_the_first_to_go():
    scores = {"kernel": jnp.array([[1.0, jnp.nan, -5.0, 2.0]])}
    with pytest.raises(Unusable, match=r"scores of kernel: 1 values are not finite, the first at \[0, 1\]"):
        pruning.mask(scores, 0.5)
    compiled = jax.jit(pruning.mask)
    assert compiled(scores, 0.25)["kernel"].tolist() == [[True, False, True, True]]
    nothing = {"kernel": jnp.full((1, 5), jnp.nan)}
    assert compiled(nothing, 0.4)["kernel"].tolist() == [[True, True, True, False, False]]


def test_highest_of_any_float():
    scores = jnp.array([-jnp.inf, jnp.inf, -1.0, -0.0, 0.0, 1e-40, -1e-40, 3.0])
    for kind in (jnp.float32, jnp.bfloat16, jnp.float16):
        typed = scores.astype(kind)
        for count in range(9):
            assert highest(typed, count).tolist() == by_loop(typed, count), (kind, count)


def test_what_cannot_be_masked_is_refused():
    scores = SCORES["below 0"]
    with pytest.raises(UserError, match=r"scope='layers'; allowed: erk, global, layer \(did you mean 'layer'\?\)"):
        pruning.mask(scores, 0.5, scope="layers")
    with pytest.raises(UserError, match=r"sparsity=1.5 must be a share of the weights, from 0 to 1"):
        pruning.mask(scores, 1.5)
    with pytest.raises(UserError, match=r"no leaf 'a/kernal'; allowed: .*did you mean 'a/kernel'"):
        pruning.mask(scores, 0.5, paths=["a/kernal"])
    with pytest.raises(UserError, match=r"a/bias is no kernel, its shape is \(5,\)"):
        pruning.mask(scores, 0.5, paths=["a/bias"])
    for nothing in ({"bias": np.ones(3)}, {}):
        with pytest.raises(UserError, match="nothing to prune"):
            pruning.mask(nothing, 0.5)
    with pytest.raises(UserError, match="nothing to prune"):
        pruning.mask(scores, 0.5, paths=[])
