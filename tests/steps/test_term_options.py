"""Every option of a term reaches its loss, or the parameters that it begins with; every schedule is asked."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax.models import Outputs
from effjax.steps import TERMS, make_term
from effjax.steps.term import TermInputs

RNG = np.random.default_rng(11)
B, K = 6, 5


def outputs(channels):
    taps = {
        "maps": RNG.normal(size=(B, 4, 4, channels)),
        "small": RNG.normal(size=(B, 2, 2, channels)),
        "same": RNG.normal(size=(B, 4, 4, 4)),
        "penultimate": RNG.normal(size=(B, 2 * channels)),
        "aside": RNG.normal(size=(B, K)),
        "class_maps": RNG.normal(size=(B, 4, 4, K)),
    }
    taps |= {"halved": taps["same"][:, ::2, ::2], "turned": taps["same"][..., ::-1] ** 3}
    taps = {name: jnp.asarray(array, jnp.float32) for name, array in taps.items()}
    return Outputs(jnp.asarray(RNG.normal(0, 2, (B, K)), jnp.float32), taps)


STUDENT, TEACHER, OTHER = outputs(3), outputs(4), outputs(4)
BATCH = {
    "label": jnp.asarray(RNG.integers(0, K, B), jnp.int32),
    "soft": jnp.asarray(RNG.dirichlet(np.ones(K), B), jnp.float32),
}
LAYERED = ("attention", "nst", "vid", "ab", "ofd")
BASE = {
    "hint": {"student_tap": "maps", "teacher_tap": "maps"},
    **{name: {"student_taps": ["maps"], "teacher_taps": ["maps"]} for name in LAYERED},
    **{name: {"student_taps": ["same", "same"], "teacher_taps": ["same", "same"]} for name in ("fsp", "kdsvd")},
    **{name: {"student_tap": "maps", "teacher_tap": "maps"} for name in ("ft", "ickd")},
}
#: Another value of each option.
CHANGED = {
    "label_smoothing": 0.3,
    "target": "soft",
    "standardize": True,
    "student_tap": {"hint": "same", "ft": "same", "ickd": "same", "soft_target": "aside", "hard_label": "aside"},
    "teacher_tap": {"hint": "small", "ft": "small", "ickd": "small"},
    "student_taps": {"fsp": ["same", "halved"], "kdsvd": ["same", "turned"], **{name: ["small"] for name in LAYERED}},
    "teacher_taps": {"fsp": ["halved", "same"], "kdsvd": ["turned", "same"], **{name: ["small"] for name in LAYERED}},
    "temperature": 2.5,
    "threshold": 0.6,
    "form": {
        "self_paced": "linear",
        "hint": "mean",
        "attention": "paper",
        "fsp": "paper",
        "ft": "paper",
        "kdsvd": "columns",
    },
    "alpha": 2.0,
    "beta": 3.0,
    "gamma": 2.5,
    "finest": 2,
    "complementary": 3.0,
    "least": 2.0,
    "span": 5.0,
    "reversal": 0.25,
    "inter": 2.0,
    "intra": 3.0,
    "regressor": "repdistiller",
    "nonlinearity": "none",
    "dim": 16,
    "variance": 2.0,
    "margin": 0.5,
    "power": 3.0,
    "ridge": 0.5,
    "rate": 0.25,
    "reconstruction": 0.1,
    "teacher": "other",
}
#: Tested with what they remember, with exits or with boxes.
ELSEWHERE = {"crd", "ofa", "review", "quality_focal", "box_giou", "soft_detection", "soft_boxes"}
CASES = [
    (name, option)
    for name in TERMS
    if name not in ELSEWHERE
    for option in TERMS[name].__kwdefaults__
    if option != "weight"
]


def value(term, step=0):
    """The loss with the term's own parameters as they are drawn, and how it moves with them."""
    seen = TermInputs(STUDENT, {"teacher": TEACHER, "other": OTHER}, BATCH, None, jnp.int32(step))
    params = term.init(jax.random.key(0), seen) if term.init else {}
    loss, gradient = jax.value_and_grad(lambda p: term.loss(seen._replace(params=p)).sum())(params)
    return np.array([loss, *(jnp.abs(leaf).sum() for leaf in jax.tree.leaves(gradient))])


def changed(name, option):
    found = CHANGED.get(option)
    return found.get(name, "aside") if isinstance(found, dict) else found


@pytest.mark.parametrize(("name", "option"), CASES)
def test_every_option_makes_a_difference(name, option):
    base = BASE.get(name, {})
    before = value(make_term(name, **base))
    after = value(make_term(name, **{**base, option: changed(name, option)}))
    assert np.isfinite(after).all()
    assert before.shape != after.shape or np.abs(after - before).max() > 1e-4


SCHEDULED = ("temperature", "threshold", "reversal")


@pytest.mark.parametrize(
    ("name", "option"), [case for case in CASES if case[1] in SCHEDULED and case[0] != "contrastive"]
)
def test_schedules_are_asked_at_the_step(name, option):
    scheduled = make_term(name, **{option: lambda step: 1.0 + 0.5 * step})
    for step in (0, 4):
        constant = make_term(name, **{option: 1.0 + 0.5 * step})
        np.testing.assert_allclose(value(scheduled, step), value(constant, step), rtol=1e-6)
