"""The mobile networks of comparisons on CIFAR: the originals' logits, their sizes, and how channels are shuffled."""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from goldens.random_weights import images, random_weights

from effjax import models
from effjax.models.cifar_mobile import shuffled

GOLDENS = np.load(Path(__file__).parent / "goldens" / "cifar_mobile.npz")
LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
quick_jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def named(path, modules, stage):
    """What PyTorch calls an array: of a block ``stage`` with the numbers from 0, or a module of its own."""
    *blocks, module, leaf = path
    numbers = [int(part.removeprefix("stage").removeprefix("block")) - 1 for part in blocks]
    prefix = stage.format(*numbers) if blocks else ""
    return f"{prefix}{modules.get(module, module)}.{LEAVES[leaf]}"


def mobilenet_v2_names(paths):
    """RepDistiller numbers what is in a block, non-linearities too."""
    modules = {"stem_conv": "conv1.0", "stem_norm": "conv1.1", "last_conv": "conv2.0", "last_norm": "conv2.1"}
    modules |= {"classifier": "classifier.0", "expand_conv": "conv.0", "expand_norm": "conv.1"}
    modules |= {"depthwise_conv": "conv.3", "depthwise_norm": "conv.4", "project_conv": "conv.6"}
    modules |= {"project_norm": "conv.7"}
    return {path: named(path, modules, "blocks.{}.{}.") for path in paths}


def shufflenet_names(paths):
    modules = {"stem_conv": "conv1", "stem_norm": "bn1", "last_conv": "conv2", "last_norm": "bn2"}
    modules |= {"classifier": "linear"} | {f"norm{i}": f"bn{i}" for i in range(1, 6)}
    # Layers are numbered from 1 there, blocks from 0.
    layers = {path: (f"stage{int(path[0][-1]) + 1}", *path[1:]) if len(path) == 4 else path for path in paths}
    return {path: named(layers[path], modules, "layer{}.{}.") for path in paths}


SCHEMES = {
    "mobilenet_v2_cifar": mobilenet_v2_names,
    "shufflenet_v1": shufflenet_names,
    "shufflenet_v2": shufflenet_names,
}


def variables_of(name, goldens, num_classes, scheme):
    """The arrays that the original was given, where our variables lie."""
    rows = [row.split() for row in goldens[f"{name}/shapes"]]
    state = random_weights({key: tuple(map(int, shape)) for key, *shape in rows})
    module = models.create(name, num_classes)
    expected = jax.eval_shape(module.init, jax.random.key(0), jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32))
    leaves, tree = jax.tree.flatten_with_path(expected)
    paths = [tuple(key.key for key in path)[1:] for path, _ in leaves]
    theirs = scheme(paths)
    assert sorted(theirs.values()) == sorted(state)  # each of theirs once, and no other
    arrays = [state[theirs[path]] for path in paths]
    arrays = [array.transpose((2, 3, 1, 0)) if array.ndim == 4 else array.T for array in arrays]
    assert [array.shape for array in arrays] == [leaf.shape for _, leaf in leaves]
    return module, jax.tree.unflatten(tree, arrays)


@pytest.mark.parametrize("name", SCHEMES)
def test_they_have_the_originals_logits(name):
    module, variables = variables_of(name, GOLDENS, 100, SCHEMES[name])
    found = np.asarray(quick_jit(module.apply)(variables, images(2, 32, 32, 3)).logits)
    expected = GOLDENS[f"{name}/logits"]
    assert np.abs(expected).max() > 0.1
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()


def mobilenet_v1_names(paths):
    """mdistiller numbers all layers: the stem, then 13 blocks of two convolutions each."""
    blocks = sorted({path[:2] for path in paths if len(path) == 4})
    places = {"depthwise_conv": 0, "depthwise_norm": 1, "pointwise_conv": 3, "pointwise_norm": 4}

    def name(path):
        if path[0] == "classifier":
            return f"network.fc.{LEAVES[path[-1]]}"
        if len(path) == 2:
            return f"network.model.0.{int(path[0] == 'stem_norm')}.{LEAVES[path[-1]]}"
        return f"network.model.{1 + blocks.index(path[:2])}.{places[path[2]]}.{LEAVES[path[-1]]}"

    return {path: name(path) for path in paths}


def test_mobilenet_v1_has_the_originals_logits():
    golden = np.load(Path(__file__).parent / "goldens" / "mobilenet_v1.npz")
    module, variables = variables_of("mobilenet_v1", golden, 1000, mobilenet_v1_names)
    module = module.clone(taps=("stage3", "stage3/preact"))
    found = quick_jit(module.apply)(variables, images(1, 224, 224, 3))
    expected = golden["mobilenet_v1/logits"]
    assert np.abs(found.logits - expected).max() < 1e-4 * np.abs(expected).max()
    before = np.asarray(found.taps["stage3/preact"])
    assert (before < 0).any()
    np.testing.assert_array_equal(np.maximum(before, 0), found.taps["stage3"])


@pytest.mark.parametrize(
    ("name", "options", "exact"),
    [
        ("mobilenet_v2_cifar", {}, 812_836),
        ("shufflenet_v1", {}, 949_258),
        ("shufflenet_v2", {}, 1_355_528),
        ("resnet50", {"stem": "cifar"}, 23_705_252),
    ],
)
def test_they_have_the_originals_parameters(name, options, exact):
    module = models.create(name, 100, **options)
    found = jax.eval_shape(module.init, jax.random.key(0), jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32))
    assert models.count_params(found["params"]) == exact


def test_shuffled_channels_come_from_each_group_in_turn():
    x = np.arange(24).reshape(2, 12)
    for groups in (1, 2, 3):
        expected = x.reshape(2, groups, 12 // groups).transpose(0, 2, 1).reshape(2, 12)
        np.testing.assert_array_equal(shuffled(x, groups), expected)
