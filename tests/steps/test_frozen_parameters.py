"""What a stage does not train stays as it is, to the bit, whatever the optimiser would like."""

import jax
import numpy as np
import pytest
from toy import (
    GRADIENT_ONLY,
    gradient_step,
    largest_difference,
    make_batch,
    make_objective,
    make_state,
    quick_jit,
)

from effjax.errors import UserError
from effjax.steps import make_optimizer, make_train_step, path_mask
from effjax.steps.masks import split

BATCH = make_batch()
TREE = {"student": {"conv1": {"kernel": 1.0, "bias": 2.0}, "norm": {"scale": 3.0}}, "hint": {"kernel": 4.0}}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("adamw", {"weight_decay": 0.5, "clip_norm": 1.0}),
        ("sgd", {"momentum": 0.9, "weight_decay": 0.5}),
    ],
)
def test_frozen_leaves_are_untouched_and_the_others_move(name, options):
    optimizer = make_optimizer(name, 0.1, **options)
    everything, head = make_objective(), make_objective(trainable="student/classifier/.*")
    state = make_state(everything, optimizer, BATCH)
    # One step on everything first, so that the optimiser has momentum for what is then frozen.
    state, _ = quick_jit(make_train_step(everything, optimizer))(state, BATCH)
    before, step = state, quick_jit(make_train_step(head, optimizer))
    for _ in range(3):
        state, _ = step(state, BATCH)
    frozen, trained = state.params["student"]["dense1"], state.params["student"]["classifier"]
    for leaf in ("kernel", "bias"):
        np.testing.assert_array_equal(frozen[leaf], before.params["student"]["dense1"][leaf])
        assert np.abs(trained[leaf] - before.params["student"]["classifier"][leaf]).max() > 1e-4
    assert jax.tree.structure(state) == jax.tree.structure(before)  # so that the next stage can go on from it


def test_the_gradient_of_the_trained_is_unchanged_and_that_of_the_frozen_zero():
    state = make_state(make_objective(), GRADIENT_ONLY, BATCH)
    whole, _ = gradient_step(make_objective())(state, BATCH)
    part, metrics = gradient_step(make_objective(trainable=".*/bias"))(state, BATCH)
    for layer in ("dense1", "classifier"):
        ours, reference = (s.opt_state.trace["student"][layer] for s in (part, whole))
        np.testing.assert_allclose(ours["bias"], reference["bias"], atol=1e-7)
        np.testing.assert_array_equal(ours["kernel"], 0)
    norm = np.sqrt(sum((part.opt_state.trace["student"][n]["bias"] ** 2).sum() for n in ("dense1", "classifier")))
    np.testing.assert_allclose(metrics["grad_norm"].compute(), norm, rtol=1e-5)  # of what is trained alone


def test_a_pattern_that_matches_nothing_is_refused_with_the_nearest():
    state = make_state(make_objective(), GRADIENT_ONLY, BATCH)
    step = make_train_step(make_objective(trainable="student/clasifier/kernel"), GRADIENT_ONLY)
    with pytest.raises(UserError, match=r"trainable='student/clasifier/kernel' .* 'student/classifier/kernel'"):
        step(state, BATCH)


def test_masks_match_whole_paths():
    assert path_mask(TREE, ".*", key="k") == jax.tree.map(lambda _: True, TREE)
    assert path_mask(TREE, "student/conv1/.*|hint/.*", key="k") == {
        "student": {"conv1": {"kernel": True, "bias": True}, "norm": {"scale": False}},
        "hint": {"kernel": True},
    }
    assert path_mask(TREE, ".*/kernel", key="k")["hint"]["kernel"]
    for pattern in ("kernel", "student", "student/conv1"):  # a part of a path is no match
        with pytest.raises(UserError, match="matches no parameter"):
            path_mask(TREE, pattern, key="k")
    with pytest.raises(UserError, match=r"k='\(' is not a regular expression"):
        path_mask(TREE, "(", key="k")


def test_split_and_join_are_inverse():
    chosen, join = split(TREE, path_mask(TREE, ".*/kernel", key="k"))
    assert sorted(chosen) == [1.0, 4.0]
    assert join(chosen) == TREE
    assert largest_difference(join([10.0 * x for x in chosen]), TREE) == 36.0
    assert join([0.0, 0.0])["student"]["norm"]["scale"] == 3.0
