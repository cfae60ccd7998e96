"""Networks in few bits: what is computed with integers here is what onnxruntime executes."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_deployed_graph import drawn, made

from effjax import models
from effjax.errors import UserError
from effjax.models.deployed import QuantizedGraph, Scheme, calibrated
from effjax.models.deployed.points import place

ROWS = 40


class WithHoles(nn.Module):
    """A convolution of two groups whose taps are apart."""

    @nn.compact
    def __call__(self, images, train=False):
        x = nn.relu(nn.Conv(8, (3, 3))(images))
        x = nn.relu(nn.Conv(12, (3, 3), strides=2, kernel_dilation=2, feature_group_count=2)(x))
        return models.Outputs(nn.Dense(5)(x.mean((1, 2))), {})


class WithPools(nn.Module):
    """Means over windows: before a shortcut's projection, of a sum, with a margin, and clipped."""

    @nn.compact
    def __call__(self, images, train=False):
        x = nn.relu(nn.Conv(8, (3, 3))(images))
        y = nn.Conv(12, (3, 3), strides=2)(x) + nn.Conv(12, (1, 1))(nn.avg_pool(x, (2, 2), (2, 2), "SAME"))
        x = nn.Conv(6, (1, 1))(nn.avg_pool(y, (3, 3), (1, 1), "SAME"))
        x = nn.Conv(8, (2, 2))(nn.relu(nn.avg_pool(x - 0.2, (2, 1), (1, 1))))
        return models.Outputs(nn.Dense(5)(nn.avg_pool(x, x.shape[1:3])[:, 0, 0]), {})


class WithFloats(nn.Module):
    """A sum of codes and of what is computed with floats."""

    @nn.compact
    def __call__(self, images, train=False):
        x = nn.Conv(6, (1, 1))(images) + jnp.tanh(nn.Conv(6, (1, 1))(images))
        return models.Outputs(nn.Dense(5)(nn.Conv(6, (1, 1))(x).mean((1, 2))), {})


OWN = {
    "with holes": (WithHoles(), (11, 10, 3)),
    "with pools": (WithPools(), (12, 10, 3)),
    "with floats": (WithFloats(), (5, 4, 3)),
}


def quantized(case, bits="w8a8", calibration="mse"):
    if case in OWN:
        module, shape = OWN[case]
        variables = drawn(module, shape)
    else:
        module, variables, shape = made(case)
    graph = models.deploy(module, variables, shape)
    images = np.random.default_rng(1).normal(size=(ROWS, *shape)).astype(np.float32)
    folded = jax.jit(graph.fold)(variables)
    few = QuantizedGraph(graph, Scheme.parse(bits))
    return few, folded, *calibrated(few, folded, [images[:20], images[20:]], calibration), images


@pytest.mark.parametrize(
    "case",
    [
        *("mlp", "mlp silu", "scnn", "scnn of odd sides", "resnet8", "resnet8 projected", "resnet18", "densenet"),
        *("mobilenet_v2", "mobilenet_v3_small", "resnext50_32x4d", "with holes", "with pools"),
        "with floats",
    ],
)
def test_integers_are_what_onnxruntime_executes(case):
    pytest.importorskip("onnx")
    from effjax.export import onnx_session
    from effjax.models.deployed.onnx_codes import quantized_to_onnx

    few, _, params, zeros, images = quantized(case)
    codes = few.codes(params, zeros)
    found = np.asarray(jax.jit(lambda images: few.apply_integer(codes, images).logits)(images))
    (executed,) = onnx_session(quantized_to_onnx(few, codes).SerializeToString()).run(None, {"images": images})
    assert (found == executed).all(1).mean() >= 1 - 1 / ROWS  # where a sum lies between two codes, one row may differ
    np.testing.assert_array_equal(found.argmax(1), executed.argmax(1))


@pytest.mark.parametrize("calibration", ["minmax", "percentile", "mse", "entropy"])
def test_eight_bits_are_close_to_floats(calibration):
    few, folded, params, zeros, images = quantized("resnet8", calibration=calibration)
    expected = few.graph.apply(folded, images).logits
    simulated = jax.jit(few.simulate)(params, zeros, images).logits
    allowed = {"entropy": 0.3, "percentile": 0.15}.get(calibration, 0.06)
    assert abs(simulated - expected).max() <= allowed * abs(expected).max()
    whole = few.apply_integer(few.codes(params, zeros), images).logits
    assert abs(whole - simulated).max() <= 0.03 * abs(expected).max()


def test_fewer_bits_are_further_from_floats():
    errors = []
    for bits in ("w8a8", "w6a6", "w4a4", "w2a4"):
        few, folded, params, zeros, images = quantized("scnn", bits)
        expected = few.graph.apply(folded, images).logits
        errors.append(float(abs(few.simulate(params, zeros, images).logits - expected).mean()))
    assert errors == sorted(errors)


def test_where_the_codes_are():
    """A residual network: the images, each ReLU, each sum's other side, the mean; and the logits are floats."""
    module, variables, shape = made("resnet8")
    graph = models.deploy(module, variables, shape)
    found = place(graph, Scheme.parse("w4a4"))
    names = {point.name: point.bits for point in found.points.values()}
    assert names["images"] == 8
    assert names["stem_conv"] == names["stage1/block1/conv1"] == 4
    assert names["stage1/block1/conv2"] == 4  # before it is added
    last = graph.by_name["classifier"]
    assert found.points[found.origin[last.inputs[0]]].bits == 8
    assert found.layers["classifier"] == found.layers["stem_conv"] == 8
    assert found.layers["stage2/block1/conv1"] == 4
    assert last.output not in found.origin
    padded = [node for node in graph.nodes if type(node.operation).__name__ == "Pad"]
    assert padded
    assert all(found.origin[node.output] == found.origin[node.inputs[0]] for node in padded)


def test_the_steps_are_learnt():
    few, _, params, zeros, images = quantized("scnn", "w4a4")
    gradient = jax.grad(lambda params: few.simulate(params, zeros, images).logits.var())(params)
    for part in ("kernel_steps", "value_steps"):
        for array in gradient[part].values():
            assert np.isfinite(array).all()
            assert np.any(np.asarray(array) != 0)


def test_what_has_been_clipped_has_no_codes_above():
    """ReLU6: however large the step becomes, the highest code stands for six."""
    module = models.create("efficientnet_lite0", 3)
    shape = (32, 32, 3)
    graph = models.deploy(module, jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, *shape))), shape)
    found = place(graph, Scheme.parse("w8a8"))
    point = next(point for point in found.points.values() if point.name == "stem_conv")
    assert point.most == 6
    few = QuantizedGraph(graph, Scheme.parse("w8a8"))
    grid = few._grid(point, {"value_steps": {"stem_conv": jnp.float32(3.0)}}, {"stem_conv": 0})
    assert float(grid.scale) * 255 <= 6 * (1 + 1e-6)


@pytest.mark.parametrize("text", ["w8", "w9a8", "w1a8", "8", "", None, "W8A8"])
def test_bits_are_read(text):
    with pytest.raises(UserError, match="allowed: w8a8, w4a8"):
        Scheme.parse(text)


def test_calibration_needs_images():
    module, variables, shape = made("mlp")
    graph = models.deploy(module, variables, shape)
    with pytest.raises(UserError, match="calibration needs images"):
        calibrated(QuantizedGraph(graph, Scheme()), graph.fold(variables), [])


def test_a_module_in_few_bits_is_called_like_one():
    module = models.create("scnn", 4, width=0.125, taps=("conv2",))
    shape = (10, 10, 1)
    few = models.QuantizedModule(module, Scheme.parse("w8a8"))
    images = np.random.default_rng(0).normal(size=(8, *shape)).astype(np.float32)
    variables = few.begin(drawn(module, shape), [images])
    shapes = jax.eval_shape(few.init, jax.random.key(0), images)
    assert jax.tree.map(jnp.shape, variables) == jax.tree.map(lambda x: x.shape, shapes)
    outputs, rest = few.apply(variables, images, train=True, mutable=["zero_points"])
    assert rest == {"zero_points": variables["zero_points"]}
    assert outputs.taps["conv2"].shape[:1] == outputs.logits.shape[:1] == (8,)
    assert few.clone(taps=()) == models.QuantizedModule(models.create("scnn", 4, width=0.125), Scheme.parse("w8a8"))
    assert models.tap_paths(few, shape)[-1] == "penultimate"
