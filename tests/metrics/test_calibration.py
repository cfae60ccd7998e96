"""Expected calibration error against a reference that walks over the bins."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax.metrics import CalibrationBins, expected_calibration_error

RNG = np.random.default_rng(0)
PROBS = RNG.dirichlet(np.full(4, 0.5), 200).astype(np.float32)
LABELS = RNG.integers(0, 4, 200)


def reference(probs, labels, num_bins):
    """Σ |accuracy - confidence| · share, over bins (b/n, (b+1)/n]."""
    probs = np.asarray(probs, np.float64)
    confidence, right = probs.max(1), probs.argmax(1) == labels
    error = 0.0
    for b in range(num_bins):
        inside = (confidence > b / num_bins) & (confidence <= (b + 1) / num_bins)
        if inside.any():
            error += abs(right[inside].mean() - confidence[inside].mean()) * inside.mean()
    return error


@pytest.mark.parametrize("num_bins", [1, 2, 15, 50])
def test_equals_the_reference(num_bins):
    error = expected_calibration_error(PROBS, LABELS, num_bins=num_bins)
    np.testing.assert_allclose(error, reference(PROBS, LABELS, num_bins), atol=1e-6)


def test_by_hand():
    # Bin (.5, .75]: confidences .6 and .7, one right. Bin (.75, 1]: .9, wrong.
    probs = np.array([[0.6, 0.4], [0.3, 0.7], [0.9, 0.1]], np.float32)
    error = expected_calibration_error(probs, np.array([0, 0, 1]), num_bins=4)
    np.testing.assert_allclose(error, (abs(1 - 1.3) + abs(0 - 0.9)) / 3, rtol=1e-6)


def test_a_bin_owns_its_upper_edge():
    confidences = np.array([0.25, 0.5, 0.75, 1.0], np.float32)  # exact in binary
    probs = np.stack([confidences, (1 - confidences) / 4, (1 - confidences) / 4], 1)
    probs[0] = [0.25, 0.25, 0.25]
    bins = CalibrationBins.empty(4).update(probs, np.zeros(4, int))
    np.testing.assert_array_equal(bins.count, [1, 1, 1, 1])
    np.testing.assert_array_equal(bins.confidence, confidences)
    just_above = CalibrationBins.empty(4).update(np.nextafter(confidences[1:2, None], 1), np.zeros(1, int))
    np.testing.assert_array_equal(just_above.count, [0, 0, 1, 0])


def test_rounding_above_one_and_zero_stay_in_range():
    bins = CalibrationBins.empty(15).update(np.array([[1.0000001], [0.0]], np.float32), np.zeros(2, int))
    assert bins.count[14] == 1
    assert bins.count[0] == 1


def test_extremes():
    sure = np.eye(4, dtype=np.float32)[LABELS]
    assert expected_calibration_error(sure, LABELS) == 0
    assert expected_calibration_error(sure, (LABELS + 1) % 4) == 1


def test_where_equals_subset_even_with_nan():
    keep = RNG.random(200) < 0.7
    padded = np.where(keep[:, None], PROBS, np.nan)
    masked = CalibrationBins.empty().update(padded, np.where(keep, LABELS, -1), where=keep)
    subset = CalibrationBins.empty().update(PROBS[keep], LABELS[keep])
    for a, b in zip(masked, subset, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    error = expected_calibration_error(padded, LABELS, where=keep)
    np.testing.assert_allclose(error, reference(PROBS[keep], LABELS[keep], 15), atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_any_partition_merges(seed):
    rng = np.random.default_rng(seed)
    order, cuts = rng.permutation(200), 40 * np.sort(rng.integers(0, 6, 4))
    bins = CalibrationBins.empty()
    for rows in np.split(order, cuts):
        bins = bins.merge(CalibrationBins.empty().update(PROBS[rows], LABELS[rows]))
    whole = CalibrationBins.empty().update(PROBS, LABELS)
    np.testing.assert_array_equal(bins.count, whole.count)
    np.testing.assert_array_equal(bins.correct, whole.correct)
    np.testing.assert_allclose(bins.confidence, whole.confidence, rtol=1e-6)
    np.testing.assert_allclose(bins.compute(), reference(PROBS, LABELS, 15), atol=1e-6)


def test_no_matrix_product_rounds_the_sums():
    # On accelerators a product of matrices rounds its inputs to bfloat16 or TF32 by default.
    program = str(jax.make_jaxpr(lambda p, y: CalibrationBins.empty().update(p, y))(PROBS, jnp.asarray(LABELS)))
    assert "dot_general" not in program


@pytest.mark.parametrize(
    ("labels", "where"), [(LABELS[:199], None), (LABELS[:, None], None), (LABELS, np.ones(1, bool))]
)
def test_wrong_shapes_are_refused(labels, where):
    with pytest.raises(AssertionError):
        expected_calibration_error(PROBS, labels, where=where)
