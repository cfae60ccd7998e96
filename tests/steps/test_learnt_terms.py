"""CC, VID and CRD as terms: their parameters, the memory of the examples in the state, devices, what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_feature_terms import BATCH, SHAPE, STUDENT, TEACHER, make_objective
from toy import CLASSES, assert_close, quick_jit

from effjax import losses, models
from effjax.errors import UserError
from effjax.models import Outputs
from effjax.steps import (
    NetworkTeacher,
    Objective,
    View,
    check_terms_act,
    init_state,
    make_optimizer,
    make_term,
    make_train_step,
    rng,
)
from effjax.steps.term import TermInputs

OPTIMIZER = make_optimizer("sgd", 0.1)
TAPS = {"student_taps": ("conv1", "conv2"), "teacher_taps": ("stage1", "stage3")}
TERMS = {"cc": {"dim": 5}, "vid": TAPS, "crd": {"dim": 5, "negatives": 7}}
MLPS = tuple(models.create("mlp", CLASSES, widths=(width,)) for width in (6, 4))


def classes_of_ids(count=1000):
    """Of the batch's ids what the batch says; of some others what is drawn; of the rest nothing."""
    rng = np.random.default_rng(4)
    classes = np.where(rng.random(count) < 0.2, rng.integers(0, CLASSES, count), -1).astype(np.int32)
    classes[BATCH["id"]] = BATCH["label"]
    return classes


@pytest.fixture(scope="module")
def teacher_variables():
    return models.init(TEACHER, jax.random.key(1), SHAPE)


def start(objective, frozen):
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), frozen)
    options = {"frozen": {"teacher": shapes}, "classes": classes_of_ids()}
    state = quick_jit(lambda: init_state(objective, OPTIMIZER, 0, BATCH, **options))()
    return state.replace(frozen={"teacher": frozen})


def of_mlps(**terms):
    """A small student and teacher of dense layers, with their state."""
    teacher, student = MLPS
    made = {name: make_term(name, **options) for name, options in terms.items()}
    objective = Objective(student, made, {"teacher": NetworkTeacher(teacher)}, View())
    return objective, start(objective, models.init(teacher, jax.random.key(1), SHAPE))


@pytest.mark.parametrize("name", TERMS)
def test_every_term_acts_and_gives_a_value_an_example(name, teacher_variables):
    objective = make_objective(make_term("term", kind=name, **TERMS[name]), STUDENT, TEACHER)
    shapes = {"teacher": jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), teacher_variables)}
    options = {"frozen": shapes, "classes": classes_of_ids()}
    state = jax.eval_shape(lambda: init_state(objective, OPTIMIZER, 0, BATCH, **options)).replace(frozen=shapes)
    check_terms_act(objective, state, BATCH)
    _, (values, seen, _) = jax.eval_shape(
        lambda s: objective.evaluate(s.params, s.model_state, s.frozen, BATCH, s.seed, s.step, memory=s.memory),
        state,
    )
    assert values["term"].shape == (len(BATCH["id"]),)
    assert jax.tree.structure(seen.memory) == jax.tree.structure(state.memory)
    own = set(state.params["term"])
    assert own == ({"layer1", "layer2"} if name == "vid" else {"student", "teacher"})


def test_variances_begin_where_they_are_told(teacher_variables):
    objective = make_objective(make_term("vid", variance=3.0, **TAPS), STUDENT, TEACHER)
    state = start(objective, teacher_variables)
    scale = state.params["term"]["layer2"]["log_scale"]
    np.testing.assert_allclose(np.log1p(np.exp(scale)) + 1e-5, 3.0, rtol=1e-6)
    kernels = [state.params["term"]["layer2"][f"conv{i}"]["kernel"].shape for i in (1, 2, 3)]
    assert kernels == [(1, 1, 8, 16), (1, 1, 16, 16), (1, 1, 16, 16)]


def embedded(name, objective, state):
    """The student's and the teacher's embeddings of the batch."""
    images = objective.view.see(BATCH)["image"]
    teacher, student = (
        module.clone(taps=("penultimate",)).apply(variables, images).taps["penultimate"]
        for module, variables in zip(MLPS, (state.frozen["teacher"], {"params": state.params["student"]}), strict=True)
    )
    own = state.params[name]
    return [x @ own[side]["kernel"] + own[side]["bias"] for side, x in (("student", student), ("teacher", teacher))]


def test_maps_are_predicted_at_the_smaller_of_both_sizes():
    """Along each axis for itself."""
    drawn = np.random.default_rng(2)
    student, teacher = (drawn.normal(size=(4, *shape)).astype(np.float32) for shape in ((6, 2, 3), (3, 4, 5)))
    outputs = [Outputs(np.zeros((4, CLASSES)), {"map": maps}) for maps in (student, teacher)]
    inputs = TermInputs(outputs[0], {"teacher": outputs[1]}, BATCH, None, jnp.int32(0))
    term = make_term("vid", student_taps=("map",), teacher_taps=("map",), variance=2.0)
    params = term.init(jax.random.key(0), inputs)
    found = term.loss(inputs._replace(params=params))
    x, taught = student.reshape(4, 3, 2, 2, 3).mean(2), teacher.reshape(4, 3, 2, 2, 5).mean(3)
    for layer in (1, 2, 3):
        x = x @ params["layer1"][f"conv{layer}"]["kernel"][0, 0]
        x = np.maximum(x, 0) if layer < 3 else x
    expected = losses.variational_information(x, taught, np.full(5, 2, np.float32))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_congruence_is_the_loss_of_the_embeddings():
    objective, state = of_mlps(cc={"dim": 3})
    given = state.params, state.model_state, state.frozen, BATCH, state.seed, state.step
    _, (values, _, _) = quick_jit(objective.evaluate)(*given)
    expected = losses.correlation_congruence(*embedded("cc", objective, state))
    np.testing.assert_allclose(values["cc"], expected, rtol=1e-4)


def test_a_memory_holds_every_id_and_moves_where_examples_are_seen():
    objective, state = of_mlps(ce={}, crd={"dim": 5, "negatives": 7, "momentum": 0.9, "temperature": 0.3})
    memory, classes = state.memory["crd"], classes_of_ids()
    assert memory["student"].shape == memory["teacher"].shape == (1000, 5)
    assert np.abs(memory["student"]).max() < (3 / 5) ** 0.5
    assert (memory["student"] != memory["teacher"]).all()
    assert len(memory["order"]) == (classes >= 0).sum()
    np.testing.assert_array_equal(classes[memory["order"]], np.sort(classes[classes >= 0]))
    step = quick_jit(make_train_step(objective, OPTIMIZER))
    after, metrics = step(state, BATCH)
    moved = after.memory["crd"]
    rows = np.flatnonzero((moved["student"] != memory["student"]).any(1))
    np.testing.assert_array_equal(rows, np.sort(BATCH["id"]))
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in embedded("crd", objective, state)]
    ids, total = BATCH["id"], 0.0
    drawn = losses.of_other_classes(
        rng.example_keys(rng.purpose_key(state.seed, state.step, "negatives"), ids),
        BATCH["label"],
        losses.OfOtherClasses(memory["order"], memory["starts"], memory["counts"]),
        7,
    )
    for side, other, ours in (("student", "teacher", unit[0]), ("teacher", "student", unit[1])):
        kept = 0.9 * memory[side][ids] + 0.1 * ours
        expected = kept / np.linalg.norm(kept, axis=1, keepdims=True)
        np.testing.assert_allclose(moved[side][ids], expected, atol=1e-5)
        given = ours, memory[other], ids, drawn, memory[f"{side}_z"]
        values, _ = losses.noise_contrastive(*given, examples=len(memory["order"]), temperature=0.3)
        total += values.mean()
    np.testing.assert_allclose(metrics["loss/crd"].compute(), total, rtol=1e-4)
    assert (memory["student_z"], memory["teacher_z"]) == (-1, -1)
    assert moved["student_z"] > 0
    again, _ = step(after, BATCH)
    assert again.memory["crd"]["student_z"] == moved["student_z"]  # it is computed once
    assert {"loss/crd", "loss/ce"} <= set(metrics)


def test_a_memory_stays_where_its_term_is_off():
    objective, state = of_mlps(ce={}, crd={"dim": 5, "negatives": 7})
    after, _ = quick_jit(make_train_step(objective.restrict(["ce"]), OPTIMIZER))(state, BATCH)
    jax.tree.map(np.testing.assert_array_equal, after.memory, state.memory)


def test_devices_together_make_the_global_step():
    objective, state = of_mlps(ce={}, crd={"dim": 5, "negatives": 7}, cc={"dim": 3, "weight": 0.1})
    expected, _ = quick_jit(make_train_step(objective, OPTIMIZER))(state, BATCH)
    step = make_train_step(objective, OPTIMIZER, axis_name="devices")
    parts = {name: array.reshape(2, -1, *array.shape[1:]) for name, array in BATCH.items()}
    over = jax.vmap(step, in_axes=(None, 0), out_axes=None, axis_name="devices", axis_size=2)
    actual, _ = quick_jit(over)(state, parts)  # out_axes=None holds only if all devices return the same
    assert_close(actual, expected, atol=1e-5)


def test_parts_of_a_batch_move_the_memory_one_after_the_other():
    objective, state = of_mlps(ce={}, crd={"dim": 5, "negatives": 7})
    after, _ = quick_jit(make_train_step(objective, OPTIMIZER, accumulate=2))(state, BATCH)
    rows = np.flatnonzero((after.memory["crd"]["student"] != state.memory["crd"]["student"]).any(1))
    np.testing.assert_array_equal(rows, np.sort(BATCH["id"]))


def test_what_cannot_be_remembered_is_said():
    objective, _ = of_mlps(crd={"dim": 5, "negatives": 7})
    frozen = models.init(MLPS[0], jax.random.key(1), SHAPE)
    with pytest.raises(UserError, match=r"terms\.crd: it remembers examples, whose classes must be known"):
        init_state(objective, OPTIMIZER, 0, BATCH, frozen={"teacher": frozen})
    with pytest.raises(UserError, match=r"terms\.crd: its negatives are of other classes: there is one class only"):
        init_state(objective, OPTIMIZER, 0, BATCH, frozen={"teacher": frozen}, classes=np.zeros(1000, np.int32))


def test_of_mixed_images_no_other_classes_are_known():
    batch = {**BATCH, "label": np.eye(CLASSES, dtype=np.float32)[BATCH["label"]]}
    inputs = TermInputs(Outputs(np.zeros((1, CLASSES)), {}), {}, batch, None, jnp.int32(0))
    with pytest.raises(UserError, match="mixed images have several: no mixup, no cutmix"):
        make_term("crd").loss(inputs)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("vid", {}, "must name as many layers"),
        ("vid", {**TAPS, "variance": 1e-6}, r"terms\.vid: variance=1e-06 must be above 1e-05"),
        ("crd", {"negatives": 0}, r"terms\.crd: negatives=0 must be 1 or more"),
        ("crd", {"dim": 2.5}, r"terms\.crd\.dim=2\.5 must be a whole number"),
    ],
)
def test_options_that_cannot_be(name, options, said):
    with pytest.raises(UserError, match=said):
        make_term(name, **options)
