"""Convolutions that add and clip in one pass: the same predictions, by XLA and by oneDNN, of fewer operations."""

import functools
import importlib.metadata

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_deployed_graph import drawn, made

from effjax import models
from effjax.errors import UserError
from effjax.models import onednn
from effjax.models.deployed import operations as ops
from effjax.models.deployed.joined import JoinedConv
from effjax.models.onednn import library

NETWORKS = ("resnet8", "resnet8 projected", "vgg8", "densenet", "efficientnet_lite0", "mobilenet_v2")
WINDOW = ((1, 1), ((1, 1), (1, 1)))
CLIPS = ((0.0, np.inf), (0.0, 2.0), (-np.inf, np.inf), (-1.0, np.inf), (-np.inf, 1.0))


@pytest.fixture
def installed():
    try:
        importlib.metadata.files(library.PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("onednn-cpu-gomp is not installed")


def kinds(graph):
    return [type(node.operation) for node in graph.nodes]


def predicted(graph, folded, images, way):
    def apply(folded, images):
        with models.computed_by(way):
            return graph.apply(folded, images)

    return jax.tree.leaves(jax.jit(apply)(folded, images))


def compare(module, variables, shape, way):
    graph = models.deploy(module, variables, shape)
    joined, folded = models.joined(graph), graph.fold(variables)
    images = np.random.default_rng(1).normal(size=(3, *shape)).astype(np.float32)
    expected = predicted(graph, folded, images, "xla")
    for ours, theirs in zip(predicted(joined, folded, images, way), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5 * np.abs(theirs).max())
    return graph, joined


@pytest.mark.parametrize("way", ["xla", "onednn"])
@pytest.mark.parametrize("network", NETWORKS)
def test_predictions_stay(network, way, request):
    if way == "onednn":
        request.getfixturevalue("installed")
    graph, joined = compare(*made(network), way)
    assert kinds(joined).count(JoinedConv) == kinds(graph).count(ops.Conv)
    assert ops.Conv not in kinds(joined)
    assert len(joined.nodes) < len(graph.nodes)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("network", [*NETWORKS, "resnet18", "shuffled"])
def test_kernels_that_are_laid_out(network):
    """For as many images as they were laid out for, and for others."""
    module, variables, shape = made(network)
    graph = models.deploy(module, variables, shape)
    folded = graph.fold(variables)
    laid, weights = models.laid_out(graph, folded, 2)
    assert any(own["kernel"].ndim == 1 for own in weights.values() if "kernel" in own)
    for count in (2, 5):
        images = np.random.default_rng(1).normal(size=(count, *shape)).astype(np.float32)
        expected = predicted(models.joined(graph), folded, images, "onednn")
        for way in models.CONVOLUTIONS:  # of no matter
            for ours, theirs in zip(predicted(laid, weights, images, way), expected, strict=True):
                np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6 * np.abs(theirs).max())


@pytest.mark.usefixtures("installed")
def test_a_graph_that_is_laid_out_wants_its_own_weights():
    module, variables, shape = made("resnet8")
    graph = models.deploy(module, variables, shape)
    laid, _ = models.laid_out(graph, graph.fold(variables), 2)
    with pytest.raises(UserError, match="laid_out"):
        laid.apply(laid.fold(variables), jnp.zeros((2, *shape)))


@pytest.mark.parametrize("options", [{}, {"shortcut": "projection"}])
def test_a_residual_network_has_no_sum_and_no_clip_of_its_own(options):
    module = models.create("resnet8", 5, width=0.25, **options)
    joined = models.joined(models.deploy(module, drawn(module, (8, 8, 3)), (8, 8, 3)))
    assert ops.Clip not in kinds(joined)
    assert ops.Elementwise("add") not in [node.operation for node in joined.nodes]


def test_detectors():
    module = models.create("fcos", 3, backbone="resnet8", strides=(4, 8), stem="halving", channels=8, convs=1)
    graph, joined = compare(module, drawn(module, (32, 32, 1)), (32, 32, 1), "xla")
    assert len(joined.nodes) < len(graph.nodes)


def test_what_is_returned_stays():
    """A tap is read by nobody else in the network, and yet it is not to vanish."""
    module = models.create("resnet8", 5, width=0.25, taps=("stage1/preact", "stage2/block1"))
    _, joined = compare(module, drawn(module, (8, 8, 3)), (8, 8, 3), "xla")
    assert kinds(joined).count(ops.Clip) == 1  # of the sum that is returned


class _Sums(nn.Module):
    """Sums with an array of the network's own, of a value with itself, and of one that is read once more."""

    @nn.compact
    def __call__(self, images, train=False):
        x = nn.Conv(4, (3, 3), name="first")(images) + self.param("places", nn.initializers.normal(), (5, 6, 4))
        x = nn.Conv(4, (3, 3), name="second")(x)
        x = nn.relu(x + x)
        y = nn.Conv(4, (3, 3), name="third")(x)
        z = nn.Conv(4, (1, 1), name="fourth")(x)
        return models.Outputs(nn.Dense(3)((jnp.clip(y + z, -0.5, 0.5) * jnp.tanh(y)).mean((1, 2))), {})


@pytest.mark.parametrize("way", ["xla", "onednn"])
def test_sums_of_all_kinds(way, request):
    if way == "onednn":
        request.getfixturevalue("installed")
    _, joined = compare(_Sums(), drawn(_Sums(), (5, 6, 3)), (5, 6, 3), way)
    fourth = joined.by_name["fourth"]
    assert fourth.operation.clip == ops.Clip(-0.5, 0.5)  # type: ignore[union-attr]
    assert len(fourth.inputs) == 2


def test_it_is_not_exported():
    module, variables, shape = made("resnet8")
    joined = models.joined(models.deploy(module, variables, shape))
    to_onnx = pytest.importorskip("effjax.models.deployed.onnx_model").to_onnx
    with pytest.raises(UserError, match="joinedconv cannot be written as ONNX"):
        to_onnx(joined, joined.fold(variables))


def arrays():
    rng = np.random.default_rng(0)
    shapes = {"x": (2, 5, 6, 8), "kernel": (3, 3, 8, 4), "bias": (4,), "added": (2, 5, 6, 4)}
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def follow(given, clip=(0.0, np.inf)):
    return onednn.followed_convolution(**given, clip=clip, strides=(1, 1), pads=WINDOW[1])


@pytest.mark.parametrize("adds", [False, True])
@pytest.mark.parametrize("clip", CLIPS)
def test_against_numpy(adds, clip, installed):
    given = arrays()
    total = np.asarray(onednn.convolution(given["x"], given["kernel"], *WINDOW)) + given["bias"]
    if not adds:
        given["added"] = None
    expected = np.clip(total + given["added"] if adds else total, *clip)
    found = jax.jit(functools.partial(follow, clip=clip))(given)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("name", ["x", "kernel", "bias", "added"])
def test_other_numbers_are_refused(name):
    """Their bytes would be read as if they were others."""
    given = {key: jnp.asarray(array, jnp.bfloat16 if key == name else None) for key, array in arrays().items()}
    with pytest.raises(UserError, match="float32 here, not of bfloat16"):
        follow(given)
    if name in ("x", "kernel"):
        with pytest.raises(UserError, match="float32 here, not of bfloat16"):
            onednn.convolution(given["x"], given["kernel"], *WINDOW)


@pytest.mark.usefixtures("installed")
def test_what_is_added_is_not_written_over():
    """The result is written where it lies: of an array that somebody reads later, a copy."""
    given = {name: jnp.asarray(array) for name, array in arrays().items()}
    before = np.array(given["added"])

    @jax.jit
    def both(given):
        doubled = 2 * given["added"]
        return follow({**given, "added": doubled}), doubled

    _, doubled = both(given)
    np.testing.assert_array_equal(doubled, 2 * before)
    jax.jit(follow)(given)
    np.testing.assert_array_equal(given["added"], before)


@pytest.mark.usefixtures("installed")
def test_what_is_convolved_may_be_what_is_added():
    """It is still read while the result is written: XLA has to copy it, or it would be written over meanwhile."""
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(2, 64, 64, 16)), 0.1 * rng.normal(size=(3, 3, 16, 16))
    x, kernel, bias = (array.astype(np.float32) for array in (x, kernel, rng.normal(size=16)))

    def chain(x, once):
        y = jnp.tanh(x)
        for _ in range(3):
            if once:
                y = follow({"x": y, "kernel": kernel, "bias": bias, "added": y})
            else:
                y = jnp.maximum(onednn.convolution(y, kernel, *WINDOW) + bias + y, 0)
        return y

    expected = jax.jit(lambda x: chain(x, once=False))(x)
    for given in ({}, {"donate_argnums": 0}):
        found = jax.jit(lambda x: chain(x, once=True), **given)(jnp.asarray(x))
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("installed")
def test_networks_of_several_by_vmap():
    given = {name: np.stack([array, 2 * array]) for name, array in arrays().items()}
    found = jax.jit(jax.vmap(follow))(given)
    for number in range(2):
        alone = jax.jit(follow)({name: array[number] for name, array in given.items()})
        np.testing.assert_array_equal(found[number], alone)
