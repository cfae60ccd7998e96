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
from effjax.models.foreign import names

GOLDENS = np.load(Path(__file__).parent / "goldens" / "cifar_mobile.npz")
SCHEMES = {
    "mobilenet_v2_cifar": names.cifar_mobile_names,
    "shufflenet_v1": names.shufflenet_names,
    "shufflenet_v2": names.shufflenet_names,
}
quick_jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


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
    leaves = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}

    def name(path):
        if path[0] == "classifier":
            return f"network.fc.{leaves[path[-1]]}"
        if len(path) == 2:
            return f"network.model.0.{int(path[0] == 'stem_norm')}.{leaves[path[-1]]}"
        return f"network.model.{1 + blocks.index(path[:2])}.{places[path[2]]}.{leaves[path[-1]]}"

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
