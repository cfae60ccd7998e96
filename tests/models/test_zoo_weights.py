"""Networks of torchvision and timm: their state dicts, read from a file, give their logits."""

import logging
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from goldens.random_weights import images, random_weights

from effjax import models
from effjax.models.foreign import KNOWN, load_foreign
from effjax.models.foreign.names import schemes_of

ZOO = Path(__file__).parent / "goldens" / "zoo.npz"
# By our name: what the libraries call it, and the side of the golden's images.
NETWORKS = {
    **{name: ((f"torchvision/{name}", f"timm/{name}"), 64) for name in ("resnet18", "resnet50")},
    **{name: ((f"torchvision/{name}",), 64) for name in ("resnet34", "resnet101", "resnet152")},
    **{name: ((f"torchvision/{name}", f"timm/{name}"), 64) for name in ("wide_resnet50_2", "resnext50_32x4d")},
    **{name: ((f"torchvision/{name}",), 64) for name in ("wide_resnet101_2", "resnext101_32x8d")},
    "mobilenet_v2": (("torchvision/mobilenet_v2", "timm/mobilenetv2_100"), 64),
    "mobilenet_v3_large": (("torchvision/mobilenet_v3_large", "timm/mobilenetv3_large_100"), 64),
    "mobilenet_v3_small": (("torchvision/mobilenet_v3_small", "timm/mobilenetv3_small_100"), 64),
    **{f"efficientnet_b{i}": ((f"torchvision/efficientnet_b{i}", f"timm/efficientnet_b{i}"), 64) for i in range(5)},
    "tf_efficientnet_b0": (("timm/tf_efficientnet_b0",), 64),
    "efficientnet_lite0": (("timm/tf_efficientnet_lite0",), 64),
    "timm_efficientnet_lite0": (("timm/efficientnet_lite0",), 64),
    "timm_efficientnet_lite1": (("timm/efficientnet_lite1",), 64),
    "regnet_x_400mf": (("torchvision/regnet_x_400mf",), 64),
    "regnet_x_1_6gf": (("torchvision/regnet_x_1_6gf",), 64),
    "regnet_y_400mf": (("torchvision/regnet_y_400mf", "timm/regnety_004"), 64),
    "regnet_y_8gf": (("torchvision/regnet_y_8gf",), 64),
    "timm_regnet_x_400mf": (("timm/regnetx_004",), 64),
    "timm_regnet_y_8gf": (("timm/regnety_080",), 64),
    "convnext_atto": (("timm/convnext_atto",), 64),
    "convnext_tiny": (("torchvision/convnext_tiny", "timm/convnext_tiny"), 64),
    "convnext_small": (("torchvision/convnext_small",), 64),
    "vgg11": (("torchvision/vgg11", "timm/vgg11"), 224),
    "vgg16_bn": (("torchvision/vgg16_bn", "timm/vgg16_bn"), 224),
    "densenet121": (("torchvision/densenet121",), 64),
    "vit_t_16": (("timm/vit_tiny_patch16_224",), 224),
    "vit_s_16": (("timm/vit_small_patch16_224",), 224),
    "vit_b_16": (("torchvision/vit_b_16",), 224),
    "deit_tiny": (("timm/deit_tiny_patch16_224",), 224),
    "deit_tiny_distilled": (("timm/deit_tiny_distilled_patch16_224",), 224),
    "swin_tiny": (("torchvision/swin_t", "timm/swin_tiny_patch4_window7_224"), 224),
}
CASES = [(name, theirs, size) for name, (both, size) in NETWORKS.items() for theirs in both]
# Its random weights make large numbers of small differences: in single precision it would be another's, 2e-3 off.
DOUBLE = ("timm/efficientnet_b4",)


@pytest.fixture(scope="module")
def zoo():
    with np.load(ZOO) as file:
        return dict(file)


def state_of(zoo, theirs):
    rows = [row.split() for row in zoo[f"{theirs}/shapes"]]
    return random_weights({key: tuple(map(int, shape)) for key, *shape in rows})


def ours(name, weights, pixels):
    module = models.create(name, weights.num_classes)
    apply = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
    return np.asarray(apply(module.apply)(weights.variables, pixels).logits)


@pytest.mark.parametrize(("name", "theirs", "size"), CASES, ids=[case[1] for case in CASES])
def test_networks_have_the_originals_logits(name, theirs, size, zoo, tmp_path):
    state = state_of(zoo, theirs)
    safetensors.numpy.save_file({f"module.{key}": array for key, array in state.items()}, tmp_path / "w.safetensors")
    weights = load_foreign(name, tmp_path / "w.safetensors")
    if theirs in DOUBLE:
        with jax.enable_x64(True):
            module = models.create(name, weights.num_classes).clone(dtype=jnp.float64)
            wide = jax.tree.map(np.float64, weights.variables)
            found = np.asarray(jax.jit(module.apply)(wide, images(2, size, size, 3).astype(np.float64)).logits)
    else:
        found = ours(name, weights, images(2, size, size, 3))
    expected = zoo[f"{theirs}/logits"]
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
    # Two classifiers' biases are one.
    merged = 1000 if name.endswith("distilled") else 0
    params = sum(leaf.size for leaf in jax.tree.leaves(weights.variables))
    assert params == sum(array.size for array in state.values()) - merged


ONE_OF_EACH = (
    *("resnet18", "wrn_16_1", "regnet_y_400mf", "vgg8", "vgg16_bn", "mobilenet_v2", "mobilenet_v3_small"),
    *("efficientnet_b0", "efficientnet_lite0", "convnext_atto", "deit_tiny", "deit_tiny_distilled", "swin_tiny"),
)


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_every_name_stands_for_one_array(name):
    side = 224 if name.startswith(("deit", "swin", "vgg16")) else 32
    shapes = jax.eval_shape(models.create(name, 7).init, jax.random.key(0), jnp.zeros((1, side, side, 3)))
    leaves = jax.tree_util.tree_leaves_with_path(shapes)
    paths = [tuple(part.key for part in path[1:]) for path, _ in leaves]
    for scheme in schemes_of(name):
        used = zip(paths, scheme.sources(paths), strict=True)
        # Tokens share a table of positions.
        alone = [source.keys for path, source in used if not path[0].endswith(("_position", "position_table"))]
        assert len(set(alone)) == len(alone)


@pytest.mark.parametrize("name", ["vgg11", "vgg16_bn"])
def test_networks_without_shortcuts_have_the_originals_names(name, zoo):
    """In sequences that number non-linearities too; the first dense layer reads channels of 7×7 places."""
    shapes = jax.eval_shape(models.create(name, 1000).init, jax.random.key(0), jnp.zeros((1, 224, 224, 3)))
    leaves = jax.tree_util.tree_leaves_with_path(shapes)
    paths = [tuple(part.key for part in path[1:]) for path, _ in leaves]
    for scheme, library in zip(schemes_of(name), ("torchvision", "timm"), strict=True):
        sources = dict(zip(paths, scheme.sources(paths), strict=True))
        theirs = {row.split()[0] for row in zoo[f"{library}/{name}/shapes"]}
        assert {key for source in sources.values() for key in source.keys} == {
            key for key in theirs if not key.endswith("num_batches_tracked")
        }
        whole = np.arange(2 * 3 * 49).reshape(2, 3, 7, 7)  # of two outputs and three channels
        ours = sources["dense1", "kernel"].lay(whole.reshape(2, -1))
        np.testing.assert_array_equal(ours.reshape(7, 7, 3, 2), whole.transpose(2, 3, 1, 0))


def test_all_that_is_known_is_a_model_and_has_names():
    for name in KNOWN:
        assert name in models.NAMES
        assert schemes_of(name)


def test_files_of_before_and_what_are_no_weights(zoo, tmp_path):
    state = state_of(zoo, "torchvision/densenet121")
    before = {key.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): array for key, array in state.items()}
    assert "features.denseblock1.denselayer1.norm.1.weight" in before
    before |= {"features.norm0.num_batches_tracked": np.array(3)}
    safetensors.numpy.save_file(before, tmp_path / "w.safetensors")
    weights = load_foreign("densenet121", tmp_path / "w.safetensors")
    kernel = weights.variables["params"]["block1"]["layer1_grow"]["conv"]["kernel"]
    np.testing.assert_array_equal(kernel, state["features.denseblock1.denselayer1.conv2.weight"].transpose(2, 3, 1, 0))


def test_what_names_do_not_tell_is_said(zoo, tmp_path, caplog):
    safetensors.numpy.save_file(state_of(zoo, "timm/efficientnet_lite0"), tmp_path / "w.safetensors")
    with caplog.at_level(logging.INFO, "effjax"):
        load_foreign("efficientnet_lite0", tmp_path / "w.safetensors")
    (said,) = caplog.messages
    assert "read as timm's tf_efficientnet_lite, padded as TensorFlow" in said
    assert "timm_efficientnet_lite here" in said


def test_swin_as_its_authors_wrote_it_has_the_same_weights(zoo, tmp_path):
    state = state_of(zoo, "timm/swin_tiny_patch4_window7_224")
    original = {}
    for key, array in state.items():
        parts = key.split(".")
        if "downsample" in parts:
            parts[1] = str(int(parts[1]) - 1)
        original[".".join(parts).replace("head.fc", "head")] = array
    original |= {"layers.0.blocks.1.attn_mask": np.zeros((64, 49, 49), np.float32)}
    original |= {"layers.0.blocks.0.attn.relative_position_index": np.zeros((49, 49), np.int64)}
    for file, arrays in (("timm", state), ("original", original)):
        safetensors.numpy.save_file(arrays, tmp_path / f"{file}.safetensors")
    read = [load_foreign("swin_tiny", tmp_path / f"{file}.safetensors").variables for file in ("timm", "original")]
    jax.tree.map(np.testing.assert_array_equal, *read)


def test_the_file_s_own_image_size_is_the_position_table_s(zoo, tmp_path):
    state = state_of(zoo, "timm/deit_tiny_patch16_224")
    state["pos_embed"] = np.random.default_rng(0).normal(size=(1, 1 + 24 * 24, 192)).astype(np.float32)
    safetensors.numpy.save_file(state, tmp_path / "w.safetensors")
    params = load_foreign("deit_tiny", tmp_path / "w.safetensors").variables["params"]
    assert params["position_table"].shape == (24, 24, 192)
    np.testing.assert_array_equal(params["position_table"][1, 2], state["pos_embed"][0, 1 + 24 + 2])
