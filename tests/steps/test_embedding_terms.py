"""SRD, PAD and SKD as terms: what is projected and normalised, batches over devices, what is refused."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax import losses
from effjax.errors import UserError
from effjax.models import Outputs
from effjax.steps import make_term
from effjax.steps.term import TermInputs

RNG = np.random.default_rng(9)
STUDENT, TEACHER = (RNG.normal(size=(8, width)).astype(np.float32) for width in (6, 4))
LOGITS = RNG.normal(size=(2, 8, 3)).astype(np.float32)


def inputs(student, teacher, logits=LOGITS, params=None, axis_name=None):
    made = [
        Outputs(jnp.asarray(y), {"penultimate": jnp.asarray(x)})
        for x, y in zip((student, teacher), logits, strict=True)
    ]
    return TermInputs(made[0], {"teacher": made[1]}, {}, params, jnp.int32(0), axis_name)


def random_params(term, seen):
    drawn = term.init(jax.random.key(0), seen)
    return jax.tree.map(lambda x: jnp.asarray(RNG.normal(size=x.shape), x.dtype), drawn)


def test_projected_features_are_normalised():
    term, seen = make_term("srd", power=3.0), inputs(STUDENT, TEACHER)
    params = random_params(term, seen)
    own = STUDENT @ np.asarray(params["projector"]["kernel"]) + np.asarray(params["projector"]["bias"])
    both = [(x - x.mean(0)) / np.sqrt(x.var(0) + 1e-4) for x in (own, TEACHER)]
    value = term.loss(seen._replace(params=params))
    np.testing.assert_allclose(value, losses.log_distance(*both, power=3.0), rtol=1e-5)
    # Maps are averaged.
    maps = [np.stack([x - 1, x + 1], 1)[:, :, None] for x in (STUDENT, TEACHER)]
    assert jax.tree.map(jnp.shape, term.init(jax.random.key(0), inputs(*maps))) == jax.tree.map(jnp.shape, params)
    np.testing.assert_allclose(term.loss(inputs(*maps, params=params)), value, rtol=1e-4)


@pytest.mark.parametrize("width", [6, 4])
def test_variances_are_told_from_the_students_features(width):
    teacher = TEACHER if width == 4 else RNG.normal(size=(8, 6)).astype(np.float32)
    term, seen = make_term("pad"), inputs(STUDENT, teacher)
    params = random_params(term, seen)
    own = STUDENT
    assert ("projector" in params) == (width == 4)
    if width == 4:
        own = own @ np.asarray(params["projector"]["kernel"]) + np.asarray(params["projector"]["bias"])
    spread = own @ np.asarray(params["log_variance"]["kernel"])
    spread = (spread - spread.mean(0)) / np.sqrt(spread.var(0) + 1e-5) * params["norm"]["scale"] + params["norm"][
        "bias"
    ]
    expected = losses.adaptive_distance(own, teacher, spread)
    np.testing.assert_allclose(term.loss(seen._replace(params=params)), expected, rtol=1e-4)


@pytest.mark.parametrize("name", ["srd", "pad", "skd"])
def test_a_batch_over_devices_is_one_batch(name):
    term = make_term(name)
    params = random_params(term, inputs(STUDENT, TEACHER)) if term.init else None

    def loss(student, teacher, logits, axis_name=None):
        return term.loss(inputs(student, teacher, logits, params, axis_name))

    expected = loss(STUDENT, TEACHER, LOGITS)
    over = jax.vmap(partial(loss, axis_name="devices"), axis_name="devices", in_axes=(0, 0, 1))
    found = over(STUDENT.reshape(4, 2, -1), TEACHER.reshape(4, 2, -1), LOGITS.reshape(2, 4, 2, -1))
    np.testing.assert_allclose(found.reshape(-1), np.broadcast_to(expected, found.size), rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("srd", {"power": 1.0}, "terms.srd: power=1.0 must be above 1"),
        ("skd", {"ridge": 0.0}, "terms.skd: ridge=0.0 must be above 0"),
        ("ickd", {"teacher_tap": "map"}, "terms.ickd: student_tap is missing: the path of an activation"),
        ("ickd", {"student_tap": "map"}, "terms.ickd: teacher_tap is missing: the path of an activation"),
    ],
)
def test_options_that_are_refused(name, options, message):
    with pytest.raises(UserError, match=message):
        make_term(name, **options)


def test_features_far_from_zero_keep_their_spread():
    """Which a difference of squares would lose."""
    student, teacher = STUDENT, (1000 + 0.1 * TEACHER).astype(np.float32)
    term = make_term("srd")
    params = random_params(term, inputs(student, teacher))
    own = student @ np.asarray(params["projector"]["kernel"], float) + np.asarray(params["projector"]["bias"])
    both = [(x - x.mean(0)) / np.sqrt(x.var(0) + 1e-4) for x in (own, teacher.astype(float))]
    expected = np.log((np.abs(both[0] - both[1]) ** 4).sum())
    np.testing.assert_allclose(term.loss(inputs(student, teacher, params=params)), expected, rtol=1e-3)
