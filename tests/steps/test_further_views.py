"""Terms of a second view: what it shows, draws and normalises by, which teachers see it; MLKD as its code has it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from toy import (
    GRADIENT_ONLY,
    assert_close,
    gradient_step,
    largest_difference,
    linear_teacher,
    make_batch,
    make_objective,
    make_state,
    quick_jit,
)

from effjax import models
from effjax.errors import UserError
from effjax.models import Outputs
from effjax.steps import CachedTeacher, CutMix, Flip, Objective, RandAugment, Shift, View, make_term, presets, rng
from effjax.steps.settings import apply_settings
from effjax.steps.term import TermInputs

BATCH = make_batch()
WEAK, STRONG = View(ops=(Flip(),)), View(ops=(Flip(), Shift(3)))
MODELS = ("mlp_dropout", "resnet8")


def objective(model, **terms):
    """With two views; the terms are by name, and those of the second end in _strong."""
    made = {name: make_term(name.removesuffix("_strong"), view="strong" * name.endswith("_strong")) for name in terms}
    return make_objective(model, terms=made, view=WEAK, views={"strong": STRONG})


def evaluated(some, state, seed=None, model_state=None):
    """The terms' values, the loss and the statistics after it."""
    given = state.params, state.model_state if model_state is None else model_state, state.frozen, BATCH
    loss, (values, seen, after) = some.evaluate(*given, state.seed if seed is None else seed, state.step)
    return loss, values, seen.student.logits, after


@pytest.mark.parametrize("model", MODELS)
def test_a_second_view_is_what_a_run_of_another_seed_sees_after_the_first(model):
    """So what is drawn, and what is normalised by what, are those of two calls of the student, one after the other."""
    both = objective(model, ce=1, soft_target=1, ce_strong=1, soft_target_strong=1)
    state = make_state(both, GRADIENT_ONLY, BATCH)
    loss, values, logits, after = quick_jit(lambda s: evaluated(both, s))(state)

    def apart(state):
        first = make_objective(model, terms=("ce", "soft_target"), view=WEAK)
        second = dataclasses.replace(first, view=STRONG)
        weak = evaluated(first, state)
        return weak, evaluated(second, state, rng.seed_of_view(state.seed, "strong"), weak[3])

    (weak_loss, weak, weak_logits, _), (strong_loss, strong, _, last) = quick_jit(apart)(state)
    np.testing.assert_allclose(loss, weak_loss + strong_loss, rtol=1e-6)
    for name in ("ce", "soft_target"):
        np.testing.assert_allclose(values[name], weak[name], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(values[f"{name}_strong"], strong[name], rtol=1e-4, atol=1e-6)
        assert np.abs(values[name] - values[f"{name}_strong"]).max() > 1e-3
    np.testing.assert_allclose(logits, weak_logits, rtol=1e-4, atol=1e-5)  # what is measured is the first
    assert_close(after, last, atol=1e-5)
    if model == "resnet8":
        assert largest_difference(after, state.model_state) > 1e-3


def test_a_view_that_no_term_names_changes_no_bit():
    plain = make_objective("mlp_dropout", terms=("ce", "soft_target"), view=WEAK)
    more = dataclasses.replace(plain, views={"strong": STRONG})
    state = make_state(plain, GRADIENT_ONLY, BATCH)
    found = [str(jax.make_jaxpr(lambda s, some=some: evaluated(some, s))(state)) for some in (plain, more)]
    assert found[0] == found[1]


def test_the_second_view_is_drawn_by_seed_step_and_id():
    step = gradient_step(objective("mlp_dropout", ce_strong=1))
    state = make_state(objective("mlp_dropout", ce_strong=1), GRADIENT_ONLY, BATCH)

    def gradient(batch=BATCH, **changes):
        return step(state.replace(**changes), batch)[0].opt_state.trace

    reference, order = gradient(), np.random.default_rng(0).permutation(8)
    assert_close(gradient({name: array[order] for name, array in BATCH.items()}), reference)
    assert largest_difference(gradient(step=jnp.int32(1)), reference) > 1e-3
    assert largest_difference(gradient(seed=jnp.uint32(4)), reference) > 1e-3


def test_parts_of_a_batch_are_the_whole_in_both_views():
    both = objective("mlp_dropout", ce=1, soft_target_strong=1)
    state = make_state(both, GRADIENT_ONLY, BATCH)
    whole, parts = (gradient_step(both, accumulate=count)(state, BATCH)[0] for count in (1, 2))
    assert_close(parts.opt_state.trace, whole.opt_state.trace)


def test_labels_are_mixed_in_the_view_that_mixes():
    both = dataclasses.replace(objective("mlp", ce=1, ce_strong=1), views={"strong": View(mix=(CutMix(),))})
    state = make_state(both, GRADIENT_ONLY, BATCH)
    _, values, _, _ = quick_jit(lambda s: evaluated(both, s))(state)
    plain = make_objective("mlp", terms=("ce",), view=WEAK)
    np.testing.assert_allclose(values["ce"], quick_jit(lambda s: evaluated(plain, s))(state)[1]["ce"], rtol=1e-5)
    assert np.isfinite(values["ce_strong"]).all()


def test_candidates_are_judged_by_both_views():
    both = objective("mlp_dropout", ce=1, ce_strong=1)
    state = make_state(both, GRADIENT_ONLY, BATCH)
    given = state.params, state.model_state, state.frozen, BATCH, state.seed, state.step
    total, preds = quick_jit(lambda: both.losses_of(*given))()
    weak, strong = make_objective("mlp", terms=("ce",), view=WEAK), make_objective("mlp", terms=("ce",), view=STRONG)
    seeds = state.seed, rng.seed_of_view(state.seed, "strong")
    each = [some.losses_of(*given[:4], seed, state.step) for some, seed in zip((weak, strong), seeds, strict=True)]
    np.testing.assert_allclose(total, each[0][0] + each[1][0], rtol=1e-5)  # without dropout
    np.testing.assert_allclose(preds, each[0][1], rtol=1e-5)


def test_teachers_see_the_views_that_terms_ask_them_about():
    seen = []

    def noted(name):
        def teacher(frozen, batch):
            seen.append(name)
            return linear_teacher(frozen, batch)

        return teacher

    terms = {
        "ce": make_term("ce"),
        "first": make_term("soft_target", teacher="weak"),
        "second": make_term("soft_target", teacher="strong", view="strong"),
    }
    some = make_objective("mlp", terms={"ce": make_term("ce")}, view=WEAK)
    teachers = {"weak": noted("weak"), "strong": noted("strong")}
    some = dataclasses.replace(some, terms=terms, teachers=teachers, views={"strong": STRONG})
    state = make_state(some, GRADIENT_ONLY, BATCH)
    jax.eval_shape(lambda s: evaluated(some, s), state)
    # In the first view all are asked, for whoever looks at what is left of the program; the second asks its own.
    assert sorted(seen) == ["strong", "strong", "weak"]


def test_settings_are_of_both_views():
    some = dataclasses.replace(make_objective("mlp"), views={"strong": View(ops=(RandAugment(2),))})
    changed = apply_settings(some, (("image_size", 4), ("magnitude", lambda step: 3.0)))
    assert (changed.view.size, changed.views["strong"].size) == (4, 4)
    assert changed.views["strong"].ops[0].is_scheduled


def test_what_cannot_be_asked_is_refused():
    student = models.create("mlp", 3)
    with pytest.raises(UserError, match=r"terms\.ce: no view 'strng'; .*did you mean 'strong'"):
        Objective(student, {"ce": make_term("ce", view="strng")}, views={"strong": STRONG})
    term = make_term("soft_target", view="strong")
    with pytest.raises(UserError, match=r"terms\.kd\.view='strong': the answers of the teacher 'teacher' are stored"):
        Objective(student, {"kd": term}, {"teacher": CachedTeacher(3)}, views={"strong": STRONG})
    with pytest.raises(UserError, match=r"terms\.ce\.view=1 must be a name"):
        make_term("ce", view=1)


def normalized(x):
    return (x - x.mean(1, keepdims=True)) / (1e-7 + x.std(1, ddof=1, keepdims=True))


def official(logits, labels, ce_weight, kd_weight, base, normalize):
    """KD_ours.forward_train, its means before its masks, and what it adds of each view."""
    (weak, strong), (taught, taught_strong) = logits
    sure = softmax(taught, 1)
    confidence, classes = sure.max(1), sure.sum(0)
    mask = (confidence <= np.percentile(confidence, 50)).mean()
    class_mask = (classes <= np.percentile(classes, 50)).mean()

    def kd(student, teacher, t):
        if normalize:
            student, teacher = (normalized(x) for x in (student, teacher))
        p = softmax(teacher / t, 1)
        return t * t * (p * (np.log(p) - log_softmax(student / t, 1))).sum(1).mean()

    def matrices(student, teacher, t, by_class):
        q, p = softmax(student / t, 1), softmax(teacher / t, 1)
        q, p = (q.T, p.T) if by_class else (q, p)
        return ((p @ p.T - q @ q.T) ** 2).sum() / len(p)

    def cross_entropy(student):
        return -log_softmax(student, 1)[np.arange(len(labels)), labels].mean()

    every = (base, 3.0, 5.0, 2.0, 6.0)
    total = ce_weight * (cross_entropy(weak) + cross_entropy(strong))
    total += kd_weight * sum(kd(weak, taught, t) * mask for t in every)
    total += kd_weight * sum(kd(strong, taught_strong, t) for t in (base, 3.0, 5.0))
    total += kd_weight * sum(kd(weak, taught, t) for t in (2.0, 6.0))
    total += kd_weight * sum(matrices(weak, taught, t, by_class=True) * class_mask for t in every)
    return total + kd_weight * sum(matrices(weak, taught, t, by_class=False) * mask for t in every)


@pytest.mark.parametrize(("method", "numbers"), [("mlkd", (0.1, 0.9, 4.0)), ("mlkd_standardized", (0.1, 9.0, 2.0))])
def test_multi_level_distillation_is_that_of_its_code(method, numbers):
    draw = np.random.default_rng(9)
    logits = draw.normal(0, 2, (2, 2, 8, 6)).astype(np.float32)  # of student and teacher, of both views
    labels = draw.integers(0, 6, 8).astype(np.int32)
    total = 0.0
    for name, options in presets.published("paper", method).items():
        term, which = make_term(name, **options), int(options.get("view") == "strong")
        outputs = [Outputs(jnp.asarray(side[which]), {}) for side in logits]
        inputs = TermInputs(outputs[0], {"teacher": outputs[1]}, {"label": jnp.asarray(labels)}, None, jnp.int32(0))
        total += term.weight * np.mean(term.loss(inputs))
    expected = official(logits.astype(np.float64), labels, *numbers, normalize=method != "mlkd")
    np.testing.assert_allclose(total, expected, rtol=1e-4)
