"""Batch normalisation that goes on in few bits: it begins as nothing, follows the batch, folds to the same codes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_deployed_graph import drawn

from effjax import models
from effjax.models import QuantizedModule, Scheme
from effjax.models.deployed import live_norms

SHAPE = (16, 16, 3)
NORMALISED = ("stem_conv", *(f"stage{s}/block1/conv{c}" for s in (1, 2, 3) for c in (1, 2)))


@pytest.fixture(scope="module")
def made():
    module = models.create("resnet8", 4, width=0.5)
    images = np.random.default_rng(0).normal(size=(24, *SHAPE)).astype(np.float32)
    variables = drawn(module, SHAPE)
    live, frozen = (QuantizedModule(module, Scheme.parse(bits)) for bits in ("w8a8 live", "w8a8"))
    return live, live.begin(variables, [images[:10], images[10:]]), frozen.begin(variables, [images]), frozen, images


def trained(live, variables, images):
    """Some steps of gradient descent away, statistics too."""

    @jax.jit
    def step(variables):
        def loss(params):
            outputs, rest = live.apply({**variables, "params": params}, images, train=True, mutable=["batch_stats"])
            return jnp.square(outputs.logits - 1.0).mean(), rest

        gradient, rest = jax.grad(loss, has_aux=True)(variables["params"])
        return {**rest, "params": jax.tree.map(lambda x, g: x - 0.05 * g, variables["params"], gradient)}, gradient

    for _ in range(3):
        variables, gradient = step(variables)
    return variables, gradient


def test_at_first_it_changes_nothing(made):
    live, variables, plain, frozen, images = made
    assert live.graph(SHAPE).normalised == NORMALISED
    expected = frozen.apply(plain, images).logits
    np.testing.assert_allclose(live.apply(variables, images).logits, expected, atol=2e-2 * abs(expected).max())
    shapes = jax.eval_shape(live.init, jax.random.key(0), images)
    assert jax.tree.map(jnp.shape, variables) == jax.tree.map(lambda x: x.shape, shapes)


def test_in_training_it_follows_the_batch(made):
    live, variables, _, _, images = made
    shifted = images + 2.0
    outputs, rest = live.apply(variables, shifted, train=True, mutable=["batch_stats", "zero_points"])
    old, new = variables["batch_stats"]["stem_conv"], rest["batch_stats"]["stem_conv"]
    assert set(rest) == {"batch_stats", "zero_points"}
    # What the first layer makes of the batch, by hand.
    graph, weights = live.graph(SHAPE), variables["params"]["weights"]["stem_conv"]
    grid = graph._grid(graph.placement.points[0], *_points(variables))
    kernel = _rounded(weights["kernel"], variables["params"]["kernel_steps"]["stem_conv"])
    made_of = jax.lax.conv_general_dilated(
        grid.fake_quantize(shifted), kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    made_of = np.asarray(made_of + weights["bias"])
    np.testing.assert_allclose(new["mean"], 0.9 * old["mean"] + 0.1 * made_of.mean((0, 1, 2)), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(new["var"], 0.9 * old["var"] + 0.1 * made_of.var((0, 1, 2)), rtol=1e-3)
    again = live.apply(variables, shifted, train=False).logits
    assert not np.allclose(outputs.logits, again, atol=1e-2)


def _points(variables):
    return {"value_steps": variables["params"]["value_steps"]}, variables["zero_points"]


def _rounded(kernel, log_step):
    scale = np.exp(np.asarray(log_step))
    return np.clip(np.rint(kernel / scale), -127, 127) * scale


@pytest.mark.parametrize("bits", ["w8a8 live", "w4a4 live"])
def test_what_is_deployed_is_what_was_trained(made, bits):
    """Codes of the folded network are those of the kernels as they are trained, and onnxruntime executes them."""
    pytest.importorskip("onnx")
    from effjax.export import onnx_session
    from effjax.models.deployed.onnx_codes import quantized_to_onnx

    live, images = QuantizedModule(made[0].module, Scheme.parse(bits)), made[-1]
    variables, gradient = trained(live, live.begin(drawn(live.module, SHAPE), [images]), images)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    for part in ("scale", "bias"):
        assert np.any(np.asarray(gradient["norms"]["stem_conv"][part]) != 0)
    codes = live.codes(variables, SHAPE)
    for name in ("stem_conv", "stage2/block1/conv1"):
        most = 2 ** (live.graph(SHAPE).placement.layers[name] - 1) - 1
        kernel, step = (_at(variables["params"][part], name) for part in ("weights", "kernel_steps"))
        own = np.clip(np.rint(kernel["kernel"] / np.exp(step)), -most, most)
        assert (own == codes.layers[name].kernel).mean() > 0.999
    expected = live.apply_integer(codes, images).logits
    quantized = live.graph(SHAPE)
    (executed,) = onnx_session(quantized_to_onnx(quantized, codes).SerializeToString()).run(None, {"images": images})
    assert (np.asarray(expected) == executed).all(1).mean() >= 1 - 1 / len(images)
    simulated = live.apply(variables, images).logits
    allowed = 0.05 if bits.startswith("w8") else 0.15  # where a value lies between two of 16 codes
    assert abs(simulated - expected).max() <= allowed * abs(simulated).max()


def _at(tree, path):
    for part in path.split("/"):
        tree = tree[part]
    return tree


def test_a_negative_scale_turns_the_codes(made):
    live, variables, *_ = made
    params = jax.tree.map(jnp.asarray, variables["params"])
    params["norms"]["stem_conv"]["scale"] = -params["norms"]["stem_conv"]["scale"]
    before, after = (
        live.codes({**variables, "params": p}, SHAPE).layers["stem_conv"] for p in (variables["params"], params)
    )
    np.testing.assert_array_equal(after.kernel, -before.kernel)
    np.testing.assert_allclose(after.scale, before.scale, rtol=1e-6)


def test_statistics_are_averaged_over_devices():
    value = np.random.default_rng(0).normal(size=(8, 3, 3, 2)).astype(np.float32)
    norm = {"scale": jnp.array([2.0, 0.5]), "bias": jnp.array([1.0, -1.0])}
    running = {"mean": jnp.zeros(2), "var": jnp.ones(2)}
    whole, after = live_norms.normalised(value, norm, running, None)
    parts, each = jax.vmap(lambda part: live_norms.normalised(part, norm, running, "axis"), axis_name="axis")(
        value.reshape(4, 2, 3, 3, 2)
    )
    np.testing.assert_allclose(parts.reshape(whole.shape), whole, atol=1e-5)
    for name in ("mean", "var"):
        np.testing.assert_allclose(each[name], np.stack([after[name]] * 4), rtol=1e-5)
    np.testing.assert_allclose(whole.mean((0, 1, 2)), [1.0, -1.0], atol=1e-5)
    np.testing.assert_allclose(whole.std((0, 1, 2)), [2.0, 0.5], rtol=1e-4)


def test_where_nothing_was_normalised_it_is_as_without():
    module = models.create("scnn", 4, width=0.125)
    images = np.random.default_rng(0).normal(size=(8, 10, 10, 1)).astype(np.float32)
    variables = drawn(module, (10, 10, 1))
    live, frozen = (
        QuantizedModule(module, Scheme.parse(bits)).begin(variables, [images]) for bits in ("w4a4 live", "w4a4")
    )
    jax.tree.map(np.testing.assert_array_equal, live, frozen)
