"""PKT, NST, NKD and standardised logits: by hand, against numpy as their papers write them, and as terms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from effjax import losses
from effjax.errors import UserError
from effjax.models import Outputs
from effjax.steps import make_term
from effjax.steps.term import TermInputs

RNG = np.random.default_rng(5)
STUDENT, TEACHER = RNG.normal(0, 3, (2, 9, 6))
LABELS = RNG.integers(0, 6, 9)


def pkt(student, teacher):
    """The mean over all pairs, as the authors compute it."""

    def likeness(features):
        unit = features / (np.linalg.norm(features, axis=1, keepdims=True) + 1e-7)
        scaled = (unit @ unit.T + 1) / 2
        return scaled / scaled.sum(1, keepdims=True)

    ours, theirs = likeness(student), likeness(teacher)
    return (theirs * np.log((theirs + 1e-7) / (ours + 1e-7))).mean()


def test_examples_are_as_likely_alike_as_for_the_teacher():
    student, teacher = RNG.normal(size=(7, 5)), RNG.normal(size=(7, 11))
    each = losses.probabilistic_transfer(student, teacher)
    np.testing.assert_allclose(each.mean(), pkt(student, teacher), rtol=1e-5)
    np.testing.assert_allclose(losses.probabilistic_transfer(3 * teacher, teacher), 0, atol=1e-7)


def nst(student, teacher):
    """Of maps [B, C, P], pair by pair of channels."""

    def kernel(one, other):
        total = 0.0
        for a in one:
            for b in other:
                total += (a / np.linalg.norm(a) @ (b / np.linalg.norm(b))) ** 2
        return total / (len(one) * len(other))

    return [kernel(t, t) + kernel(s, s) - 2 * kernel(s, t) for s, t in zip(student, teacher, strict=True)]


def test_channels_answer_where_the_teachers_do():
    student, teacher = RNG.normal(size=(3, 4, 5, 2)), RNG.normal(size=(3, 4, 5, 3))
    flat = [maps.reshape(3, 20, -1).swapaxes(1, 2) for maps in (student, teacher)]
    np.testing.assert_allclose(losses.neuron_selectivity(student, teacher), nst(*flat), rtol=1e-5)
    # Larger maps are averaged: here each four places are one.
    signs = np.tile([[1.0, -1.0], [-1.0, 1.0]], (4, 5))[:, :, None]
    large = [maps.repeat(2, 1).repeat(2, 2) + signs for maps in (student, teacher)]
    for larger in ((student, large[1]), (large[0], teacher)):
        np.testing.assert_allclose(losses.neuron_selectivity(*larger), nst(*flat), rtol=1e-5)
    order = RNG.permutation(3)
    np.testing.assert_allclose(losses.neuron_selectivity(teacher[..., order], teacher), 0, atol=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_the_label_as_it_is_and_the_rest_as_shares(temperature):
    expected = []
    for student, teacher, label in zip(STUDENT, TEACHER, LABELS, strict=True):
        target = -softmax(teacher)[label] * log_softmax(student)[label]
        ours, theirs = (np.delete(logits, label) / temperature for logits in (student, teacher))
        rest = -(softmax(theirs) * log_softmax(ours)).sum()
        expected.append(target + 1.5 * temperature**2 * rest)
    found = losses.normalized_kd(STUDENT, TEACHER, LABELS, temperature=temperature)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    with pytest.raises(UserError, match="2 classes; allowed: 3 or more"):
        losses.normalized_kd(STUDENT[:, :2], TEACHER[:, :2], LABELS % 2)


def test_standardised_logits_have_no_scale():
    found = np.asarray(losses.standardize_logits(STUDENT))
    np.testing.assert_allclose(found.mean(-1), 0, atol=1e-6)
    np.testing.assert_allclose(found.std(-1, ddof=1), 1, rtol=1e-5)
    np.testing.assert_allclose(losses.standardize_logits(7 * STUDENT + 3), found, rtol=1e-4, atol=1e-5)
    flat, gradient = jax.value_and_grad(lambda x: losses.standardize_logits(x).sum())(jnp.ones((2, 4)))
    assert flat == 0
    assert np.isfinite(gradient).all()


def term_value(name, student, teacher, **options):
    inputs = TermInputs(
        step=jnp.zeros((), int),
        batch={"label": LABELS},
        student=Outputs(jnp.asarray(student), {}),
        teachers={"teacher": Outputs(jnp.asarray(teacher), {})},
        params=None,
        axis_name=None,
    )
    return np.asarray(make_term(name, **options).loss(inputs))


@pytest.mark.parametrize("name", ["soft_target", "dkd"])
def test_terms_may_standardise(name):
    plain = term_value(name, 4 * TEACHER, TEACHER)
    assert plain.min() > 1e-3
    np.testing.assert_allclose(term_value(name, 4 * TEACHER, TEACHER, standardize=True), 0, atol=1e-4)
    scaled = [losses.standardize_logits(logits) for logits in (STUDENT, TEACHER)]
    expected = term_value(name, *scaled)
    np.testing.assert_allclose(term_value(name, STUDENT, TEACHER, standardize=True), expected, rtol=1e-5)


def test_nkd_is_a_term():
    expected = losses.normalized_kd(STUDENT, TEACHER, LABELS, temperature=2.0, gamma=0.5)
    np.testing.assert_allclose(term_value("nkd", STUDENT, TEACHER, temperature=2.0, gamma=0.5), expected, rtol=1e-6)
