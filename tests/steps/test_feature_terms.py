"""Terms between activations: regressors, taps, and what is refused before the first step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy import CLASSES, make_batch, quick_jit

from effjax import losses, models
from effjax.errors import UserError
from effjax.steps import (
    CachedTeacher,
    NetworkTeacher,
    Objective,
    TermInputs,
    check_terms_act,
    init_state,
    make_optimizer,
    make_term,
)
from effjax.steps.regressors import make_normalized_regressor, make_regressor

BATCH = make_batch()
SHAPE = BATCH["image"].shape[1:]
TEACHER = models.create("resnet8", CLASSES, width=0.25)
STUDENT = models.create("scnn", CLASSES, width=0.125)


def make_objective(term, student=STUDENT, teacher=TEACHER):
    return Objective(student, {"term": term}, {"teacher": NetworkTeacher(teacher)})


@pytest.fixture(scope="module")
def teacher_variables():
    return models.init(TEACHER, jax.random.key(1), SHAPE)


def start(objective, frozen, optimizer=None):
    optimizer = optimizer or make_optimizer("sgd", 0.1)
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), frozen)
    state = quick_jit(lambda: init_state(objective, optimizer, 0, BATCH, frozen={"teacher": shapes}))()
    return state.replace(frozen={"teacher": frozen})


@pytest.mark.parametrize(
    ("student", "teacher", "kernel"),
    [
        ((2, 8, 8, 3), (2, 8, 8, 5), (1, 1, 3, 5)),
        ((2, 8, 6, 3), (2, 5, 6, 5), (4, 1, 3, 5)),  # the kernel takes up the difference: s − t + 1
        ((2, 7), (2, 5), (7, 5)),
        ((2, 4, 4, 3), (2, 5), (48, 5)),
    ],
)
def test_regressors_are_sized_by_the_activations(student, teacher, kernel):
    regressor = make_regressor(student, teacher, "relu")
    activation = jnp.ones(student)
    result, variables = jax.eval_shape(regressor.init_with_output, jax.random.key(0), activation)
    assert result.shape == teacher
    assert variables["params"]["regressor"]["kernel"].shape == kernel


def test_no_regressor_between_equal_shapes_and_none_to_a_larger_map():
    assert make_regressor((2, 4, 4, 3), (2, 4, 4, 3), "relu") is None
    with pytest.raises(UserError, match=r"\(4, 4, 3\) is smaller than the teacher's \(5, 4, 3\)"):
        make_regressor((2, 4, 4, 3), (2, 5, 4, 3), "relu")


@pytest.mark.parametrize(
    ("student", "teacher", "kernel"),
    [
        ((2, 8, 8, 3), (2, 8, 8, 5), (1, 1, 3, 5)),
        ((2, 8, 8, 3), (2, 4, 4, 5), (3, 3, 3, 5)),  # halved
        ((2, 4, 4, 3), (2, 8, 8, 5), (4, 4, 3, 5)),  # doubled
        ((2, 8, 8, 3), (2, 7, 7, 5), (2, 2, 3, 5)),
        ((2, 4, 4, 3), (2, 4, 4, 3), (1, 1, 3, 3)),  # one even where the shapes agree
    ],
)
def test_normalised_regressors_are_sized_by_the_activations(student, teacher, kernel):
    regressor = make_normalized_regressor(student, teacher, "relu")
    result, variables = jax.eval_shape(regressor.init_with_output, jax.random.key(0), jnp.ones(student))
    assert result.shape == teacher
    assert set(variables) == {"params"}
    assert variables["params"]["regressor"]["kernel"].shape == kernel
    assert variables["params"]["norm"]["bias"].shape == (teacher[-1],)


@pytest.mark.parametrize("axis_name", [None, "devices"])
def test_normalised_regressors_see_the_whole_batch(axis_name):
    regressor = make_normalized_regressor((4, 3, 3, 2), (4, 3, 3, 2), "none", axis_name=axis_name)
    x = np.random.default_rng(0).normal(3, 2, (4, 3, 3, 2)).astype(np.float32)
    kernel = np.array([[1.0, 0.5], [0.0, 2.0]], np.float32)
    params = {"regressor": {"kernel": kernel[None, None]}, "norm": {"scale": jnp.ones(2), "bias": jnp.ones(2)}}
    if axis_name:
        mapped = jax.vmap(lambda part: regressor.apply({"params": params}, part), axis_name=axis_name)
        found = np.asarray(mapped(x.reshape(2, 2, 3, 3, 2))).reshape(x.shape)
    else:
        found = regressor.apply({"params": params}, x)
    mixed = x @ kernel
    expected = (mixed - mixed.mean((0, 1, 2))) / np.sqrt(mixed.var((0, 1, 2)) + 1e-5) + 1
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_no_normalised_regressor_of_vectors_nor_to_maps_a_third_larger():
    with pytest.raises(UserError, match=r"is between maps; the student's activation is \(7,\)"):
        make_normalized_regressor((2, 7), (2, 5), "relu")
    with pytest.raises(
        UserError, match=r"\(4, 4, 3\) is smaller than the teacher's \(5, 5, 3\), and not half as large"
    ):
        make_normalized_regressor((2, 4, 4, 3), (2, 5, 5, 3), "relu")


def test_hint_is_the_loss_on_the_regressed_activation(teacher_variables):
    objective = make_objective(make_term("hint", student_tap="conv1", teacher_tap="stage2"))
    state = start(objective, teacher_variables)
    loss, (values, _, _) = quick_jit(objective.evaluate)(
        state.params, state.model_state, state.frozen, BATCH, state.seed, state.step
    )
    images = objective.view.see(BATCH)["image"]
    # The dropout of S-CNN lies behind the guided layer, so its activation is that of evaluation.
    own = STUDENT.clone(taps=("conv1",)).apply({"params": state.params["student"]}, images).taps["conv1"]
    target = TEACHER.clone(taps=("stage2",)).apply(teacher_variables, images).taps["stage2"]
    weights = state.params["term"]["regressor"]
    assert weights["kernel"].shape == (6 - 4 + 1, 6 - 4 + 1, 4, 8)
    regressed = jax.lax.conv_general_dilated(
        own, weights["kernel"], (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    regressed = np.maximum(regressed + weights["bias"], 0)
    expected = (0.5 * (target - regressed) ** 2).sum(-1).mean((1, 2))
    np.testing.assert_allclose(values["term"], expected, rtol=1e-4)
    np.testing.assert_allclose(loss, expected.mean(), rtol=1e-4)


TERMS = {
    "hint": {"student_tap": "conv2", "teacher_tap": "stage2"},
    "attention": {"student_taps": ("conv1", "conv2"), "teacher_taps": ("stage1", "stage2")},
    "relational_distance": {},
    "relational_angle": {},
    "similarity": {"student_tap": "conv2", "teacher_tap": "stage3"},
    "nst": {"student_taps": ("conv1", "conv2"), "teacher_taps": ("stage1", "stage2")},
    "pkt": {"student_tap": "conv2", "teacher_tap": "stage3"},
    "nkd": {},
    "contrastive": {},
    "dkd": {},
    "dist": {},
    "logit_mse": {},
}


@pytest.mark.parametrize("name", TERMS)
def test_every_term_acts_and_gives_a_value_an_example(name, teacher_variables):
    objective = make_objective(make_term("term", kind=name, **TERMS[name]))
    state = start(objective, teacher_variables)
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), state)
    check_terms_act(objective, shapes, BATCH)
    _, (values, _, _) = jax.eval_shape(
        objective.evaluate, state.params, state.model_state, state.frozen, BATCH, state.seed, state.step
    )
    assert values["term"].shape == (len(BATCH["id"]),)


def test_the_terms_own_parameters_leave_the_students_as_they_were(teacher_variables):
    hinted = start(make_objective(make_term("hint", student_tap="conv1", teacher_tap="stage2")), teacher_variables)
    plain = start(make_objective(make_term("soft_target")), teacher_variables)
    jax.tree.map(np.testing.assert_array_equal, hinted.params["student"], plain.params["student"])
    assert set(hinted.params) == {"student", "term"}
    assert set(plain.params) == {"student"}


REFUSED = {
    "no such path": ("hint", {"student_tap": "conv3", "teacher_tap": "stage2"}, r"terms\.term: .*'conv3'.*'conv2'\?"),
    "of the teacher": (
        "hint",
        {"student_tap": "conv2", "teacher_tap": "stage9"},
        r"terms\.term: .*'stage9' matches no",
    ),
    "several paths": ("similarity", {"student_tap": "conv."}, r"terms\.term: 'conv\.' is not the path of one"),
    "too small": ("hint", {"student_tap": "conv2", "teacher_tap": "stem"}, r"terms\.term: .*guide an earlier layer"),
}


@pytest.mark.parametrize(("name", "options", "said"), REFUSED.values(), ids=REFUSED)
def test_taps_that_do_not_fit_are_refused(name, options, said, teacher_variables):
    objective = make_objective(make_term("term", kind=name, **options))
    with pytest.raises(UserError, match=said):
        check_terms_act(objective, start(objective, teacher_variables), BATCH)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("hint", {}, r"terms\.hint: student_tap is missing"),
        ("hint", {"student_tap": 3}, r"terms\.hint\.student_tap=3 must be a name"),
        (
            "hint",
            {"student_tap": "a", "teacher_tap": "b", "form": "code"},
            r"terms\.hint: form='code'; allowed: mean, p",
        ),
        ("attention", {"student_taps": ["a"], "teacher_taps": ["a", "b"]}, "must name as many layers"),
        ("dkd", {"teacher": ["a", "b"]}, r"terms\.dkd\.teacher=\['a', 'b'\] must be a teacher's name"),
        (
            "hint",
            {"student_tap": "a", "teacher_tap": "b", "regressor": "conv"},
            r"terms\.hint: regressor='conv'; allowed",
        ),
        ("dkd", {"beta": "8"}, r"terms\.dkd\.beta='8' must be a number"),
        ("ce", {"weight": 0.0}, r"terms\.ce\.weight=0\.0 must be anything but 0"),
        ("soft_target", {"temperature": 0}, r"terms\.soft_target\.temperature=0 must be above 0"),
        ("ce", {"label_smoothing": 2.0}, r"label_smoothing=2\.0 must be from 0 to below 1"),
        ("second", {"kind": "soft_tarjet"}, r"no term 'soft_tarjet'; .*did you mean 'soft_target'"),
    ],
)
def test_options_that_cannot_be(name, options, said):
    with pytest.raises(UserError, match=said):
        make_term(name, **options)


def test_averaged_probabilities_of_several_teachers():
    draw = np.random.default_rng(0)
    answers = {name: draw.normal(size=(8, CLASSES)).astype(np.float32) for name in "ab"}
    logits = draw.normal(size=(8, CLASSES)).astype(np.float32)
    term = make_term("soft_target", teacher=("a", "b"), temperature=2.0)
    assert term.teachers == ("a", "b")
    outputs = {name: models.Outputs(answer, {}) for name, answer in answers.items()}
    found = term.loss(TermInputs(models.Outputs(logits, {}), outputs, BATCH, None, jnp.int32(0)))
    mean = sum(np.exp(a / 2) / np.exp(a / 2).sum(-1, keepdims=True) for a in answers.values()) / 2
    own = np.exp(logits / 2) / np.exp(logits / 2).sum(-1, keepdims=True)
    np.testing.assert_allclose(found, 4 * (mean * np.log(mean / own)).sum(-1), rtol=1e-4)


def test_cross_entropy_with_an_experts_grade():
    logits = jnp.array([[0.0, 1.0], [2.0, 0.0], [0.5, 0.5]])
    batch = {"grade": jnp.array([1.0, 0.0, 1 / 3]), "label": jnp.array([1, 0, 0])}
    inputs = TermInputs(models.Outputs(logits, {}), {}, batch, None, jnp.int32(0))
    found = make_term("ce", target="grade").loss(inputs)
    hard = losses.cross_entropy(logits[:2], batch["label"][:2])
    np.testing.assert_allclose(found, [*hard, np.log(2)], rtol=1e-6)
    with pytest.raises(UserError, match=r"target='grad': the batch has no such feature; .*'grade'"):
        make_term("ce", target="grad").loss(inputs)


def test_a_cached_teacher_has_no_activations():
    with pytest.raises(UserError, match="only its logits are stored"):
        CachedTeacher(3).with_taps(("conv1",))
