"""EPIG against a double loop over examples and targets; scores that are discounted by a class."""

import jax
import numpy as np
import pytest

from effjax import uncertainty
from effjax.errors import UserError

RNG = np.random.default_rng(0)
PROBS = RNG.dirichlet(np.full(3, 0.4), (4, 70)).astype(np.float32)
TARGETS = RNG.dirichlet(np.full(3, 0.4), (4, 5)).astype(np.float32)


def entropy(p):
    return -(p * np.log(np.maximum(p, 1e-30))).sum()


def information(own, target):
    """Between the labels of two examples, from what each member says of both."""
    joint = np.mean([np.outer(a, b) for a, b in zip(own, target, strict=True)], axis=0)
    return entropy(joint.sum(1)) + entropy(joint.sum(0)) - entropy(joint)


@pytest.mark.parametrize("compile_", [lambda f: f, jax.jit])
def test_it_is_the_mean_information_on_targets(compile_):
    own, targets = PROBS.astype(np.float64), TARGETS.astype(np.float64)
    expected = [np.mean([information(own[:, i], targets[:, j]) for j in range(5)]) for i in range(70)]
    np.testing.assert_allclose(compile_(uncertainty.epig)(PROBS, TARGETS), expected, atol=1e-5)


def test_it_is_never_more_than_bald_and_the_order_of_examples_and_members_does_not_matter():
    found = np.asarray(uncertainty.epig(PROBS, TARGETS))
    assert (found <= np.asarray(uncertainty.bald(PROBS)) + 1e-5).all()
    np.testing.assert_allclose(uncertainty.epig(PROBS[::-1], TARGETS[::-1]), found, atol=1e-6)
    np.testing.assert_allclose(uncertainty.epig(PROBS[:, ::-1], TARGETS[:, ::-1]), found[::-1], atol=1e-6)


def test_one_member_and_members_that_agree_say_nothing():
    np.testing.assert_allclose(uncertainty.epig(PROBS[:1], TARGETS[:1]), np.zeros(70), atol=1e-6)
    alike = np.repeat(PROBS[:1], 4, 0)
    np.testing.assert_allclose(uncertainty.epig(alike, TARGETS), np.zeros(70), atol=1e-6)


@pytest.mark.parametrize("targets", [TARGETS[:2], TARGETS[:, :0], TARGETS[..., :2], TARGETS[0]])
def test_targets_that_do_not_fit_are_refused(targets):
    with pytest.raises(ValueError, match=r"allowed: \[M, N, C\] and \[M, T, C\]"):
        uncertainty.epig(PROBS, targets)


def test_predictions_with_more_axes_are_refused():
    with pytest.raises(ValueError, match=r"allowed: \[M, N, C\] and \[M, T, C\]"):
        uncertainty.epig(PROBS[..., None], TARGETS[..., None])


def test_what_is_no_probability_is_refused():
    with pytest.raises(UserError):
        uncertainty.epig(PROBS, TARGETS * 2)


def test_scores_are_discounted_by_the_mean_probability_of_a_class():
    scores = np.asarray(uncertainty.entropy(PROBS))
    np.testing.assert_allclose(
        uncertainty.discounted(scores, PROBS, 2), scores * (1 - PROBS[..., 2].mean(0)), rtol=1e-6
    )
    sure = np.zeros((2, 1, 3), np.float32)
    sure[..., 1] = 1
    assert uncertainty.discounted(np.ones(1), sure, 1).tolist() == [0.0]


@pytest.mark.parametrize(("scores", "column"), [(np.ones(69), 0), (np.ones(70), 3), (np.ones(70), -1)])
def test_a_column_that_is_not_there_is_refused(scores, column):
    with pytest.raises(ValueError, match="allowed"):
        uncertainty.discounted(scores, PROBS, column)
