"""Objectives, terms by name, and the stage's share of both."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy import linear_teacher, make_batch, make_objective, make_state

from effjax import models
from effjax.errors import UserError
from effjax.models import Outputs
from effjax.steps import TERMS, Objective, make_optimizer, make_term
from effjax.steps.term import TermInputs

BATCH = make_batch()


def never(frozen, batch):
    raise AssertionError("a teacher that no term needs was run")


def objective():
    terms = {
        "ce": make_term("ce"),
        "soft_target": make_term("soft_target"),
        "second": make_term("soft_target", teacher="other"),
    }
    student = models.create("mlp", 3, widths=(5,))
    return Objective(student, terms, {"teacher": linear_teacher, "other": never}, trainable=".*")


def test_restrict_keeps_the_terms_and_the_teachers_they_need():
    whole = objective()
    part = whole.restrict(["soft_target", "ce"])
    assert set(part.terms) == {"ce", "soft_target"}
    assert set(part.teachers) == {"teacher"}
    assert set(whole.restrict(["ce"]).teachers) == set()
    assert set(whole.restrict(["second"]).teachers) == {"other"}
    assert whole.restrict(list(whole.terms)).trainable == ".*"
    assert list(whole.restrict(["soft_target", "ce"]).terms) == list(whole.restrict(["ce", "soft_target"]).terms)


def test_a_teacher_that_is_not_needed_is_not_run():
    part = objective().restrict(["ce", "soft_target"])
    state = make_state(part, make_optimizer("sgd", 0.1), BATCH)
    loss, _ = jax.eval_shape(lambda s: part.evaluate(s.params, s.model_state, s.frozen, BATCH, s.seed, s.step), state)
    assert loss.shape == ()


def test_unknown_terms_and_teachers_are_refused():
    with pytest.raises(UserError, match=r"terms: no term 'soft_tarjet'; .*\(did you mean 'soft_target'\?\)"):
        objective().restrict(["soft_tarjet"])
    with pytest.raises(UserError, match=r"terms\.soft_target: no teacher 'teach'; .*\(did you mean 'teacher'\?\)"):
        Objective(
            models.create("mlp", 3),
            {"soft_target": make_term("soft_target", teacher="teach")},
            {"teacher": never},
        )


def test_no_term_at_all_is_refused():
    with pytest.raises(UserError, match="terms: "):
        objective().restrict([])


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("cee", {}, r"terms: no term 'cee'; allowed: .*\(did you mean 'ce'\?\)"),
        ("soft_target", {"temprature": 2}, r"terms\.soft_target: no option 'temprature'; .*'temperature'"),
        (
            "ce",
            {"temperature": 2},
            r"terms\.ce: no option 'temperature'; allowed: kind, label_smoothing, target, view, weight",
        ),
    ],
)
def test_terms_by_name(name, options, message):
    with pytest.raises(UserError, match=message) as caught:
        make_term(name, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["ce", "soft_target", "dkd", "logit_mse"])
def test_every_term_gives_one_value_an_example(name):
    made = make_objective("mlp", terms=(name,))
    state = make_state(made, make_optimizer("sgd", 0.1), BATCH)
    evaluate = jax.jit(lambda s, b: made.evaluate(s.params, s.model_state, s.frozen, b, s.seed, s.step))
    loss, (values, seen, _) = evaluate(state, BATCH)
    assert values[name].shape == (8,)
    assert seen.student.logits.shape == (8, 3)
    np.testing.assert_allclose(loss, values[name].mean(), rtol=1e-6)
    half = {k: v[:4] for k, v in BATCH.items()}
    np.testing.assert_allclose(evaluate(state, half)[1][0][name], values[name][:4], rtol=1e-4, atol=1e-6)


def test_label_smoothing_reaches_the_loss():
    plain, smooth = (make_objective(terms={"ce": make_term("ce", label_smoothing=s)}) for s in (0.0, 0.2))
    state = make_state(plain, make_optimizer("sgd", 0.1), BATCH)
    values = [o.evaluate(state.params, {}, {}, BATCH, state.seed, state.step)[1][0]["ce"] for o in (plain, smooth)]
    assert np.abs(values[0] - values[1]).max() > 1e-2


@pytest.mark.parametrize("name", ["hard_label", "soft_target"])
def test_other_logits_of_the_student_may_learn_from_the_teacher(name):
    term = make_term(name, student_tap="aside")
    own, other = jnp.array([[3.0, 0.0, 0.0]]), jnp.array([[0.0, 0.0, 0.0]])
    taught = Outputs(jnp.array([[0.0, 2.0, 0.0]]), {})
    seen = TermInputs(Outputs(own, {"aside": other}), {"teacher": taught}, {}, None, jnp.int32(0))
    assert term.student_taps == ("aside",)
    expected = make_term(name).loss(seen._replace(student=Outputs(other, {})))
    np.testing.assert_array_equal(term.loss(seen), expected)
    with pytest.raises(UserError, match="student_tap='asde'"):
        make_term(name, student_tap="asde").loss(seen)


@pytest.mark.parametrize("name", TERMS)
def test_every_term_names_the_teacher_and_the_activations_that_it_looks_at(name):
    allowed = TERMS[name].__kwdefaults__
    places = {option: "here" if option.endswith("tap") else ["here"] * 2 for option in allowed if "_tap" in option}
    options = places | ({"teacher": "other"} if "teacher" in allowed else {})
    made = make_term(name, weight=3.0, **options)
    assert made.teachers == (("other",) if "teacher" in allowed else ())
    assert made.weight == 3.0
    for side in ("student", "teacher"):
        found = getattr(made, f"{side}_taps")
        assert any(option.startswith(side) for option in places) <= ("here" in found)
