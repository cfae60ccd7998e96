"""Consistency of detections under augmentation: by hand, and against numpy."""

import jax
import numpy as np
import pytest

from effjax.numerics import Unusable
from effjax.uncertainty import cald

SURE, UNSURE, OTHER = [1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("here", "there", "agreement", "expected"),
    [
        (SURE, SURE, 1.0, 0.6),  # m = 1 + 1: the same again, 1.3 − 0.7
        (SURE, SURE, 0.3, 1.3),  # m = 1.3: what is asked for first
        (SURE, OTHER, 1.0, 1.0),  # two things at one place: the divergence is a whole bit, m = 1
        (SURE, OTHER, 0.0, 0.0),  # nothing that is the same
        (UNSURE, UNSURE, 0.5, 1.0),  # alike, but sure by half: m = 0.5 + 0.5
    ],
)
def test_by_hand(here, there, agreement, expected):
    np.testing.assert_allclose(cald(np.array([[here], [there]]), np.array([[agreement]])), [expected], atol=1e-6)


def reference(probs, agreement):
    """As the paper writes it, one item after the other, in float64."""

    def divergence(p, q):
        there = p > 0
        return (p[there] * np.log2(p[there] / q[there])).sum()

    found = np.zeros(probs.shape[1])
    for item in range(probs.shape[1]):
        first, scores = probs[0, item], []
        for version, overlap in zip(probs[1:, item], agreement[:, item], strict=True):
            middle = (first + version) / 2
            alike = 1 - (divergence(first, middle) + divergence(version, middle)) / 2
            sure = (first[:-1].max() + version[:-1].max()) / 2
            scores.append(1.3 - abs(overlap + sure * alike - 1.3))
        found[item] = np.mean(scores)
    return found


def drawn(members=5, items=30, classes=4):
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.full(classes, 0.3), (members, items))
    probs[:, 0] = np.eye(classes)[-1]  # nothing, and sure of it
    return probs, rng.random((members - 1, items))


def test_equals_numpy_in_a_program_and_not():
    expected = reference(*drawn())
    np.testing.assert_allclose(cald(*drawn()), expected, atol=1e-5)
    np.testing.assert_allclose(jax.jit(cald)(*drawn()), expected, atol=1e-5)


def test_it_is_from_0_to_1_3_whatever_the_order_of_items_and_versions():
    probs, agreement = drawn()
    found = np.asarray(cald(probs, agreement))
    assert ((found >= 0) & (found <= 1.3)).all()
    items, versions = np.random.default_rng(1).permutation(30), np.array([2, 0, 3, 1])
    permuted = cald(probs[:, items][np.r_[0, 1 + versions]], agreement[versions][:, items])
    np.testing.assert_allclose(permuted, found[items], atol=1e-6)


def test_half_precision_is_computed_with_in_whole():
    probs, agreement = (np.asarray(x, np.float16) for x in drawn())
    found = cald(probs, agreement)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, reference(probs.astype(float), agreement.astype(float)), atol=1e-3)


def test_gradients_are_finite_at_certainty():
    probs = np.array([[SURE, UNSURE], [SURE, OTHER]], np.float32)
    gradient = jax.jit(jax.grad(lambda agreement: cald(probs, agreement).sum()))(np.array([[1.0, 0.2]], np.float32))
    np.testing.assert_allclose(gradient, [[-1, 1]], atol=1e-6)  # above 1.3, and below


def test_what_are_no_probabilities_is_refused():
    with pytest.raises(Unusable, match="probs: 1 of 2 are no probabilities"):
        cald(np.array([[SURE], [[2.0, 0.0, 0.0]]]), np.ones((1, 1)))
