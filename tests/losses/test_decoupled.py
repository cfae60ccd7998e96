"""Decoupled soft targets: by hand, against loops in float64, and as the sum that soft targets are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax import losses
from effjax.errors import UserError

RNG = np.random.default_rng(2)
STUDENT = RNG.normal(0, 2, (6, 5)).astype(np.float32)
TEACHER = RNG.normal(0, 3, (6, 5)).astype(np.float32)
LABELS = np.array([0, 4, 2, 2, 1, 3], np.int32)


def softmax(logits):
    powers = np.exp(logits - np.max(logits))
    return powers / powers.sum()


def reference(student, teacher, labels, temperature, alpha, beta):
    """Example by example, class by class, from probabilities in float64."""
    values = []
    for s, t, label in zip(student.astype(np.float64), teacher.astype(np.float64), labels, strict=True):
        q, p = softmax(s / temperature), softmax(t / temperature)
        target = p[label] * np.log(p[label] / q[label]) + (1 - p[label]) * np.log((1 - p[label]) / (1 - q[label]))
        rest = 0.0
        for k in range(len(s)):
            if k != label:
                p_k, q_k = p[k] / (1 - p[label]), q[k] / (1 - q[label])
                rest += p_k * np.log(p_k / q_k)
        values.append(temperature**2 * (alpha * target + beta * rest))
    return values


def test_by_hand():
    # Teacher (1/2, 1/3, 1/6), student (1/3, 1/3, 1/3), label 0: the binary parts are (1/2, 1/2) and (1/3, 2/3), the
    # others share 2 : 1 and 1 : 1.
    teacher, student = np.log([[3.0, 2.0, 1.0]]), np.zeros((1, 3))
    target = 0.5 * np.log(3 / 2) + 0.5 * np.log(3 / 4)
    rest = 2 / 3 * np.log(4 / 3) + 1 / 3 * np.log(2 / 3)
    loss = losses.decoupled_kl(student, teacher, np.array([0]), temperature=1.0, alpha=2.0, beta=3.0)
    np.testing.assert_allclose(loss, [2 * target + 3 * rest], rtol=1e-5)
    doubled = losses.decoupled_kl(student, 2 * teacher, np.array([0]), temperature=2.0, alpha=2.0, beta=3.0)
    np.testing.assert_allclose(doubled, 4 * loss, rtol=1e-5)


def test_the_published_formula():
    # The authors' formula with its mask of -1000, written in PyTorch in float64, on the same numbers.
    student = np.array([[1.0, -0.5, 2.0], [0.0, 1.5, -1.0], [3.0, 0.5, 0.5], [-2.0, 1.0, 0.25]])
    teacher = np.array([[0.5, 0.5, 1.0], [2.0, -1.0, 0.0], [1.0, 3.0, -0.5], [-1.0, 0.0, 2.5]])
    loss = losses.decoupled_kl(student, teacher, np.array([2, 1, 0, 1]))
    np.testing.assert_allclose(loss.mean(), 4.897050333135434, rtol=1e-5)


@pytest.mark.parametrize(("temperature", "alpha", "beta"), [(4.0, 1.0, 8.0), (1.0, 0.5, 0.0), (2.0, 0.0, 1.0)])
def test_equals_the_reference(temperature, alpha, beta):
    loss = losses.decoupled_kl(STUDENT, TEACHER, LABELS, temperature=temperature, alpha=alpha, beta=beta)
    expected = reference(STUDENT, TEACHER, LABELS, temperature, alpha, beta)
    np.testing.assert_allclose(loss, expected, rtol=5e-5, atol=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_soft_targets_are_its_sum(temperature):
    others = 1 - losses.tempered_softmax(TEACHER, temperature)[np.arange(6), LABELS]
    loss = losses.decoupled_kl(STUDENT, TEACHER, LABELS, temperature=temperature, beta=others)
    np.testing.assert_allclose(loss, losses.soft_target_kl(STUDENT, TEACHER, temperature=temperature), rtol=1e-4)


def test_a_teacher_that_is_certain():
    # The teacher gives the label all of the probability that float32 has. What it knows of the others still counts.
    teacher = np.array([[1e4, 1.0, 0.0]], np.float32)
    student = np.array([[-1e4, 0.0, 0.0]], np.float32)
    value, grad = jax.value_and_grad(
        lambda s: losses.decoupled_kl(s, teacher, np.array([0]), temperature=1.0, beta=0.0).sum()
    )(student)
    np.testing.assert_allclose(value, 1e4 + np.log(2), rtol=1e-6)
    np.testing.assert_allclose(grad, [[-1.0, 0.5, 0.5]], atol=1e-6)
    grad = jax.grad(lambda s: losses.decoupled_kl(s, teacher, np.array([0]), alpha=0.0, beta=1.0).sum())(student)
    share = 1 / (1 + np.exp(-0.25))
    np.testing.assert_allclose(grad, [[0.0, 4 * (0.5 - share), 4 * (share - 0.5)]], atol=1e-6)


def test_labels_of_masked_rows_may_be_anything():
    keep, labels = LABELS != 2, np.where(LABELS != 2, LABELS, -1)
    loss = losses.decoupled_kl(STUDENT, TEACHER, labels, where=keep)
    np.testing.assert_array_equal(loss[keep], losses.decoupled_kl(STUDENT, TEACHER, LABELS)[keep])
    np.testing.assert_array_equal(loss[~keep], 0)


def test_leading_axes_and_vmap():
    grid = losses.decoupled_kl(STUDENT.reshape(2, 3, 5), TEACHER.reshape(2, 3, 5), LABELS.reshape(2, 3))
    np.testing.assert_allclose(grid.reshape(6), losses.decoupled_kl(STUDENT, TEACHER, LABELS), rtol=1e-5)
    one = jax.vmap(losses.decoupled_kl)(STUDENT, TEACHER, LABELS)
    np.testing.assert_allclose(one, grid.reshape(6), rtol=1e-5)


def test_two_classes_are_refused():
    with pytest.raises(UserError, match=r"decoupled_kl: 2 classes; allowed: 3 or more\. Use soft_target_kl"):
        losses.decoupled_kl(STUDENT[:, :2], TEACHER[:, :2], np.zeros(6, np.int32))


@pytest.mark.parametrize(
    ("teacher", "labels"),
    [(TEACHER[:, :4], LABELS), (TEACHER, LABELS[:5]), (TEACHER, LABELS.astype(np.float32)), (TEACHER, jnp.eye(6, 5))],
)
def test_wrong_shapes_are_refused(teacher, labels):
    with pytest.raises(AssertionError):
        losses.decoupled_kl(STUDENT, teacher, labels)
