"""Scores by hand, against numpy, and what they promise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax import uncertainty

SCORES = {name: getattr(uncertainty, name) for name in uncertainty.SCORES}
M, N, C = 5, 17, 4
PROBS = np.random.default_rng(0).dirichlet(np.full(C, 0.5), (M, N))


def numpy_entropy(p):
    return -(p * np.log(np.where(p > 0, p, 1.0))).sum(-1)


def reference(name, p):
    mean = p.mean(0)
    ordered = np.sort(mean, -1)
    votes = np.array([np.bincount(row, minlength=C) for row in p.argmax(-1).T])
    return {
        "entropy": numpy_entropy(mean),
        "least_confidence": 1 - ordered[:, -1],
        "margin": 1 - (ordered[:, -1] - ordered[:, -2]),
        "bald": numpy_entropy(mean) - numpy_entropy(p).mean(0),
        "variation_ratio": 1 - votes.max(-1) / len(p),
        "consistency": ((p - mean) ** 2).mean(0).sum(-1),
        "disagreement": (numpy_entropy(mean) - numpy_entropy(p).mean(0)) * numpy_entropy(mean),
    }[name]


@pytest.mark.parametrize("name", SCORES)
def test_equals_numpy_in_float64(name):
    np.testing.assert_allclose(SCORES[name](PROBS), reference(name, PROBS), atol=1e-6)
    np.testing.assert_allclose(jax.jit(SCORES[name])(PROBS), reference(name, PROBS), atol=1e-6)


BY_HAND = jnp.array([[[1.0, 0.0], [0.5, 0.5], [1.0, 0.0]], [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]])
LOG2 = float(np.log(2))


@pytest.mark.parametrize(
    ("name", "expected"),  # sure and agreed; unsure and agreed; sure and opposed
    [
        ("entropy", [0, LOG2, LOG2]),
        ("least_confidence", [0, 0.5, 0.5]),
        ("margin", [0, 1, 1]),
        ("bald", [0, 0, LOG2]),
        ("variation_ratio", [0, 0, 0.5]),
        ("consistency", [0, 0, 0.5]),
        ("disagreement", [0, 0, LOG2**2]),
    ],
)
def test_by_hand(name, expected):
    np.testing.assert_allclose(SCORES[name](BY_HAND), expected, atol=1e-6)


@pytest.mark.parametrize("name", SCORES)
def test_order_of_members_and_classes_does_not_matter(name):
    score = SCORES[name](PROBS)
    np.testing.assert_allclose(SCORES[name](PROBS[::-1]), score, atol=1e-6)
    np.testing.assert_allclose(SCORES[name](PROBS[:, :, ::-1]), score, atol=1e-6)
    np.testing.assert_allclose(SCORES[name](PROBS[:, ::-1]), score[::-1], atol=1e-6)


@pytest.mark.parametrize("name", SCORES)
def test_half_precision_is_computed_in_float32(name):
    probs = jnp.asarray(PROBS, jnp.bfloat16)
    assert SCORES[name](probs).dtype == jnp.float32
    np.testing.assert_allclose(SCORES[name](probs), SCORES[name](probs.astype(jnp.float32)), atol=1e-6)


@pytest.mark.parametrize("name", SCORES)
def test_one_prediction_needs_its_axis(name):
    assert SCORES[name](PROBS[:1]).shape == (N,)
    with pytest.raises(AssertionError, match="rank"):
        SCORES[name](PROBS[0])
