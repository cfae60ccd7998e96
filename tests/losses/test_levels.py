"""MLKD's levels, OFA's and DeiT's targets, CTKD's learnt temperature: against numpy as their codes write them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from effjax import losses
from effjax.errors import UserError
from effjax.models import Outputs
from effjax.steps import make_schedule, make_term
from effjax.steps.term import TermInputs

RNG = np.random.default_rng(6)
STUDENT, TEACHER = RNG.normal(0, 3, (2, 9, 6)).astype(np.float32)
LABELS = RNG.integers(0, 6, 9)


def batch_level(student, teacher, temperature):
    p, q = softmax(teacher / temperature, 1), softmax(student / temperature, 1)
    return ((p @ p.T - q @ q.T) ** 2).sum() / len(p)


def class_level(student, teacher, temperature):
    p, q = softmax(teacher / temperature, 1), softmax(student / temperature, 1)
    return ((p.T @ p - q.T @ q) ** 2).sum() / p.shape[1]


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_levels_are_those_of_the_authors_code(temperature):
    each = losses.example_correlation(STUDENT, TEACHER, temperature=temperature)
    np.testing.assert_allclose(each.mean(), batch_level(STUDENT, TEACHER, temperature), rtol=1e-5)
    whole = losses.class_correlation(STUDENT, TEACHER, temperature=temperature)
    np.testing.assert_allclose(whole, class_level(STUDENT, TEACHER, temperature), rtol=1e-5)
    np.testing.assert_allclose(losses.example_correlation(TEACHER, TEACHER), 0, atol=1e-6)


@pytest.mark.parametrize("power", [1.0, 1.5])
def test_the_label_is_raised(power):
    p, log_q, mask = softmax(TEACHER / 2, 1), log_softmax(STUDENT / 2, 1), np.eye(6)[LABELS]
    expected = -(((p + mask) ** power - mask) * log_q).sum(1)
    found = losses.adaptive_target(STUDENT, TEACHER, LABELS, power=power, temperature=2.0)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    if power == 1.0:
        np.testing.assert_allclose(found, -(p * log_q).sum(1), rtol=1e-5)


def test_what_the_teacher_decides_is_a_label():
    expected = -log_softmax(STUDENT, 1)[np.arange(9), TEACHER.argmax(1)]
    np.testing.assert_allclose(losses.hard_label(STUDENT, TEACHER), expected, rtol=1e-5)


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
def test_a_gradient_is_turned_around(strength):
    def value(x):
        return jnp.square(losses.reversed_gradient(x, strength)).sum()

    x = jnp.array([1.0, -2.0])
    assert value(x) == 5
    np.testing.assert_allclose(jax.grad(value)(x), -strength * 2 * x)
    np.testing.assert_allclose(jax.jit(jax.grad(value))(x), -strength * 2 * x)


def inputs_of(params=None, step=0, **taps):
    student = Outputs(jnp.asarray(STUDENT), {name: jnp.asarray(x) for name, x in taps.items()})
    teachers = {"teacher": Outputs(jnp.asarray(TEACHER), {})}
    return TermInputs(student, teachers, {"label": jnp.asarray(LABELS)}, params, jnp.int32(step))


def test_the_learnt_temperature_climbs_where_the_student_falls():
    term = make_term("ctkd", reversal=make_schedule("constant", 1.0, 100, warmup=0.5))
    params = term.init(jax.random.key(0), inputs_of())
    t = 1 + 20 / (1 + np.exp(-1.0))
    np.testing.assert_allclose(
        term.loss(inputs_of(params)), losses.soft_target_kl(STUDENT, TEACHER, temperature=t), rtol=1e-5
    )

    def mean(params, step):
        return term.loss(inputs_of(params, step)).mean()

    def plain(tau):
        return losses.soft_target_kl(STUDENT, TEACHER, temperature=1 + 20 * jax.nn.sigmoid(tau)).mean()

    slope = jax.grad(plain)(1.0)
    assert abs(slope) > 1e-3
    for step, strength in ((0, 0.0), (25, 0.5), (50, 1.0), (99, 1.0)):
        found = jax.grad(mean)(params, step)["temperature"]
        np.testing.assert_allclose(found, -strength * slope, rtol=1e-4, atol=1e-7)


def test_all_levels_and_temperatures_are_summed():
    expected = np.zeros(9)
    for t in (4.0, 2.0, 3.0, 5.0, 6.0):
        expected += losses.soft_target_kl(STUDENT, TEACHER, temperature=t)
        expected += losses.example_correlation(STUDENT, TEACHER, temperature=t)
        expected += class_level(STUDENT, TEACHER, t)
    np.testing.assert_allclose(make_term("mlkd").loss(inputs_of()), expected, rtol=1e-4)


def test_exits_learn_from_the_same_answers():
    maps = RNG.normal(size=(9, 2, 3, 4)).astype(np.float32)
    term = make_term("ofa", student_taps=("stage2",), power=1.4)
    params = term.init(jax.random.key(0), inputs_of(stage2=maps))
    assert jax.tree.map(np.shape, params) == {"exit1": {"kernel": (4, 6), "bias": (6,)}}
    early = maps.mean((1, 2)) @ params["exit1"]["kernel"]
    expected = sum(losses.adaptive_target(x, TEACHER, LABELS, power=1.4) for x in (STUDENT, early))
    np.testing.assert_allclose(term.loss(inputs_of(params, stage2=maps)), expected, rtol=1e-5)
    alone = make_term("ofa").loss(inputs_of({}))
    np.testing.assert_allclose(alone, losses.adaptive_target(STUDENT, TEACHER, LABELS), rtol=1e-6)
    mixed = inputs_of({})._replace(batch={"label": jnp.eye(6)[LABELS]})
    with pytest.raises(UserError, match="no mixup"):
        make_term("ofa").loss(mixed)


def test_a_temperature_must_have_room():
    with pytest.raises(UserError, match=r"terms\.ctkd: span=0\.0 must be above 0"):
        make_term("ctkd", span=0.0)
