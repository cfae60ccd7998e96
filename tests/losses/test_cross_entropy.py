"""Cross-entropy against a float64 reference, and how it treats masks, extremes and precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax import losses

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(0, 3, (6, 5)).astype(np.float32)
LABELS = np.array([0, 4, 2, 2, 1, 3], np.int32)
DISTRIBUTIONS = RNG.dirichlet(np.ones(5), 6).astype(np.float32)
KEEP = np.array([True, False, True, True, False, True])


def reference(logits, target):
    """-Σ target · log softmax(logits), in float64."""
    logits = np.asarray(logits, np.float64)
    shifted = logits - logits.max(-1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return -(np.asarray(target, np.float64) * log_probs).sum(-1)


def test_by_hand():
    loss = losses.cross_entropy(jnp.log(jnp.array([[0.25, 0.75], [0.5, 0.5]])), jnp.array([1, 0]))
    np.testing.assert_allclose(loss, [np.log(4 / 3), np.log(2)], rtol=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_smoothing_moves_mass_evenly_to_all_classes(smoothing):
    target = (1 - smoothing) * np.eye(5)[LABELS] + smoothing / 5
    loss = losses.cross_entropy(LOGITS, LABELS, label_smoothing=smoothing)
    assert loss.shape == (6,)
    np.testing.assert_allclose(loss, reference(LOGITS, target), rtol=2e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_distributions_as_labels(smoothing):
    target = (1 - smoothing) * DISTRIBUTIONS + smoothing / 5
    loss = losses.cross_entropy(LOGITS, DISTRIBUTIONS, label_smoothing=smoothing)
    np.testing.assert_allclose(loss, reference(LOGITS, target), rtol=2e-6)


def test_one_hot_equals_integer_labels():
    one_hot = losses.cross_entropy(LOGITS, np.eye(5, dtype=np.float32)[LABELS])
    np.testing.assert_allclose(one_hot, losses.cross_entropy(LOGITS, LABELS), rtol=1e-6)


def test_gradient_is_probabilities_minus_target():
    grad = jax.grad(lambda x: losses.cross_entropy(x, LABELS).sum())(LOGITS)
    np.testing.assert_allclose(grad, jax.nn.softmax(LOGITS) - np.eye(5)[LABELS], atol=1e-6)


@pytest.mark.parametrize("labels", [LABELS, DISTRIBUTIONS])
def test_masked_equals_subset(labels):
    whole = losses.cross_entropy(LOGITS, labels, label_smoothing=0.1, where=KEEP)
    subset = losses.cross_entropy(LOGITS[KEEP], labels[KEEP], label_smoothing=0.1)
    np.testing.assert_array_equal(whole[KEEP], subset)
    np.testing.assert_array_equal(whole[~KEEP], 0)


@pytest.mark.parametrize("labels", [LABELS, np.where(KEEP[:, None], DISTRIBUTIONS, np.nan)])
def test_nan_in_masked_rows_reaches_no_gradient(labels):
    logits = np.where(KEEP[:, None], LOGITS, np.nan)

    def total(x):
        return losses.cross_entropy(x, labels, label_smoothing=0.1, where=KEEP).sum()

    value, grad = jax.value_and_grad(total)(logits)
    assert np.isfinite(value)
    np.testing.assert_array_equal(grad[~KEEP], 0)
    assert np.isfinite(grad).all()
    assert np.abs(grad[KEEP]).max() > 0


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("labels", [np.array([0, 1, 2]), np.array([[1, 0, 0], [0, 1, 0], [0, 0.5, 0.5]])])
def test_extreme_logits_stay_finite(dtype, labels):
    logits = jnp.array([[1e4, -1e4, 0], [1e4, -1e4, 0], [-1e4, -1e4, 1e4]], dtype)

    def total(x):
        return losses.cross_entropy(x, labels, label_smoothing=0.1).sum()

    value, grad = jax.value_and_grad(total)(logits)
    assert value.dtype == jnp.float32
    assert grad.dtype == dtype
    assert np.isfinite(value)
    assert np.isfinite(grad.astype(np.float32)).all()
    hard = losses.cross_entropy(logits, jnp.array([0, 1, 2]))
    np.testing.assert_allclose(hard, [0, float(logits[1, 0] - logits[1, 1]), 0], rtol=1e-6)


@pytest.mark.parametrize("logits", [[1, 2, -np.inf], [3e38, 0, -3e38]])
def test_a_class_of_probability_0_adds_nothing_though_it_is_impossible(logits):
    """Its log-probability is −∞ in float32, times 0."""
    logits, labels = np.float32([logits]), np.float32([[1, 0, 0]])
    smaller = losses.cross_entropy(logits[:, :2], labels[:, :2])
    np.testing.assert_allclose(losses.cross_entropy(logits, labels), smaller, rtol=1e-6)


def test_bfloat16_is_computed_in_float32():
    low = jnp.asarray(LOGITS, jnp.bfloat16)
    np.testing.assert_array_equal(
        losses.cross_entropy(low, LABELS), losses.cross_entropy(low.astype(jnp.float32), LABELS)
    )


def test_jit_and_vmap_change_nothing():
    plain = losses.cross_entropy(LOGITS, LABELS, label_smoothing=0.1, where=KEEP)
    jitted = jax.jit(lambda x, y, w: losses.cross_entropy(x, y, label_smoothing=0.1, where=w))
    np.testing.assert_allclose(jitted(LOGITS, LABELS, KEEP), plain, rtol=1e-6)
    one = jax.vmap(lambda x, y, w: losses.cross_entropy(x, y, label_smoothing=0.1, where=w))
    np.testing.assert_allclose(one(LOGITS, LABELS, KEEP), plain, rtol=1e-6)
    grid = losses.cross_entropy(LOGITS.reshape(2, 3, 5), LABELS.reshape(2, 3))
    np.testing.assert_array_equal(grid.reshape(-1), losses.cross_entropy(LOGITS, LABELS))


@pytest.mark.parametrize(
    ("labels", "where"),
    [
        (LABELS[:5], None),
        (LABELS[:1], None),
        (LABELS[:, None], None),
        (DISTRIBUTIONS[:, :4], None),
        (DISTRIBUTIONS[0], None),
        (LABELS, KEEP[:1]),
        (LABELS, KEEP[:5]),
    ],
)
def test_wrong_shapes_are_refused(labels, where):
    with pytest.raises((AssertionError, ValueError, TypeError)):
        losses.cross_entropy(LOGITS, labels, where=where)
