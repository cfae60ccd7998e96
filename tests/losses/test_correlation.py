"""DIST: by hand, against loops in float64, and where a correlation has no meaning."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax import losses

RNG = np.random.default_rng(3)
STUDENT = RNG.normal(0, 2, (6, 5)).astype(np.float32)
TEACHER = RNG.normal(0, 3, (6, 5)).astype(np.float32)


def softmax(logits, temperature):
    powers = np.exp(logits.astype(np.float64) / temperature)
    return powers / powers.sum(-1, keepdims=True)


def reference(student, teacher, temperature, inter, intra):
    """One correlation after another, by numpy."""
    s, t = softmax(student, temperature), softmax(teacher, temperature)
    rows = [1 - np.corrcoef(s[i], t[i])[0, 1] for i in range(len(s))]
    columns = [1 - np.corrcoef(s[:, k], t[:, k])[0, 1] for k in range(s.shape[1])]
    return temperature**2 * (inter * np.mean(rows) + intra * np.mean(columns))


def test_by_hand():
    # Probabilities (1/2, 1/4, 1/4), (1/4, 1/2, 1/4) against (1/4, 1/4, 1/2), (1/4, 1/2, 1/4). Less 1/3 and times 12 the
    # rows are (2, -1, -1), (-1, 2, -1) against (-1, -1, 2), (-1, 2, -1): r = -1/2 and 1. Of the columns the student's
    # third and the teacher's first are constant (r = 0); the second ones rise together (r = 1).
    student = np.log([[2.0, 1.0, 1.0], [1.0, 2.0, 1.0]])
    teacher = np.log([[1.0, 1.0, 2.0], [1.0, 2.0, 1.0]])
    np.testing.assert_allclose(losses.dist(student, teacher, intra=0.0), 1 - (-1 / 2 + 1) / 2, rtol=1e-5)
    np.testing.assert_allclose(losses.dist(student, teacher, inter=0.0), 1 - (0 + 1 + 0) / 3, rtol=1e-5)


def test_the_published_formula():
    # The authors' code with T = 4, written in PyTorch in float64, on the same numbers.
    student = np.array([[1.0, -0.5, 2.0], [0.0, 1.5, -1.0], [3.0, 0.5, 0.5], [-2.0, 1.0, 0.25]])
    teacher = np.array([[0.5, 0.5, 1.0], [2.0, -1.0, 0.0], [1.0, 3.0, -0.5], [-1.0, 0.0, 2.5]])
    loss = losses.dist(student, teacher, temperature=4.0, inter=1.0, intra=2.0)
    np.testing.assert_allclose(loss, 44.82362967592983, rtol=1e-5)


@pytest.mark.parametrize(("temperature", "inter", "intra"), [(1.0, 1.0, 1.0), (4.0, 2.0, 0.5)])
def test_equals_the_reference(temperature, inter, intra):
    loss = losses.dist(STUDENT, TEACHER, temperature=temperature, inter=inter, intra=intra)
    assert loss.shape == ()
    np.testing.assert_allclose(loss, reference(STUDENT, TEACHER, temperature, inter, intra), rtol=2e-5)


def test_zero_for_the_same_predictions_only():
    np.testing.assert_allclose(losses.dist(TEACHER + 3.0, TEACHER), 0, atol=1e-5)
    assert losses.dist(STUDENT, TEACHER) > 0.1


@pytest.mark.parametrize(
    "student",
    [
        np.zeros((4, 3)),
        np.tile([1e4, 0.0, -1e4], (4, 1)),
        np.zeros((4, 3)) + 0.1,
        np.array([0.1, 0.2, 0.7]) + np.array([0.0, 0.37, 1.1, 2.9])[:, None],  # alike but for rounding
    ],
)
def test_what_does_not_vary_correlates_with_nothing_and_has_no_gradient(student):
    teacher = TEACHER[:4, :3]
    value, grad = jax.value_and_grad(lambda s: losses.dist(s, teacher, inter=0.0))(jnp.asarray(student, jnp.float32))
    np.testing.assert_allclose(value, 1.0, rtol=1e-6)
    np.testing.assert_allclose(grad, 0, atol=1e-6)


def test_a_batch_of_one_has_the_relations_between_classes_only():
    np.testing.assert_allclose(losses.dist(TEACHER[:1], TEACHER[:1]), 1.0, rtol=1e-5)


def test_nothing_takes_part():
    value, grad = jax.value_and_grad(lambda s: losses.dist(s, TEACHER, where=np.zeros(6, bool)))(STUDENT)
    assert value == 0
    np.testing.assert_array_equal(grad, 0)


@pytest.mark.parametrize(
    ("student", "where"),
    [(STUDENT[:, :4], None), (STUDENT[:5], None), (STUDENT[None], None), (STUDENT, np.ones(5, bool))],
)
def test_wrong_shapes_are_refused(student, where):
    with pytest.raises((AssertionError, ValueError)):
        losses.dist(student, TEACHER, where=where)
