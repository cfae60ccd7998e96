"""Residual networks: torchvision's, which are timm's too, and RepDistiller's."""

from effjax.models.foreign.names.scheme import Path, Scheme, leaf, number

_RESNET = (
    {"stem_conv": "conv1", "stem_norm": "bn1", "classifier": "fc"}
    | {"shortcut_conv": "downsample.0", "shortcut_norm": "downsample.1"}
    | {f"norm{i}": f"bn{i}" for i in (1, 2, 3)}
)
_WIDE = {"stem_conv": "conv1", "last_norm": "bn1", "classifier": "fc", "shortcut_conv": "convShortcut"} | {
    f"norm{i}": f"bn{i}" for i in (1, 2)
}


def _resnet(path: Path, _block: int) -> str:
    *blocks, module, _leaf = path
    numbers = [number(part) for part in blocks]
    prefix = f"layer{numbers[0]}.{numbers[1] - 1}." if numbers else ""
    return f"{prefix}{_RESNET.get(module, module)}.{leaf(path)}"


def _wide_resnet(path: Path, _block: int) -> str:
    *blocks, module, _leaf = path
    numbers = [number(part) for part in blocks]
    prefix = f"block{numbers[0]}.layer.{numbers[1] - 1}." if numbers else ""
    return f"{prefix}{_WIDE.get(module, module)}.{leaf(path)}"


#: https://github.com/pytorch/vision/blob/main/torchvision/models/resnet.py
RESNET = Scheme(_resnet)
#: https://github.com/HobbitLong/RepDistiller/blob/master/models/wrn.py
WIDE_RESNET = Scheme(_wide_resnet)
