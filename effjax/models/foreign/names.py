"""What PyTorch calls the arrays of our models."""

import re
from collections.abc import Callable, Iterable, Sequence

Path = tuple[str, ...]

_LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}


def resnet_names(paths: Iterable[Path]) -> dict[Path, str]:
    """The names of torchvision's ResNets, which timm's have too.

    Args:
      paths: of our arrays, e.g. ``("stage1", "block2", "conv1", "kernel")``.

    Returns:
      Their names, e.g. ``"layer1.1.conv1.weight"``, by path.

    References:
      https://github.com/pytorch/vision/blob/main/torchvision/models/resnet.py
    """
    modules = {"stem_conv": "conv1", "stem_norm": "bn1", "classifier": "fc"}
    modules |= {"shortcut_conv": "downsample.0", "shortcut_norm": "downsample.1"}
    modules |= {f"norm{i}": f"bn{i}" for i in (1, 2, 3)}

    def name(path: Path) -> str:
        *blocks, module, leaf = path
        numbers = [_number(part) for part in blocks]
        prefix = f"layer{numbers[0]}.{numbers[1] - 1}." if numbers else ""
        return f"{prefix}{modules.get(module, module)}.{_LEAVES[leaf]}"

    return {path: name(path) for path in paths}


def efficientnet_lite_names(paths: Iterable[Path]) -> dict[Path, str]:
    """The names of the package efficientnet-lite-pytorch, which numbers blocks through all stages.

    Args:
      paths: of our arrays, e.g. ``("stage2", "block1", "expand_conv", "kernel")``.

    Returns:
      Their names, e.g. ``"_blocks.1._expand_conv.weight"``, by path.

    References:
      https://github.com/ml-illustrated/EfficientNet-Lite-PyTorch
    """
    modules = {"stem_conv": "_conv_stem", "head_conv": "_conv_head", "classifier": "_fc"}
    modules |= {f"{part}_conv": f"_{part}_conv" for part in ("expand", "depthwise", "project")}
    modules |= {"stem_norm": "_bn0", "expand_norm": "_bn0", "depthwise_norm": "_bn1", "project_norm": "_bn2"}
    modules |= {"head_norm": "_bn1"}
    paths = list(paths)
    blocks = sorted({path[:2] for path in paths if len(path) == 4}, key=lambda block: [*map(_number, block)])

    def name(path: Path) -> str:
        prefix = f"_blocks.{blocks.index(path[:2])}." if len(path) == 4 else ""
        return f"{prefix}{modules[path[-2]]}.{_LEAVES[path[-1]]}"

    return {path: name(path) for path in paths}


def wide_resnet_names(paths: Iterable[Path]) -> dict[Path, str]:
    """The names of RepDistiller's wide ResNets.

    Args:
      paths: of our arrays, e.g. ``("stage1", "block2", "conv1", "kernel")``.

    Returns:
      Their names, e.g. ``"block1.layer.1.conv1.weight"``, by path.

    References:
      https://github.com/HobbitLong/RepDistiller/blob/master/models/wrn.py
    """
    modules = {"stem_conv": "conv1", "last_norm": "bn1", "classifier": "fc", "shortcut_conv": "convShortcut"}
    modules |= {f"norm{i}": f"bn{i}" for i in (1, 2)}

    def name(path: Path) -> str:
        *blocks, module, leaf = path
        numbers = [_number(part) for part in blocks]
        prefix = f"block{numbers[0]}.layer.{numbers[1] - 1}." if numbers else ""
        return f"{prefix}{modules.get(module, module)}.{_LEAVES[leaf]}"

    return {path: name(path) for path in paths}


def vgg_names(paths: Iterable[Path]) -> dict[Path, str]:
    """The names of RepDistiller's VGGs, which number what is in a block, non-linearities too.

    Args:
      paths: of our arrays, e.g. ``("block2_conv1", "kernel")``.

    Returns:
      Their names, e.g. ``"block1.0.weight"``, by path.

    References:
      https://github.com/HobbitLong/RepDistiller/blob/master/models/vgg.py
    """

    def name(path: Path) -> str:
        module, leaf = path
        if module == "classifier":
            return f"classifier.{_LEAVES[leaf]}"
        block, layer = module.split("_")
        place = 3 * (_number(layer) - 1) + layer.startswith("norm")
        return f"block{_number(block) - 1}.{place}.{_LEAVES[leaf]}"

    return {path: name(path) for path in paths}


def _number(part: str) -> int:
    return int(re.sub(r"\D", "", part))


# By the beginning of the model's name.
NAMES: Sequence[tuple[str, Callable[[Iterable[Path]], dict[Path, str]]]] = (
    ("efficientnet_lite", efficientnet_lite_names),
    ("resnet", resnet_names),
    ("wrn", wide_resnet_names),
    ("vgg", vgg_names),
)
