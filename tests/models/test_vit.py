"""The vision transformer: published sizes, a forward pass by hand, and the conventions of every model."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.special import erf

from effjax import models
from effjax.errors import UserError
from effjax.models.tokens import some_tokens
from effjax.models.vit import DistilledDeit

# What runs once is not worth optimising.
quick_jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})

IMAGES = jax.random.normal(jax.random.key(1), (4, 8, 12, 1))
SMALL = {"patch": 4, "dim": 12, "blocks": 2, "heads": 3, "mlp_ratio": 2}


def build(**options):
    module = models.create("vit", 3, **{**SMALL, **options})
    return module, models.init(module, jax.random.key(0), IMAGES.shape[1:])


def larger(variables):
    """Weights large enough for all parts to matter."""
    leaves, treedef = jax.tree.flatten(variables)
    rng = np.random.default_rng(0)
    return treedef.unflatten([leaf + rng.normal(0, 0.3, leaf.shape).astype(np.float32) for leaf in leaves])


@pytest.mark.parametrize(("name", "exact"), [("deit_tiny", 5_717_416), ("deit_small", 22_050_664)])
def test_deits_have_the_published_parameters(name, exact):
    images = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    params = jax.eval_shape(models.create(name, 1000).init, jax.random.key(0), images)["params"]
    assert models.count_params(params) == exact
    assert params["position_table"].shape == (14, 14, params["class_token"].shape[0])


DISTILLED = {"dim": 12, "blocks": 1, "heads": 3, "patch": 4, "drop_path": 0.0}


def distilled(**options):
    return DistilledDeit(3, **DISTILLED, **options)


def test_a_distillation_token_has_a_classifier_of_its_own_in_training():
    module, merged = distilled(apart=True, taps=("penultimate", "distillation_logits")), distilled()
    variables = larger(models.init(module, jax.random.key(0), IMAGES.shape[1:]))
    training, evaluation = (module.apply(variables, IMAGES, train=train) for train in (True, False))
    own, taught = (variables["params"][name] for name in ("classifier", "distillation_classifier"))
    token, other = jnp.split(training.taps["penultimate"], 2, axis=-1)
    np.testing.assert_allclose(training.logits, token @ own["kernel"] + own["bias"], atol=1e-5)
    expected = other @ taught["kernel"] + taught["bias"]
    np.testing.assert_allclose(training.taps["distillation_logits"], expected, atol=1e-5)
    # In evaluation it is the network of one classifier, as others' weights are read.
    params = dict(variables["params"])
    del params["distillation_classifier"]
    kernel = jnp.concatenate([own["kernel"], taught["kernel"]]) / 2
    params["classifier"] = {"kernel": kernel, "bias": (own["bias"] + taught["bias"]) / 2}
    one = merged.apply({"params": params}, IMAGES).logits
    np.testing.assert_allclose(evaluation.logits, one, atol=1e-5)
    with pytest.raises(UserError, match="apart=True: the two classifiers are the head"):
        models.init(module.clone(head=nn.Dense(2)), jax.random.key(0), IMAGES.shape[1:])


def test_the_distilled_deit_has_the_published_parameters():
    images = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    module = models.create("deit_tiny_distilled", 1000, apart=True)
    assert models.count_params(jax.eval_shape(module.init, jax.random.key(0), images)["params"]) == 5_910_800


def test_it_is_deployed_as_it_evaluates():
    module = distilled(apart=True)
    variables = larger(models.init(module, jax.random.key(0), IMAGES.shape[1:]))
    graph = models.deploy(module, variables, IMAGES.shape[1:])
    found = graph.apply(graph.fold(variables), IMAGES).logits
    np.testing.assert_allclose(found, module.apply(variables, IMAGES).logits, atol=1e-4)


def test_flops_of_deit_small_are_the_known_4_6_giga_multiply_adds():
    assert models.flops(models.create("deit_small", 1000), (224, 224, 3)) / 2e9 == pytest.approx(4.6, abs=0.02)


def norm(x, p):
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
    return x * p["scale"] + p["bias"]


def dense(x, p):
    return x @ p["kernel"] + p["bias"]


def attention(x, p, heads):
    """One image, head by head."""
    size = x.shape[-1] // heads
    q, k, v = np.split(dense(x, p["qkv"]), 3, axis=-1)
    results = []
    for i in range(heads):
        part = slice(i * size, (i + 1) * size)
        scores = np.exp(q[:, part] @ k[:, part].T / np.sqrt(size))
        results.append(scores / scores.sum(-1, keepdims=True) @ v[:, part])
    return dense(np.concatenate(results, -1), p["out"])


def by_hand(image, p, patch=4, heads=3):
    """The logits of one image, in float64."""
    rows = [image[i : i + patch] for i in range(0, image.shape[0], patch)]
    patches = [[row[:, j : j + patch].reshape(-1) for j in range(0, image.shape[1], patch)] for row in rows]
    grid = dense(np.array(patches), p["embed"]) + p["position_table"]
    x = np.concatenate([(p["class_token"] + p["class_position"])[None], grid.reshape(-1, grid.shape[-1])])
    for block in ("block1", "block2"):
        b = p[block]
        x = x + attention(norm(x, b["norm1"]), b["attention"], heads)
        hidden = dense(norm(x, b["norm2"]), b["mlp"]["dense1"])
        x = x + dense(hidden * 0.5 * (1 + np.asarray(erf(hidden / np.sqrt(2)))), b["mlp"]["dense2"])
    return dense(norm(x, p["norm"])[0], p["classifier"])


def test_logits_equal_those_by_hand():
    module, variables = build()
    variables = larger(variables)
    p = jax.tree.map(lambda x: np.asarray(x, np.float64), variables["params"])
    expected = np.stack([by_hand(np.asarray(image, np.float64), p) for image in IMAGES])
    assert np.abs(expected).max() > 0.5
    np.testing.assert_allclose(quick_jit(module.apply)(variables, IMAGES).logits, expected, atol=2e-5)


def test_taps_are_maps_of_the_patches_and_the_class_token():
    module, variables = build(taps=(".*",))
    logits, taps = quick_jit(module.apply)(variables, IMAGES)
    assert set(taps) == {"stem", "block1", "block2", "penultimate"} == set(models.tap_paths(module, (8, 12, 1)))
    assert {taps[name].shape for name in ("stem", "block1", "block2")} == {(4, 2, 3, 12)}
    tokens = quick_jit(build(taps=("block1/tokens",))[0].apply)(variables, IMAGES).taps["block1/tokens"]
    np.testing.assert_allclose(tokens[:, 1:].reshape(4, 2, 3, 12), taps["block1"], atol=1e-6)
    p = variables["params"]
    last = dense(IMAGES[0, 4:8, 8:12].reshape(-1), p["embed"])
    np.testing.assert_allclose(taps["stem"][0, 1, 2], last + p["position_table"][1, 2], atol=1e-5)
    np.testing.assert_allclose(dense(taps["penultimate"], p["classifier"]), logits, atol=1e-5)


def test_branches_are_skipped_by_the_examples_keys_alone():
    module, variables = build(drop_path=0.5)
    variables = larger(variables)
    apply = quick_jit(module.apply)
    images = jnp.repeat(IMAGES[:1], 64, axis=0)
    keys = jax.random.split(jax.random.key(9), 64)
    logits = apply(variables, images, dropout_keys=keys).logits
    np.testing.assert_allclose(apply(variables, images, dropout_keys=keys[::-1]).logits[::-1], logits, atol=1e-5)
    # The first block is never skipped; either branch of the second is, or is doubled: four different results.
    assert len(np.unique(np.round(logits, 3), axis=0)) == 4
    np.testing.assert_array_equal(apply(variables, images, train=True).logits, apply(variables, images).logits)


def test_bfloat16_computes_and_float32_stays():
    module, variables = build(dtype="bfloat16", taps=(".*",), blocks=1)
    exact = models.create("vit", 3, **{**SMALL, "blocks": 1})

    def loss(params):
        outputs = module.apply({"params": params}, IMAGES)
        return (outputs.logits**2).sum() + outputs.logits.sum(), outputs

    gradients, outputs = quick_jit(jax.grad(loss, has_aux=True))(variables["params"])
    assert outputs.logits.dtype == jnp.float32
    assert {tap.dtype for tap in outputs.taps.values()} == {jnp.dtype("bfloat16")}
    for leaf in jax.tree.leaves(gradients):
        assert leaf.dtype == jnp.float32
        assert bool(jnp.isfinite(leaf).all())
        assert bool((leaf != 0).any())
    np.testing.assert_allclose(outputs.logits, exact.apply(variables, IMAGES).logits, atol=0.05)


def test_what_does_not_fit_is_refused():
    module, variables = build()
    with pytest.raises(UserError, match=r"8×13 pixels .* patches of 4"):
        module.apply(variables, jnp.zeros((1, 8, 13, 1)))
    with pytest.raises(UserError, match=r"heads=5: allowed: a divisor of dim=12"):
        models.create("vit", 3, dim=12, heads=5)
    for option, value in {"heads": 0, "blocks": 1.5, "dim": -1, "patch": True, "mlp_ratio": 0, "drop_path": 1}.items():
        with pytest.raises(UserError, match=f"{option}={value}"):
            models.create("vit", 3, **{option: value})
    with pytest.raises(UserError, match="no option 'patch'"):
        models.create("deit_tiny", 3, patch=8)


def test_a_share_of_the_patches_is_trained_on():
    """Those that an example keeps are its own draw, and give what a network of these alone would give."""
    whole, variables = build()
    some, keys = models.create("vit", 3, **SMALL, token_share=0.5), jax.random.split(jax.random.key(2), 4)
    variables = larger(variables)
    np.testing.assert_array_equal(some.apply(variables, IMAGES).logits, whole.apply(variables, IMAGES).logits)
    found = some.apply(variables, IMAGES, True, keys).logits
    again = some.apply(variables, IMAGES[::-1], True, keys[::-1]).logits
    np.testing.assert_allclose(found[::-1], again, atol=1e-5)  # wherever in the batch an example stands
    assert not np.allclose(found, whole.apply(variables, IMAGES, True, keys).logits)
    tokens = jnp.arange(12.0).reshape(1, 6, 2)
    kept = some_tokens(jnp.broadcast_to(tokens, (300, 6, 2)), 0.5, jax.random.split(jax.random.key(0), 300))
    places = np.asarray(kept[:, :, 0] / 2)
    assert kept.shape == (300, 3, 2)
    assert (np.diff(places) > 0).all()  # in their order, none twice
    np.testing.assert_allclose(np.bincount(places.astype(int).ravel()) / 300, 0.5, atol=0.12)
    with pytest.raises(UserError, match="block1"):
        some.clone(taps=("block1",)).apply(variables, IMAGES, True, keys)
    full, half = (models.flops(some, (8, 12, 1), training=training) for training in (False, True))
    assert 0.4 < half / full < 0.7
    with pytest.raises(UserError, match="token_share=0"):
        models.create("vit", 3, token_share=0)
