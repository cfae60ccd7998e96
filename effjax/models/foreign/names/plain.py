"""Networks without shortcuts, and densely connected ones: VGGs, DenseNets."""

import numpy as np

from effjax.models.foreign.names.scheme import Around, Path, Scheme, Source, leaf, number


def _cifar_vgg(path: Path, _: Around) -> str:
    """It numbers what is in a block, non-linearities too."""
    module = path[0]
    if module == "classifier":
        return f"classifier.{leaf(path)}"
    block, layer = module.split("_")
    return f"block{number(block) - 1}.{3 * (number(layer) - 1) + layer.startswith('norm')}.{leaf(path)}"


def _vgg(depths: tuple[int, ...], normalized: bool, dense: dict[str, str]) -> Scheme:
    """Torchvision numbers all that there is in one sequence, non-linearities and pooling too."""
    each = 3 if normalized else 2

    def name(path: Path, _: Around) -> str | Source:
        module = path[0]
        if module in dense:
            whole = f"{dense[module]}.{leaf(path)}"
            return Source((whole,), _first_dense) if (module, path[-1]) == ("dense1", "kernel") else whole
        block, layer = module.split("_")
        before = number(block) - 1
        place = each * (sum(depths[:before]) + number(layer) - 1) + before + layer.startswith("norm")
        return f"features.{place}.{leaf(path)}"

    return Scheme(name)


def _first_dense(kernel: np.ndarray) -> np.ndarray:
    """The layer that reads a map of 7×7 places, channel after channel; ours reads place after place."""
    return kernel.reshape(len(kernel), -1, 7, 7).transpose(2, 3, 1, 0).reshape(-1, len(kernel))


def vgg(depths: tuple[int, ...], normalized: bool) -> tuple[Scheme, Scheme]:
    """The names of torchvision and of timm.

    Args:
      depths: convolutions of each block.
      normalized: whether there is batch normalisation.

    References:
      https://github.com/pytorch/vision/blob/main/torchvision/models/vgg.py
      https://github.com/huggingface/pytorch-image-models/blob/main/timm/models/vgg.py
    """
    torchvision = {"dense1": "classifier.0", "dense2": "classifier.3", "classifier": "classifier.6"}
    timm = {"dense1": "pre_logits.fc1", "dense2": "pre_logits.fc2", "classifier": "head.fc"}
    return _vgg(depths, normalized, torchvision), _vgg(depths, normalized, timm)


def _densenet(path: Path, _: Around) -> str:
    if len(path) == 2:
        ends = {"stem_conv": "features.conv0", "stem_norm": "features.norm0", "head_norm": "features.norm5"}
        return f"{ends.get(path[0], path[0])}.{leaf(path)}"
    if path[0].startswith("transition"):
        return f"features.{path[0]}.{path[1]}.{leaf(path)}"
    layer, kind = path[1].split("_")
    which = {"squeeze": 1, "grow": 2}[kind]
    return f"features.dense{path[0]}.dense{layer}.{path[2]}{which}.{leaf(path)}"


#: https://github.com/HobbitLong/RepDistiller/blob/master/models/vgg.py
CIFAR_VGG = Scheme(_cifar_vgg)
#: Torchvision's, which timm has too; files from before 2018 number with a point.
#: https://github.com/pytorch/vision/blob/main/torchvision/models/densenet.py
DENSENET = Scheme(_densenet, renamed=((r"(\.denselayer\d+\.(?:norm|conv))\.([12]\.)", r"\1\2"),))
