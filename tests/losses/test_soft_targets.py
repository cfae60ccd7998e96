"""Soft targets against a float64 reference, and the promises about T², the teacher, masks and extremes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax import losses

RNG = np.random.default_rng(1)
STUDENT = RNG.normal(0, 2, (6, 5)).astype(np.float32)
TEACHER = RNG.normal(0, 4, (6, 5)).astype(np.float32)
KEEP = np.array([True, True, False, True, False, True])


def softmax(logits, temperature):
    scaled = np.asarray(logits, np.float64) / temperature
    powers = np.exp(scaled - scaled.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def reference(student, teacher, temperature):
    """T² · Σ p (log p - log q), in float64."""
    p, q = softmax(teacher, temperature), softmax(student, temperature)
    return temperature**2 * (p * np.log(p / q)).sum(-1)


def gradient(student=STUDENT, teacher=TEACHER, **options):
    return jax.grad(lambda x: losses.soft_target_kl(x, teacher, **options).sum())(jnp.asarray(student))


def test_by_hand():
    # p = (1/4, 3/4) and q = (1/2, 1/2) at T = 1; the logits doubled give the same at T = 2, times four.
    teacher, student = np.log([[1.0, 3.0]]), np.zeros((1, 2))
    expected = 0.25 * np.log(0.5) + 0.75 * np.log(1.5)
    np.testing.assert_allclose(losses.soft_target_kl(student, teacher, temperature=1.0), [expected], rtol=1e-6)
    np.testing.assert_allclose(losses.soft_target_kl(student, 2 * teacher, temperature=2.0), [4 * expected], rtol=1e-6)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4, 20.0])
def test_equals_the_reference(temperature):
    loss = losses.soft_target_kl(STUDENT, TEACHER, temperature=temperature)
    assert loss.shape == (6,)
    np.testing.assert_allclose(loss, reference(STUDENT, TEACHER, temperature), rtol=2e-5)


def test_the_default_temperature_is_four():
    np.testing.assert_array_equal(
        losses.soft_target_kl(STUDENT, TEACHER), losses.soft_target_kl(STUDENT, TEACHER, temperature=4.0)
    )


@pytest.mark.parametrize("temperature", [1.0, 4.0, 20.0])
def test_gradient_is_the_gap_of_probabilities_times_temperature(temperature):
    gap = temperature * (softmax(STUDENT, temperature) - softmax(TEACHER, temperature))
    np.testing.assert_allclose(gradient(temperature=temperature), gap, atol=3e-6)


def test_gradient_keeps_its_size_as_temperature_grows():
    # In the limit it is the gap of the centred logits over the number of classes, whatever T.
    centred = (STUDENT - STUDENT.mean(-1, keepdims=True)) - (TEACHER - TEACHER.mean(-1, keepdims=True))
    for temperature in (200.0, 400.0):
        np.testing.assert_allclose(gradient(temperature=temperature), centred / 5, rtol=0.1, atol=0.02)


def test_zero_only_where_both_agree_and_never_negative():
    shifted = TEACHER + np.arange(6, dtype=np.float32)[:, None]  # a constant added to all logits changes nothing
    np.testing.assert_allclose(losses.soft_target_kl(shifted, TEACHER), 0, atol=1e-4)
    assert (losses.soft_target_kl(STUDENT, TEACHER) > 0).all()
    forward, backward = losses.soft_target_kl(STUDENT, TEACHER), losses.soft_target_kl(TEACHER, STUDENT)
    assert np.abs(forward - backward).max() > 0.1  # the teacher's distribution weighs


def test_no_gradient_reaches_the_teacher():
    grad = jax.grad(lambda t: losses.soft_target_kl(STUDENT, t).sum())(jnp.asarray(TEACHER))
    np.testing.assert_array_equal(grad, 0)
    shared = jax.grad(lambda x: losses.soft_target_kl(x, 2 * x).sum())(jnp.asarray(STUDENT))
    np.testing.assert_allclose(shared, gradient(STUDENT, 2 * STUDENT), atol=1e-6)


def test_masked_equals_subset():
    whole = losses.soft_target_kl(STUDENT, TEACHER, where=KEEP)
    np.testing.assert_array_equal(whole[KEEP], losses.soft_target_kl(STUDENT[KEEP], TEACHER[KEEP]))
    np.testing.assert_array_equal(whole[~KEEP], 0)


@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_what_is_masked_reaches_no_gradient(poison):
    student = np.where(KEEP[:, None], STUDENT, poison)
    teacher = np.where(KEEP[:, None], TEACHER, poison)
    grad = gradient(student, teacher, where=KEEP)
    np.testing.assert_array_equal(grad[~KEEP], 0)
    np.testing.assert_allclose(grad[KEEP], gradient()[KEEP], atol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("temperature", [0.5, 4.0])
def test_extreme_logits_stay_finite(dtype, temperature):
    student = jnp.array([[1e4, -1e4, 0], [-1e4, 1e4, 1e4], [1e4, 1e4, 1e4]], dtype)
    teacher = jnp.array([[-1e4, 1e4, 0], [-1e4, 1e4, 1e4], [0, 0, -1e4]], dtype)
    loss = losses.soft_target_kl(student, teacher, temperature=temperature)
    grad = gradient(student, teacher, temperature=temperature)
    assert loss.dtype == jnp.float32
    assert grad.dtype == dtype
    assert np.isfinite(loss).all()
    assert np.isfinite(grad.astype(np.float32)).all()
    np.testing.assert_allclose(loss[1], 0, atol=1e-3)


def test_jit_and_vmap_change_nothing_and_temperature_may_be_traced():
    plain = losses.soft_target_kl(STUDENT, TEACHER, temperature=3.0, where=KEEP)
    jitted = jax.jit(lambda s, t, w, temp: losses.soft_target_kl(s, t, temperature=temp, where=w))
    np.testing.assert_allclose(jitted(STUDENT, TEACHER, KEEP, 3.0), plain, rtol=1e-5)
    one = jax.vmap(lambda s, t, w: losses.soft_target_kl(s, t, temperature=3.0, where=w))
    np.testing.assert_allclose(one(STUDENT, TEACHER, KEEP), plain, rtol=1e-5)


@pytest.mark.parametrize(
    ("student", "teacher", "where"),
    [(STUDENT, TEACHER[:, :4], None), (STUDENT, TEACHER[:1], None), (STUDENT, TEACHER, KEEP[:1])],
)
def test_wrong_shapes_are_refused(student, teacher, where):
    with pytest.raises((AssertionError, ValueError)):
        losses.soft_target_kl(student, teacher, where=where)


def test_tempered_softmax():
    probs = losses.tempered_softmax(jnp.asarray(STUDENT, jnp.bfloat16), 4.0)
    assert probs.dtype == jnp.float32
    np.testing.assert_allclose(losses.tempered_softmax(STUDENT, 4.0), softmax(STUDENT, 4.0), rtol=1e-5)
    np.testing.assert_allclose(losses.tempered_softmax(STUDENT, 1e6), 0.2, atol=1e-5)
