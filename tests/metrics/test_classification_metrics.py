"""Measures of a classifier's answers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax.metrics import agreement, negative_log_likelihood, top_k_accuracy

LOGITS = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
LABELS = np.random.default_rng(1).integers(0, 6, 40)


@pytest.mark.parametrize("k", [1, 2, 5, 6, 7])
def test_top_k_equals_sorting(k):
    expected = [label in np.argsort(-row, kind="stable")[:k] for row, label in zip(LOGITS, LABELS, strict=True)]
    np.testing.assert_array_equal(top_k_accuracy(LOGITS, LABELS, k=k), expected)


def test_ties_go_to_the_lower_index_as_in_argmax():
    row = np.array([1.0, 2.0, 2.0, 2.0])
    tied = np.tile(row, (4, 1))
    np.testing.assert_array_equal(top_k_accuracy(tied, np.arange(4)), [False, True, False, False])
    np.testing.assert_array_equal(top_k_accuracy(tied, np.arange(4), k=2), [False, True, True, False])
    np.testing.assert_array_equal(top_k_accuracy(tied, np.arange(4), k=3), [False, True, True, True])
    coarse = np.round(LOGITS)  # many ties
    for k in (1, 2, 3):
        ranked = np.argsort(-coarse, kind="stable")[:, :k]
        np.testing.assert_array_equal(top_k_accuracy(coarse, LABELS, k=k), (ranked == LABELS[:, None]).any(1))


def test_no_information_scores_one_class_in_all():
    # A network whose logits are all equal must not come out as always right.
    assert top_k_accuracy(np.zeros((6, 6)), np.arange(6)).sum() == 1


def test_nan_is_wrong():
    logits = np.array([[np.nan, 0, 1], [np.nan, 0, 1], [0, 1, np.nan], [np.nan] * 3])
    assert not top_k_accuracy(logits, np.array([0, 2, 1, 0]), k=3).any()


@pytest.mark.parametrize("label", [-1, 3, 100])
def test_a_label_that_is_no_class_is_wrong(label):
    assert not top_k_accuracy(np.array([[1.0, 2.0, 3.0]]), np.array([label]), k=3).any()


def test_infinite_logits_are_ordered():
    logits = np.array([[-np.inf, 0, np.inf]] * 3)
    np.testing.assert_array_equal(top_k_accuracy(logits, np.arange(3)), [False, False, True])


def test_agreement_counts_equal_answers_right_or_wrong():
    ours = np.array([[1.0, 0], [0, 1], [2, 3], [np.nan, 0], [np.nan, 0], [5, 5]])
    others = np.array([[9.0, 3], [1, 0], [0, 7], [np.nan, 1], [1, 0], [1, 0]])
    np.testing.assert_array_equal(agreement(ours, others), [True, False, True, False, False, True])
    np.testing.assert_array_equal(agreement(others, ours), agreement(ours, others))
    assert agreement(LOGITS, 3 * LOGITS + 1).all()


def test_negative_log_likelihood():
    probs = np.array([[0.25, 0.75], [1.0, 0.0]], np.float32)
    np.testing.assert_allclose(negative_log_likelihood(probs, np.array([0, 0])), [np.log(4), 0], rtol=1e-6)
    underflowed = negative_log_likelihood(probs[1:], np.array([1]))
    np.testing.assert_allclose(underflowed, [-np.log(np.finfo(np.float32).tiny)], rtol=1e-6)  # 87.3, not inf
    assert np.isnan(negative_log_likelihood(np.full((1, 2), np.nan), np.array([0]))).all()
    grad = jax.grad(lambda p: negative_log_likelihood(p, np.array([0, 1])).sum())(jnp.asarray(probs))
    assert np.isfinite(grad).all()


@pytest.mark.parametrize("measure", [top_k_accuracy, negative_log_likelihood])
def test_shapes(measure):
    grid = measure(LOGITS.reshape(5, 8, 6), LABELS.reshape(5, 8))
    np.testing.assert_array_equal(grid.reshape(-1), measure(LOGITS, LABELS))
    np.testing.assert_array_equal(jax.vmap(measure)(LOGITS, LABELS), measure(LOGITS, LABELS))
    with pytest.raises(AssertionError):
        measure(LOGITS, LABELS[:, None])


def test_agreement_refuses_other_shapes():
    with pytest.raises(AssertionError):
        agreement(LOGITS, LOGITS[:, :5])
