"""The graph that is deployed against the module that it is of."""

import dataclasses
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax import models
from effjax.errors import UserError
from effjax.models.deployed import operations as ops
from effjax.models.deployed.constants import Constant, evaluate

CASES = {
    "mlp": ((9, 7, 2), {"widths": (12,)}),
    "mlp tanh gelu": ((9, 7, 2), {"widths": (12,), "activation": "gelu"}),
    "mlp elu": ((9, 7, 2), {"widths": (12,), "activation": "elu"}),
    "mlp leaky": ((9, 7, 2), {"widths": (12,), "activation": "leaky_relu"}),
    "mlp silu": ((9, 7, 2), {"widths": (12,), "activation": "silu"}),
    "scnn": ((10, 10, 1), {"width": 0.25}),
    "scnn of odd sides": ((11, 9, 1), {"width": 0.25}),
    "resnet8": ((8, 8, 3), {"width": 0.25}),
    "resnet8 projected": ((8, 8, 3), {"width": 0.25, "shortcut": "projection"}),
    "resnet8x4": ((8, 8, 3), {"width": 0.125}),
    "wrn_16_1": ((8, 8, 3), {}),
    "vgg8": ((8, 8, 3), {}),
    "resnet18": ((32, 32, 3), {"width": 0.0625}),
    "resnet50": ((32, 32, 3), {"width": 0.0625}),
    "densenet": ((8, 8, 3), {"depth": 10, "growth": 4}),
    "efficientnet_lite0": ((32, 32, 3), {}),
    "resnext50_32x4d": ((32, 32, 3), {"width": 0.5}),
    "mobilenet_v2": ((32, 32, 3), {"width": 0.1}),
    "mobilenet_v3_small": ((32, 32, 3), {}),
    "efficientnet_b0": ((32, 32, 3), {}),
    "regnet_y_400mf": ((32, 32, 3), {}),
    "convnext_atto": ((32, 32, 3), {}),
    "deit_tiny_distilled": ((32, 32, 3), {}),
    "vit": ((8, 8, 1), {"dim": 12, "blocks": 2, "heads": 3}),
    "swin_tiny": ((16, 16, 3), {"dim": 12, "patch": 1}),
    "shuffled": ((6, 5, 3), {}),
    "mixed": ((8, 6, 3), {}),
    "joins": ((6, 5, 3), {}),
}


class _Shuffled(nn.Module):
    """Halves of the channels shuffled, one filtered by half of an array; an activation of logarithms."""

    @nn.compact
    def __call__(self, images, train=False):
        x = nn.Conv(8, (3, 3))(images)
        n, h, w, c = x.shape
        x = x.reshape(n, h, w, 2, c // 2).swapaxes(3, 4).reshape(n, h, w, c)
        kept, filtered = jnp.split(x, 2, -1)
        kernel, _ = jnp.split(self.param("kernels", nn.initializers.lecun_normal(), (4, 12)), (4,), -1)
        x = jnp.concatenate([kept, filtered @ kernel], -1)
        return models.Outputs(nn.Dense(5)((x * jnp.tanh(nn.softplus(x)) + 0.0).mean((1, 2))), {})


class _Mixed(nn.Module):
    """What larger networks are made of, once each: clipped and hard activations, squeezes, a token, attention."""

    @nn.compact
    def __call__(self, images, train=False):
        x = nn.relu6(nn.Conv(6, (3, 3), strides=2, padding=((0, 1), (1, 0)), use_bias=False)(images))
        x = jnp.clip(nn.hard_swish(nn.Conv(6, (3, 3), feature_group_count=6)(x)), -0.3, None)
        squeezed = nn.relu(nn.Dense(4)(x.mean((1, 2))))
        x = x * nn.hard_sigmoid(nn.Dense(6)(squeezed))[:, None, None]
        x = nn.max_pool(jnp.pad(x, ((0, 0), (1, 0), (0, 0), (0, 0))), (2, 2), (1, 1))
        tokens = x.reshape(x.shape[0], -1, 6)
        token = jnp.broadcast_to(self.param("token", nn.initializers.normal(), (1, 1, 6)), (x.shape[0], 1, 6))
        tokens = nn.LayerNorm()(jnp.concatenate([token, tokens], 1))
        query, key, value = (nn.Dense(6, name=name)(tokens) for name in ("query", "key", "value"))
        seen = nn.softmax(query @ key.swapaxes(1, 2) / jnp.sqrt(6.0)) @ value
        tokens = tokens + nn.gelu(nn.Dense(6)(seen), approximate=False)
        return models.Outputs(nn.Dense(5)(tokens[:, 0]), {})


class _Joins(nn.Module):
    """What joins what is before it: scales and offsets after one another, margins of other sizes on each side."""

    @nn.compact
    def __call__(self, images, train=False):
        x = images
        for number in range(3):
            scale, offset = (self.param(f"{kind}{number}", nn.initializers.ones, (3,)) for kind in ("by", "plus"))
            x = x * scale + offset
        x = jnp.pad(x, ((0, 0), (1, 4), (3, 0), (0, 0)))
        x = nn.Conv(4, (2, 3), padding=((2, 1), (1, 3)))(x)
        return models.Outputs(nn.Dense(5)(x.reshape(len(x), -1)), {})


def drawn(module: nn.Module, shape: tuple[int, int, int]):
    """Variables unlike those at the start: statistics and offsets that a fold must not forget."""
    shapes = jax.eval_shape(module.init, jax.random.key(0), jax.ShapeDtypeStruct((1, *shape), jnp.float32))
    rng = np.random.default_rng(0)

    def draw(path, leaf):
        spread = 0.3 if len(leaf.shape) < 2 else np.prod(leaf.shape[:-1]) ** -0.5
        array = rng.normal(0, spread, leaf.shape).astype(np.float32)
        return np.abs(array) + 0.5 if path[-1].key in ("var", "scale") else array

    return jax.tree_util.tree_map_with_path(draw, shapes)


def made(case: str, **more):
    shape, options = CASES[case]
    name = case.split()[0]
    own = {"shuffled": _Shuffled, "mixed": _Mixed, "joins": _Joins}
    module = own[name]() if name in own else models.create(name, 5, **options, **more)
    return module, drawn(module, shape), shape


@pytest.mark.parametrize("case", CASES)
def test_the_graph_answers_as_the_module(case):
    module, variables, shape = made(case)
    graph = models.deploy(module, variables, shape)
    images = np.random.default_rng(1).normal(size=(3, *shape)).astype(np.float32)
    expected = jax.jit(module.apply)(variables, images).logits
    found = jax.jit(lambda variables, images: graph.apply(graph.fold(variables), images))(variables, images).logits
    assert abs(found - expected).max() <= 1e-5 * abs(expected).max()


def test_batch_normalisation_is_gone_and_layers_keep_their_names():
    module, variables, shape = made("resnet8")
    graph = models.deploy(module, variables, shape)
    kinds = {type(node.operation) for node in graph.nodes}
    assert ops.Affine not in kinds
    assert graph.by_name["stage2/block1/conv2"].operation == ops.Conv((1, 1), ((1, 1), (1, 1)))
    folded = graph.fold(variables)
    assert set(folded["stem_conv"]) == {"kernel", "bias"}
    norm, statistics = variables["params"]["stem_norm"], variables["batch_stats"]["stem_norm"]
    scale = norm["scale"] / np.sqrt(statistics["var"] + 1e-5)
    np.testing.assert_allclose(
        folded["stem_conv"]["kernel"], variables["params"]["stem_conv"]["kernel"] * scale, rtol=1e-5
    )
    np.testing.assert_allclose(
        folded["stem_conv"]["bias"], norm["bias"] - statistics["mean"] * scale, rtol=1e-4, atol=1e-6
    )


def test_what_joins_leaves_a_scale_and_a_convolution():
    module, variables, shape = made("joins")
    graph = models.deploy(module, variables, shape)
    affine, layer = (node.operation for node in graph.nodes[:2])
    assert isinstance(affine, ops.Affine)
    assert layer == ops.Conv((1, 1), ((3, 5), (4, 3)))
    assert {type(node.operation) for node in graph.nodes[2:]} == {ops.Reshape, ops.Dense}


class _Named(nn.Module):
    """What has a name of its own: a pool, softmax, GELU, LayerNorm; all outputs, so that each is to be seen."""

    @nn.compact
    def __call__(self, images, train=False):
        x = nn.Dense(4)(images)
        n, h, w, c = x.shape
        return {
            "pool": x.reshape(n, h // 2, 2, w // 3, 3, c).max((2, 4)),
            "softmax": nn.softmax(x),
            "softmax of rows": nn.softmax(x, 1),
            "gelu": nn.gelu(x, approximate=False),
            "norm": nn.LayerNorm()(x),
            "norm without offset": nn.LayerNorm(epsilon=0.1, use_bias=False)(x),
        }


class _Nearly(nn.Module):
    """What is nearly that; of images of 4×4 pixels, so that any axis could be another."""

    @nn.compact
    def __call__(self, images, train=False):
        x, y, z = nn.Dense(4)(images), nn.Dense(4)(images), nn.Dense(3)(images)
        erfc, most, half = jax.scipy.special.erfc, x.max(-1, keepdims=True), np.sqrt(0.5)
        mean, rows, others, squares = x.mean(-1), x.mean(1), y.mean(-1), jnp.square(x).mean(-1)

        def parts(x, axis=-1):
            raised = jnp.exp(x)
            return raised / raised.sum(axis, keepdims=True)

        def norm(x, mean, squares, square, by=1.0, plus=50.0):
            return (x - mean[..., None]) * (jax.lax.rsqrt((squares - square) * by + plus)[..., None] * 3.0)

        return {
            "other sides": x.reshape(-1, 4, 2, 4, 2, 1).max((2, 4)),
            "other axes": x.reshape(-1, 2, 2, 2, 2, 4).max((1, 3)),
            "another's sum": jnp.exp(x - most) / jnp.exp(y - most).sum(-1, keepdims=True),
            "not raised": (x - most) / (x - most).sum(-1, keepdims=True),
            "no shift": parts(x),
            "a number as shift": parts(x - 1),
            "a sum as shift": parts(x + most),
            "the mean as shift": parts(x - x.mean(-1, keepdims=True)),
            "another's most": parts(x - y.max(-1, keepdims=True)),
            "the most of rows": parts(x - x.max(1, keepdims=True)),
            "the most of all": parts(x - x.max((1, 2, 3), keepdims=True), (1, 2, 3)),
            "a quarter": 0.25 * x * erfc(-x * half),
            "a half and more": (0.5 * x + 1) * erfc(-x * half),
            "the other tail": 0.5 * x * erfc(x * half),
            "another's tail": 0.5 * x * erfc(-y * half),
            "a wider tail": 0.5 * x * erfc(-x * 0.5),
            "a shifted tail": 0.5 * x * erfc(-x * half + 1),
            "another's mean": norm(x, others, squares, others**2),
            "mean of rows": norm(x, rows, squares, rows**2),
            "another's squares": norm(x, mean, jnp.square(y).mean(-1), mean**2),
            "squares of rows": norm(x, mean, jnp.square(x).mean(1), mean**2),
            "cubes": norm(x, mean, (x**3).mean(-1), mean**2),
            "another's mean squared": norm(x, mean, squares, others**2),
            "cubed mean": norm(x, mean, squares, mean**3),
            "twice": norm(x, mean, squares, mean**2, by=2.0),
            "by each pixel": norm(x, mean, squares, mean**2, plus=np.arange(16, dtype=np.float32).reshape(4, 4)),
            "of the images": (z - z.mean(-1)[..., None]) * (jax.lax.rsqrt(images + 9.0) * 3.0),
        }


def operations(graph):
    return {node.operation for node in graph.nodes}


def test_what_has_a_name_is_found():
    module, shape = _Named(), (4, 6, 3)
    graph = models.deploy(module, drawn(module, shape), shape)
    norms = sorted(one.epsilon for one in operations(graph) if isinstance(one, ops.LayerNorm))
    assert norms == pytest.approx([1e-6, 0.1])
    assert operations(graph) == {
        *(one for one in operations(graph) if isinstance(one, ops.LayerNorm)),
        ops.Pool("max", (2, 3), (2, 3), ((0, 0), (0, 0))),
        *(ops.Softmax(axis) for axis in (1, 3)),
        ops.Elementwise("gelu"),
        ops.Dense(),
    }


@pytest.mark.parametrize("network", [_Named, _Nearly])
def test_what_has_a_name_or_nearly_stays_what_it_is(network):
    module, shape = network(), (4, 4 if network is _Nearly else 6, 3)
    variables = drawn(module, shape)
    graph = models.deploy(module, variables, shape)
    images = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    quick_jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
    expected, found = quick_jit(module.apply)(variables, images), quick_jit(graph.apply)(graph.fold(variables), images)
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-4, atol=1e-4 * abs(array).max(), err_msg=name)
    if network is _Nearly:
        assert not {ops.Pool, ops.Softmax, ops.LayerNorm} & {type(one) for one in operations(graph)}
        assert ops.Elementwise("gelu") not in operations(graph)


def test_one_graph_serves_all_variables_and_batches_of_any_size():
    module, variables, shape = made("scnn")
    graph = models.deploy(module, jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), variables), shape)
    for count in (1, 4):
        other = jax.tree.map(lambda x, count=count: x * count, variables)
        images = np.ones((count, *shape), np.float32)
        expected = module.apply(other, images).logits
        np.testing.assert_allclose(graph.apply(graph.fold(other), images).logits, expected, rtol=1e-5, atol=1e-5)


def test_the_gradient_reaches_the_variables_through_the_fold():
    module, variables, shape = made("resnet8")
    graph = models.deploy(module, variables, shape)
    images = np.random.default_rng(1).normal(size=(2, *shape)).astype(np.float32)

    def by_module(params):
        return module.apply({**variables, "params": params}, images).logits.var()

    def by_graph(params):
        return graph.apply(graph.fold({**variables, "params": params}), images).logits.var()

    expected, found = (jax.jit(jax.grad(loss))(variables["params"]) for loss in (by_module, by_graph))
    for one, other in zip(jax.tree.leaves(expected), jax.tree.leaves(found), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-3, atol=1e-4 * float(abs(one).max() + 1))


def test_taps_are_outputs():
    module, variables, shape = made("resnet8", taps=("stage2", "penultimate"))
    graph = models.deploy(module, variables, shape)
    images = np.random.default_rng(1).normal(size=(2, *shape)).astype(np.float32)
    expected, found = module.apply(variables, images), graph.apply(graph.fold(variables), images)
    assert set(found.taps) == {"stage2", "penultimate"}
    for path, tap in expected.taps.items():
        np.testing.assert_allclose(found.taps[path], tap, atol=1e-5)


class _Odd(nn.Module):
    """Does something to its images."""

    how: str

    @nn.compact
    def __call__(self, images, train=False, dropout_keys=None):
        x = nn.Dense(4)(images.reshape(images.shape[0], -1))
        x = {
            "sort": lambda: jnp.sort(x),
            "mixes": lambda: x - x.mean(0),
            "flat": lambda: x.reshape(-1),
            "bfloat16": lambda: x.astype(jnp.bfloat16),
            "sum of products": lambda: x @ self.param("twice", nn.initializers.ones, (4, 4)) + x * 2,
        }[self.how]()
        return models.Outputs(x, {})


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("sort", "'sort' cannot be deployed"),
        ("mixes", "reduce mixes the examples of a batch"),
        ("flat", "reshape mixes the examples of a batch"),
        ("bfloat16", "computes in bfloat16 cannot be deployed"),
    ],
)
def test_what_cannot_be_deployed_is_named(how, message):
    module = _Odd(how)
    variables = module.init(jax.random.key(0), jnp.zeros((1, 2, 2, 1)))
    with pytest.raises(UserError, match=message):
        models.deploy(module, variables, (2, 2, 1))


def test_a_value_with_two_readers_keeps_what_it_is():
    module = _Odd("sum of products")
    variables = drawn(module, (2, 2, 1))
    graph = models.deploy(module, variables, (2, 2, 1))
    images = np.random.default_rng(0).normal(size=(3, 2, 2, 1)).astype(np.float32)
    np.testing.assert_allclose(
        graph.apply(graph.fold(variables), images).preds, module.apply(variables, images).preds, rtol=1e-5, atol=1e-5
    )


def test_constants_are_computed_once_variables_are_known():
    kernel = Constant.variable("params/dense/kernel", (2, 3), np.dtype(np.float32))
    doubled = kernel * Constant.given(np.float32(2)) + Constant.given(np.float32([1, 2, 3]))
    assert doubled.shape == (2, 3)
    assert doubled.sources == {"params/dense/kernel"}
    (found,) = evaluate([doubled], {"params": {"dense": {"kernel": np.ones((2, 3), np.float32)}}})
    np.testing.assert_array_equal(found, [[3, 4, 5]] * 2)
    assert (Constant.given(2.0) * Constant.given(3.0)).is_all(6)
    assert dataclasses.replace(doubled, path="x").sources >= {"x"}
