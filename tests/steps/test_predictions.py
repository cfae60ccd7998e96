"""Several predictions of an example: what they are, and what they depend on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy import CLASSES, make_batch, quick_jit

from effjax import models
from effjax.errors import UserError
from effjax.steps import Network, Shift, View, make_predictions, rng, stack_members
from effjax.steps.predictions import check_dropout
from effjax.tasks import CLASSIFICATION

BATCH = make_batch()


def predictions(model, view, kind, **options):
    return make_predictions(Network(model, view), CLASSIFICATION.items, kind, **options)


def network(name, seed=0, **options):
    model = models.create(name, CLASSES, **options)
    return model, quick_jit(model.init)(jax.random.key(seed), View().see(BATCH)["image"])


def test_a_single_prediction_and_its_features():
    model, variables = network("scnn", width=0.125)
    found = quick_jit(predictions(model, View(), "single"))(variables, BATCH)
    outputs = model.clone(taps=("penultimate",)).apply(variables, View().see(BATCH)["image"])
    np.testing.assert_allclose(found["probs"][:, :, 0], jax.nn.softmax(outputs.logits)[None], atol=1e-6)
    np.testing.assert_allclose(found["features"], outputs.taps["penultimate"], atol=1e-6)


@pytest.mark.parametrize("name", ["mlp", "scnn"])
def test_an_ensembles_members_answer_each_for_itself(name):
    options = {"mlp": {"widths": (7,)}, "scnn": {"width": 0.125}}[name]
    model, _ = network(name, **options)
    members = [network(name, seed, **options)[1] for seed in range(3)]
    found = quick_jit(predictions(model, View(), "ensemble"))(stack_members(members), BATCH)
    assert found["probs"].shape == (3, 8, 1, CLASSES)
    single = quick_jit(predictions(model, View(), "single"))
    each = [single(variables, BATCH) for variables in members]
    np.testing.assert_allclose(found["probs"], [one["probs"][0] for one in each], atol=1e-6)
    np.testing.assert_allclose(found["features"], np.mean([one["features"] for one in each], 0), atol=1e-6)


def test_passes_with_dropout_have_masks_of_their_own_by_id():
    model, variables = network("mlp", widths=(50,), dropout=0.5)
    predict = quick_jit(predictions(model, View(), "dropout", passes=6))
    probs = predict(variables, BATCH)["probs"][:, :, 0]
    assert probs.shape == (6, 8, CLASSES)
    assert len({row.tobytes() for row in np.asarray(probs)[:, 0]}) == 6
    order = np.arange(8)[::-1]
    again = predict(variables, {name: array[order] for name, array in BATCH.items()})["probs"][:, :, 0]
    np.testing.assert_allclose(again, probs[:, order], atol=1e-6)
    keys = rng.example_keys(rng.purpose_key(0, 2, "predict/dropout"), BATCH["id"])
    third = model.apply(variables, View().see(BATCH)["image"], dropout_keys=keys).logits
    np.testing.assert_allclose(probs[2], jax.nn.softmax(third), atol=1e-6)
    other = predict(variables, BATCH, 1)["probs"][:, :, 0]
    assert not np.allclose(other, probs)


def test_augmented_versions_differ_and_features_are_of_the_plain_image():
    model, variables = network("mlp", widths=(7,))
    found = quick_jit(predictions(model, View(ops=(Shift(2),)), "augmentations", passes=5))(variables, BATCH)
    assert found["probs"].shape == (5, 8, 1, CLASSES)
    assert float(found["probs"].std(0).max()) > 1e-4
    plain = predictions(model, View(), "single")(variables, BATCH)
    np.testing.assert_allclose(found["features"], plain["features"], atol=1e-6)


def test_convolutions_before_the_first_mask_run_once():
    """25 passes cost about one: the compiler is handed convolutions of the batch, not of 25 batches."""
    model, variables = network("scnn", width=0.125)
    jaxpr = jax.make_jaxpr(predictions(model, View(), "dropout", passes=25))(variables, BATCH)
    shapes = [e.outvars[0].aval.shape for e in jaxpr.eqns if e.primitive.name == "conv_general_dilated"]
    assert shapes
    assert all(shape[0] == 8 for shape in shapes)


def test_refused():
    model, variables = network("mlp", widths=(7,))
    image = jnp.zeros((1, 8, 8, 1))
    with pytest.raises(UserError, match=r"predictions='dropouts'.*did you mean 'dropout'"):
        predictions(model, View(), "dropouts")
    with pytest.raises(UserError, match=r"predictions='augmentations': the view has no augmentation"):
        predictions(model, View(), "augmentations")
    with pytest.raises(UserError, match=r"predictions='dropout': Mlp drops nothing"):
        check_dropout(model, variables, image)
    resnet, variables = network("resnet8", width=0.25)
    with pytest.raises(UserError, match="drops nothing"):
        check_dropout(resnet, variables, image)
    model, variables = network("mlp", widths=(7,), dropout=0.1)
    check_dropout(model, variables, image)
