"""The mobile networks of comparisons on CIFAR: the originals' logits, their sizes, and how channels are shuffled."""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from goldens.random_weights import images, random_weights

from effjax import models
from effjax.models.cifar_mobile import shuffled

GOLDENS = np.load(Path(__file__).parent / "goldens" / "cifar_mobile.npz")
quick_jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def loaded(name, goldens, folder):
    """The weights that the original was given, from a file as its training writes it."""
    rows = [row.split() for row in goldens[f"{name}/shapes"]]
    state = random_weights({key: tuple(map(int, shape)) for key, *shape in rows})
    safetensors.numpy.save_file(state, folder / "weights.safetensors")
    weights = models.load_foreign(name, folder / "weights.safetensors")
    assert models.count_params(weights.variables) == sum(array.size for array in state.values())  # each once
    return weights


@pytest.mark.parametrize("name", ["mobilenet_v2_cifar", "shufflenet_v1", "shufflenet_v2"])
def test_they_have_the_originals_logits(name, tmp_path):
    weights = loaded(name, GOLDENS, tmp_path)
    assert weights.num_classes == 100
    apply = quick_jit(models.create(name, 100).apply)
    found = np.asarray(apply(weights.variables, images(2, 32, 32, 3)).logits)
    expected = GOLDENS[f"{name}/logits"]
    assert np.abs(expected).max() > 0.1
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()


def test_mobilenet_v1_has_the_originals_logits(tmp_path):
    golden = np.load(Path(__file__).parent / "goldens" / "mobilenet_v1.npz")
    module = models.create("mobilenet_v1", 1000, taps=("stage3", "stage3/preact"))
    found = quick_jit(module.apply)(loaded("mobilenet_v1", golden, tmp_path).variables, images(1, 224, 224, 3))
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


@pytest.mark.parametrize("name", ["shufflenet_v1", "shufflenet_v2"])
def test_what_shufflenets_are_before_their_relu(name):
    module = models.create(name, 5, taps=("stage3/block3", "stage3", "stage3/preact"))
    images = jax.random.normal(jax.random.key(0), (2, 32, 32, 3))
    variables = quick_jit(module.init)(jax.random.key(1), images)
    taps = {path: np.asarray(tap) for path, tap in quick_jit(module.apply)(variables, images).taps.items()}
    before, after = taps["stage3/preact"], taps["stage3"]
    if name == "shufflenet_v2":
        half = before.shape[-1] // 2
        # As the unit's input, which is behind a ReLU, the first half stays; the second is what is computed.
        np.testing.assert_array_equal(before[..., :half], taps["stage3/block3"][..., :half])
        assert (before[..., half:] < 0).any()
        before = np.asarray(shuffled(before, 2))
    assert (before < 0).any()
    np.testing.assert_array_equal(np.maximum(before, 0), after)
