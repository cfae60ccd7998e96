"""Logits as targets, and the logits of an ensemble."""

import jax
import numpy as np
import pytest

from effjax import losses

RNG = np.random.default_rng(4)
MEMBERS = RNG.normal(0, 4, (3, 6, 5)).astype(np.float32)


def test_logit_mse_by_hand():
    np.testing.assert_allclose(losses.logit_mse(np.array([[1.0, 2.0]]), np.array([[3.0, -1.0]])), [(4 + 9) / 2])
    gap = MEMBERS[0].astype(np.float64) - MEMBERS[1]
    np.testing.assert_allclose(losses.logit_mse(MEMBERS[0], MEMBERS[1]), [(g * g).sum() / 2 for g in gap], rtol=1e-5)


def test_logit_mse_is_what_soft_targets_become_at_high_temperature():
    student, teacher = (x - x.mean(-1, keepdims=True) for x in MEMBERS[:2])
    soft = jax.grad(lambda s: losses.soft_target_kl(s, teacher, temperature=1000.0).sum())(student)
    hard = jax.grad(lambda s: losses.logit_mse(s, teacher).sum())(student)
    np.testing.assert_allclose(soft, hard / 5, rtol=0.05, atol=0.01)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_an_ensemble_says_the_mean_of_its_members_probabilities(temperature):
    logits = losses.ensemble_logits(MEMBERS, temperature)
    expected = losses.tempered_softmax(MEMBERS, temperature).mean(0)
    np.testing.assert_allclose(losses.tempered_softmax(logits, temperature), expected, rtol=1e-5)
    # By hand: (3/4, 1/4) and (1/4, 3/4) make (1/2, 1/2).
    pair = temperature * np.log([[3.0, 1.0], [1.0, 3.0]])
    np.testing.assert_allclose(losses.ensemble_logits(pair, temperature), [temperature * np.log(0.5)] * 2, rtol=1e-5)


def test_an_ensemble_of_one_is_its_member():
    logits = losses.ensemble_logits(MEMBERS[:1], 2.0)
    np.testing.assert_allclose(logits - logits[:, :1], MEMBERS[0] - MEMBERS[0][:, :1], atol=1e-5)


def test_ensembles_of_extreme_logits_are_finite():
    logits = losses.ensemble_logits(np.array([[1e4, -1e4, 0.0], [-1e4, 1e4, 0.0]], np.float16), 1.0)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, [np.log(0.5), np.log(0.5), -1e4], rtol=1e-3)
    with pytest.raises(AssertionError, match=r"\[M, ..., K\]"):
        losses.ensemble_logits(np.zeros(3), 1.0)
