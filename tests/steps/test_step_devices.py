"""One step over several devices, simulated by a mapped axis, equals the step on the global batch."""

import dataclasses

import jax
import numpy as np
import optax
import pytest
from toy import CLASSES, assert_close, largest_difference, make_batch, make_objective, make_state, quick_jit

from effjax import models
from effjax.metrics import Mean
from effjax.models.normalised import Parts
from effjax.steps import (
    Flip,
    Network,
    Shift,
    View,
    init_records,
    make_eval_step,
    make_optimizer,
    make_predict,
    make_train_step,
)
from effjax.tasks import CLASSIFICATION

BATCH = make_batch()
AXIS = "devices"


def eval_step(model, **options):
    return make_eval_step(Network(model), CLASSIFICATION.metrics, **options)


def predict(model, view=None, **options):
    return make_predict(Network(model, view or View()), **options)


def shards(batch, count):
    return {name: array.reshape(count, -1, *array.shape[1:]) for name, array in batch.items()}


def over(step, count):
    """The step on ``count`` devices; ``out_axes=None`` holds only if all of them return the same."""
    return quick_jit(jax.vmap(step, in_axes=(None, 0), out_axes=None, axis_name=AXIS, axis_size=count))


OPTIMIZER = make_optimizer("sgd", 0.1)


@pytest.mark.parametrize(("model", "count"), [("mlp_dropout", 4), ("scnn", 2)])
def test_devices_together_make_the_global_step(model, count):
    objective = make_objective(model, terms=("ce", "soft_target"), view=View(ops=(Flip(),)))
    state = make_state(objective, OPTIMIZER, BATCH, ema=True)
    expected, metrics = quick_jit(make_train_step(objective, OPTIMIZER, ema_decay=0.5))(state, BATCH)
    step = make_train_step(objective, OPTIMIZER, axis_name=AXIS, ema_decay=0.5)
    actual, summed = over(step, count)(state, shards(BATCH, count))
    assert_close(actual, expected, atol=1e-5)
    assert_close(summed, metrics, atol=1e-4)
    assert summed["accuracy"] == metrics["accuracy"]


def test_batch_statistics_over_devices_make_the_global_step():
    alone, together = make_objective("resnet8"), make_objective("resnet8", axis_name=AXIS)
    state = make_state(alone, OPTIMIZER, BATCH)
    expected, metrics = quick_jit(make_train_step(alone, OPTIMIZER))(state, BATCH)
    actual, summed = over(make_train_step(together, OPTIMIZER, axis_name=AXIS), 2)(state, shards(BATCH, 2))
    assert_close(actual, expected, atol=1e-5)
    assert_close(summed, metrics, atol=1e-4)
    # The control: without the model's axis, each device normalises by its own part.
    variables = {"params": state.params["student"], **state.model_state}
    apply = quick_jit(
        lambda images: alone.student.apply(variables, images, train=True, mutable=["batch_stats"])[0].logits
    )
    images = alone.view.see(BATCH)["image"]
    assert largest_difference(apply(images)[:4], apply(images[:4])) > 1e-2


@pytest.mark.parametrize("accumulate", [1, 2])
def test_one_program_may_normalise_and_accumulate_as_several_devices_do(accumulate):
    alone, parts = make_objective("resnet8"), make_objective("resnet8", axis_name=Parts(2))
    alone, parts = (dataclasses.replace(one, outcome=CLASSIFICATION.outcome) for one in (alone, parts))
    state = make_state(alone, OPTIMIZER, BATCH).replace(records=init_records(1000))
    options = {"accumulate": accumulate, "record": True}
    expected, metrics = over(make_train_step(alone, OPTIMIZER, axis_name=AXIS, **options), 2)(state, shards(BATCH, 2))
    actual, summed = quick_jit(make_train_step(parts, OPTIMIZER, devices=2, **options))(state, BATCH)
    assert_close(actual, expected, atol=1e-5)
    assert_close(summed, metrics, atol=1e-4)
    # The control: of one device it is another step.
    other, _ = quick_jit(make_train_step(alone, OPTIMIZER, **options))(state, BATCH)
    assert largest_difference(other.model_state, expected.model_state) > 1e-3


def test_the_step_runs_under_pmap():
    objective = make_objective("mlp_dropout")
    state = make_state(objective, OPTIMIZER, BATCH)
    step = make_train_step(objective, OPTIMIZER, axis_name=AXIS)
    mapped = jax.pmap(step, axis_name=AXIS, in_axes=(None, 0), out_axes=(None, None), devices=jax.devices()[:1])
    actual, _ = mapped(state, shards(BATCH, 1))
    expected, _ = quick_jit(make_train_step(objective, OPTIMIZER))(state, BATCH)
    assert_close(actual, expected)


@pytest.fixture(scope="module")
def evaluation():
    """A model, its variables, and a batch whose last three examples are padding full of nonsense."""
    model = models.create("mlp", CLASSES, widths=(7,))
    variables = models.init(model, jax.random.key(0), (8, 8, 1))
    batch = {**make_batch(), "mask": np.arange(8) < 5}
    batch["label"][5:] = [-1, 99, 0]
    return model, variables, batch


def test_padding_does_not_count(evaluation):
    model, variables, batch = evaluation
    states = quick_jit(eval_step(model))(variables, batch)
    logits = np.asarray(model.apply(variables, batch["image"][:5] / np.float32(255)).logits)
    label = batch["label"][:5]
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, label)
    assert states["accuracy"] == Mean(np.float32((logits.argmax(1) == label).sum()), np.float32(5))
    np.testing.assert_allclose(states["loss"].compute(), loss.mean(), rtol=1e-5)
    assert states["ece"].count.sum() == 5
    np.testing.assert_allclose(states["ece"].confidence.sum(), jax.nn.softmax(logits).max(1).sum(), rtol=1e-5)


def test_evaluation_sums_over_devices(evaluation):
    model, variables, batch = evaluation
    whole = quick_jit(eval_step(model))(variables, batch)
    step = eval_step(model, axis_name=AXIS)
    assert_close(over(step, 4)(variables, shards(batch, 4)), whole)  # the last device holds padding only
    parts = [quick_jit(eval_step(model))(variables, {k: v[i] for k, v in shards(batch, 2).items()}) for i in (0, 1)]
    assert_close({name: parts[0][name].merge(parts[1][name]) for name in whole}, whole)


def test_predictions_are_gathered_in_order(evaluation):
    model, variables, batch = evaluation
    whole = quick_jit(predict(model, View()))(variables, batch)
    logits = model.apply(variables, batch["image"] / np.float32(255)).logits
    np.testing.assert_allclose(whole, logits, rtol=1e-5, atol=1e-6)
    gathered = over(predict(model, View(), axis_name=AXIS), 4)(variables, shards(batch, 4))
    assert_close(gathered, whole)


def test_evaluation_neither_augments_nor_drops(evaluation):
    _, _, batch = evaluation
    model = models.create("scnn", CLASSES, width=0.125)
    variables = models.init(model, jax.random.key(0), (8, 8, 1))
    plain = quick_jit(predict(model, View()))(variables, batch)
    np.testing.assert_array_equal(quick_jit(predict(model, View(ops=(Flip(), Shift(2)))))(variables, batch), plain)
