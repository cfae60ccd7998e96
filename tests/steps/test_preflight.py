"""What is on must act: checked before the first step, by tracing alone."""

import dataclasses

import jax
import numpy as np
import pytest
from toy import CLASSES, make_batch, make_objective, make_state, shapes_of, teacher_matrix

from effjax import losses
from effjax.errors import UserError
from effjax.steps import Term, check_terms_act, make_optimizer, make_term

BATCH = make_batch()
OPTIMIZER = make_optimizer("sgd", 0.1)


def check(objective, **changes):
    state = make_state(objective, OPTIMIZER, BATCH)
    check_terms_act(objective, state.replace(**changes), BATCH)


def silent(inputs):
    return losses.cross_entropy(jax.lax.stop_gradient(inputs.student.logits), inputs.batch["label"])


def argmax(inputs):
    return losses.cross_entropy(jax.nn.one_hot(inputs.student.logits.argmax(-1), CLASSES), inputs.batch["label"])


def teacher_only(inputs):
    return losses.cross_entropy(inputs.teachers["teacher"].logits, inputs.batch["label"])


@pytest.mark.parametrize("model", ["mlp_dropout", "scnn"])
def test_terms_that_act_are_accepted(model):
    check(make_objective(model, terms=("ce", "soft_target")))


@pytest.mark.parametrize("term", [Term(silent), Term(argmax), Term(teacher_only, teachers=("teacher",))])
def test_a_term_without_gradient_is_refused_by_name(term):
    terms = {"ce": make_term("ce"), "mute": term, "soft_target": make_term("soft_target")}
    with pytest.raises(UserError, match=r"terms\.mute: no trained parameter moves it"):
        check(make_objective(terms=terms))


def test_a_term_that_the_trained_parameters_do_not_move_is_refused():
    def on_taps(inputs):
        return (inputs.student.taps["dense1"] ** 2).mean(-1)

    objective = make_objective(
        terms={"ce": make_term("ce"), "hint": Term(on_taps)},
        trainable="student/classifier/.*",
        taps=("dense1",),
    )
    with pytest.raises(UserError, match=r"terms\.hint: .*trainable='student/classifier/\.\*'"):
        check(objective)
    check(dataclasses.replace(objective.restrict(["hint"]), trainable="student/dense1/.*"))
    check(objective.restrict(["ce"]))


def test_soft_targets_with_nothing_of_the_student_trained_are_refused():
    objective = make_objective(terms=("soft_target",), trainable="aside/.*")
    state = make_state(make_objective(terms=("soft_target",)), OPTIMIZER, BATCH)
    state = state.replace(params={**state.params, "aside": {"kernel": np.ones(3, np.float32)}})
    with pytest.raises(UserError, match=r"terms\.soft_target: "):
        check_terms_act(objective, state, BATCH)


def test_a_pattern_that_matches_nothing_is_refused():
    with pytest.raises(UserError, match="trainable='nothing' matches no parameter"):
        check(make_objective(trainable="nothing"))


def test_a_teacher_with_other_classes_is_refused():
    with pytest.raises(UserError, match=r"teachers\.teacher: the teacher knows 10 classes, .* has 3"):
        check(make_objective(terms=("ce", "soft_target")), frozen={"teacher": teacher_matrix(BATCH, classes=10)})


@pytest.mark.parametrize("trainable", [".*", "student/classifier/.*"])
def test_shapes_serve_for_arrays(trainable):
    objective = make_objective("scnn", terms=("ce", "soft_target"), trainable=trainable)
    state = make_state(objective, OPTIMIZER, BATCH)
    check_terms_act(objective, shapes_of(state), shapes_of(BATCH))


def test_a_part_of_the_network_that_is_not_there_is_no_terms_fault():
    objective = dataclasses.replace(make_objective("resnet8", terms=("ce", "soft_target")), remat="stage1/blok1")
    said = r"^remat='stage1/blok1' matches no part of the network; allowed: .*stage1/block1"
    with pytest.raises(UserError, match=said):
        check(objective)


@pytest.mark.parametrize("model", ["mlp", "resnet8"])
def test_an_axis_of_devices_needs_no_devices_here(model):
    terms = {"ce": make_term("ce"), "mute": Term(silent)}
    objective = make_objective(model, terms=terms, axis_name="devices" if model == "resnet8" else None)
    state = make_state(objective, OPTIMIZER, BATCH)
    check_terms_act(objective.restrict(["ce"]), state, BATCH, axis_name="devices")
    with pytest.raises(UserError, match=r"terms\.mute: "):
        check_terms_act(objective, state, BATCH, axis_name="devices")
