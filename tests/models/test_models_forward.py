"""What every model keeps to: shapes, types, determinism, taps, dropout only by keys, statistics only by train."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax import models
from effjax.errors import UserError

SMALL = {
    "mlp": ("mlp", (6, 6, 1), {"widths": (8, 8), "dropout": 0.5}),
    "scnn": ("scnn", (9, 9, 1), {"width": 0.1}),
    "resnet8": ("resnet8", (8, 8, 3), {"width": 0.25}),
    "resnet8x4": ("resnet8x4", (8, 8, 3), {"width": 0.125}),
    "wrn_16_1": ("wrn_16_1", (8, 8, 3), {}),
    "vgg8": ("vgg8", (8, 8, 3), {}),
    "resnet50": ("resnet50", (32, 32, 3), {"width": 0.03}),
    "densenet": ("densenet", (8, 8, 3), {"depth": 10, "growth": 2}),
    "mobilenet_v2": ("mobilenet_v2", (32, 32, 3), {"width": 0.05}),
    "resnext50_32x4d": ("resnext50_32x4d", (32, 32, 3), {"width": 0.5}),
}
DROPS = {"mlp", "scnn", "densenet", "mobilenet_v2"}
# What runs once is not worth optimising.
quick_jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def build(case, **more):
    name, image_shape, options = SMALL[case]
    images = jax.random.normal(jax.random.key(5), (4, *image_shape))
    return models.create(name, 3, **options, **more), images


def keys_for(size):
    return jax.random.split(jax.random.key(9), size)


@pytest.mark.parametrize("case", SMALL)
def test_the_call_convention(case):
    module, images = build(case, taps=(".*",))
    variables = models.init(module, jax.random.key(0), images.shape[1:])
    apply = quick_jit(module.apply)
    logits, taps = apply(variables, images)
    assert logits.shape == (4, 3)
    assert set(taps) == set(models.tap_paths(module, images.shape[1:]))
    assert taps["penultimate"].ndim == 2
    # The classifier reads the penultimate features.
    classifier = variables["params"]["classifier"]
    np.testing.assert_allclose(taps["penultimate"] @ classifier["kernel"] + classifier["bias"], logits, atol=1e-5)
    # In evaluation an example's logits do not depend on the rest of the batch.
    np.testing.assert_allclose(apply(variables, images.at[0].set(7.0)).logits[1:], logits[1:], atol=1e-5)


@pytest.mark.parametrize("case", ["mlp", "scnn", "resnet8", "densenet", "mobilenet_v2"])
def test_dropout_is_governed_by_the_keys_alone(case):
    module, images = build(case)
    variables = models.init(module, jax.random.key(0), images.shape[1:])
    apply = quick_jit(module.apply)
    logits = apply(variables, images).logits
    dropped = apply(variables, images, dropout_keys=keys_for(4)).logits
    assert bool((dropped != logits).any()) == (case in DROPS)
    swapped = apply(variables, images[::-1], dropout_keys=keys_for(4)[::-1]).logits
    np.testing.assert_allclose(swapped[::-1], dropped, atol=1e-5)


@pytest.mark.parametrize("case", ["mlp", "scnn", "resnet8"])
def test_jit_changes_nothing(case):
    module, images = build(case)
    variables = models.init(module, jax.random.key(0), images.shape[1:])
    options = {"dropout_keys": keys_for(4)} if case in DROPS else {}
    compiled = jax.jit(module.apply)(variables, images, **options)
    np.testing.assert_allclose(module.apply(variables, images, **options).logits, compiled.logits, atol=1e-5)


@pytest.mark.parametrize("case", ["mlp", "resnet8"])
def test_variables_are_a_function_of_the_key(case):
    module, images = build(case)
    one, same, other = (models.init(module, jax.random.key(seed), images.shape[1:]) for seed in (0, 0, 1))
    jax.tree.map(np.testing.assert_array_equal, one, same)
    kernels = [v["params"]["classifier"]["kernel"] for v in (one, other)]
    assert (kernels[0] != kernels[1]).all()
    assert set(one) == ({"params", "batch_stats"} if case == "resnet8" else {"params"})


def test_outputs_hold_any_tree_of_predictions():
    boxes = models.Outputs({"boxes": jnp.zeros((2, 5, 4)), "scores": jnp.ones((2, 5))}, {"stem": jnp.zeros(2)})
    doubled = jax.tree.map(lambda leaf: 2 * leaf, boxes)
    assert isinstance(doubled, models.Outputs)
    np.testing.assert_array_equal(doubled.preds["scores"], 2)
    logits = jnp.arange(3.0)
    np.testing.assert_array_equal(models.Outputs(logits, {}).logits, logits)


def test_init_is_the_modules_own():
    module, images = build("mlp")
    ours = models.init(module, jax.random.key(0), images.shape[1:])
    theirs = dict(module.init(jax.random.key(0), images))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), ours, theirs)
    # It may be called inside a larger program too.
    traced = jax.eval_shape(lambda key: models.init(module, key, images.shape[1:]), jax.random.key(0))
    assert jax.tree.map(jnp.shape, traced) == jax.tree.map(jnp.shape, ours)


@pytest.mark.parametrize("case", ["mlp", "scnn", "resnet8"])
def test_bfloat16_computes_and_float32_stays(case):
    module, images = build(case, dtype="bfloat16", taps=(".*",))
    plain, _ = build(case)
    variables = models.init(module, jax.random.key(0), images.shape[1:])
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}

    def loss(params, module):
        inputs = {**variables, "params": params}
        outputs, new = module.apply(inputs, images, train=True, dropout_keys=keys_for(4), mutable=["batch_stats"])
        return (outputs.logits**2).sum(), (outputs, new)

    gradients, (outputs, new) = quick_jit(jax.grad(loss, has_aux=True), static_argnums=1)(variables["params"], module)
    assert outputs.logits.dtype == jnp.float32
    assert {tap.dtype for tap in outputs.taps.values()} == {jnp.dtype("bfloat16")}
    assert {leaf.dtype for leaf in jax.tree.leaves((gradients, new))} == {jnp.dtype("float32")}
    for leaf in jax.tree.leaves(gradients):
        assert bool(jnp.isfinite(leaf).all())
        assert bool((leaf != 0).any())
    evaluated, exact = (quick_jit(m.apply)(variables, images).logits for m in (module, plain))
    np.testing.assert_allclose(evaluated, exact, rtol=0.1, atol=0.1)


def test_tap_paths_are_where_the_parameters_lie():
    module, images = build("resnet8")
    assert models.tap_paths(module, images.shape[1:]) == (
        *("stem", "stage1/block1", "stage1/preact", "stage1", "stage2/block1", "stage2/preact", "stage2"),
        *("stage3/block1", "stage3/preact", "stage3", "penultimate"),
    )
    params = jax.eval_shape(module.init, jax.random.key(0), images)["params"]
    assert "conv1" in params["stage2"]["block1"]


def test_taps_are_those_asked_for_and_change_nothing():
    module, images = build("resnet8", taps=(r"stage\d", "penultimate"))
    plain, _ = build("resnet8")
    variables = models.init(plain, jax.random.key(0), images.shape[1:])
    logits, taps = module.apply(variables, images)
    assert list(taps) == ["stage1", "stage2", "stage3", "penultimate"]
    assert [taps[f"stage{i}"].shape for i in (1, 2, 3)] == [(4, 8, 8, 4), (4, 4, 4, 8), (4, 2, 2, 16)]
    np.testing.assert_allclose(taps["stage3"].mean((1, 2)), taps["penultimate"], rtol=1e-6)
    np.testing.assert_array_equal(plain.apply(variables, images).logits, logits)
    assert plain.apply(variables, images).taps == {}


@pytest.mark.parametrize(
    ("case", "taps"),
    [("resnet8", "stage{}"), ("wrn_16_1", "stage{}"), ("vgg8", "block{}")],
)
def test_what_is_tapped_before_the_last_relu(case, taps):
    module, images = build(case, taps=(".*",))
    variables = models.init(module, jax.random.key(0), images.shape[1:])
    found = quick_jit(module.apply)(variables, images).taps
    for number in (1, 2, 3):
        after = found[taps.format(number)]
        before = found[f"{taps.format(number)}/preact"]
        assert (before < 0).any()
        if case == "wrn_16_1":  # what follows normalises it, with the statistics of the start
            np.testing.assert_allclose(before, after / np.sqrt(1 + 1e-5), rtol=1e-5, atol=1e-6)
        else:
            np.testing.assert_array_equal(np.maximum(before, 0), after)


def test_a_tap_that_matches_nothing_names_the_nearest():
    module, images = build("resnet8", taps=("penultimate", "stage1/blok1"))
    with pytest.raises(UserError, match=r"'stage1/blok1'.*did you mean 'stage1/block1'"):
        jax.eval_shape(module.init, jax.random.key(0), images)


def test_shortcut_pads_channels_on_both_sides_and_drops_pixels():
    module, images = build("resnet8", taps=("stage1", "stage2"))
    variables = models.init(module, jax.random.key(0), images.shape[1:])
    block = variables["params"]["stage2"]["block1"]
    # With the second scale at zero, what is left of the block is its shortcut (already non-negative).
    block["norm2"]["scale"] = jnp.zeros_like(block["norm2"]["scale"])
    taps = module.apply(variables, images).taps
    expected = np.pad(taps["stage1"][:, ::2, ::2], ((0, 0), (0, 0), (0, 0), (2, 2)))
    np.testing.assert_array_equal(taps["stage2"], expected)


@pytest.mark.parametrize("name", models.NAMES)
def test_wrong_inputs_are_refused(name):
    """Before anything is computed with them."""
    init = partial(jax.eval_shape, models.create(name, 3).init, jax.random.key(0))
    images, typed = jax.ShapeDtypeStruct((4, 32, 32, 3), jnp.float32), jax.eval_shape(jax.random.key, 0)
    with pytest.raises(TypeError, match="float"):
        init(images.update(dtype=jnp.uint8))
    with pytest.raises(ValueError, match=r"\[B, H, W, C\]"):
        init(images.update(shape=(32, 32, 3)))
    for keys in (typed, typed.update(shape=(3,)), jax.ShapeDtypeStruct((4, 2), jnp.uint32)):
        with pytest.raises(TypeError, match="4 typed PRNG keys"):
            init(images, dropout_keys=keys)
