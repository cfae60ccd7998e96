"""Residual networks: ResNets and their kin, RepDistiller's wide ones, RegNets."""

from collections.abc import Mapping

from effjax.models.foreign.names.scheme import Around, Path, Scheme, leaf, number, place

_RESNET = (
    {"stem_conv": "conv1", "stem_norm": "bn1", "classifier": "fc"}
    | {"shortcut_conv": "downsample.0", "shortcut_norm": "downsample.1"}
    | {f"norm{i}": f"bn{i}" for i in (1, 2, 3)}
)
# As RepDistiller's ResNet50 and many networks for CIFAR have them.
_RESNET_SHORTCUT = {"classifier": "linear", "shortcut_conv": "shortcut.0", "shortcut_norm": "shortcut.1"}
_WIDE = {"stem_conv": "conv1", "last_norm": "bn1", "classifier": "fc", "shortcut_conv": "convShortcut"} | {
    f"norm{i}": f"bn{i}" for i in (1, 2)
}
_REGNET_TORCHVISION = (
    {"stem_conv": "stem.0", "stem_norm": "stem.1", "classifier": "fc"}
    | {"shortcut_conv": "proj.0", "shortcut_norm": "proj.1", "squeeze": "f.se.fc1", "excite": "f.se.fc2"}
    | {f"{ours}{i + 1}": f"f.{'abc'[i]}.{j}" for i in range(3) for j, ours in enumerate(("conv", "norm"))}
)
_REGNET_TIMM = (
    {"stem_conv": "stem.conv", "stem_norm": "stem.bn", "classifier": "head.fc"}
    | {"shortcut_conv": "downsample.conv", "shortcut_norm": "downsample.bn", "squeeze": "se.fc1", "excite": "se.fc2"}
    | {f"conv{i}": f"conv{i}.conv" for i in (1, 2, 3)}
    | {f"norm{i}": f"conv{i}.bn" for i in (1, 2, 3)}
)


def _resnet(path: Path, names: Mapping[str, str] = _RESNET) -> str:
    prefix = f"layer{place(path)[0] + 1}.{place(path)[1]}." if len(path) == 4 else ""
    return f"{prefix}{names.get(path[-2], path[-2])}.{leaf(path)}"


def _wide_resnet(path: Path, _: Around) -> str:
    prefix = f"block{number(path[0])}.layer.{number(path[1]) - 1}." if len(path) == 4 else ""
    return f"{prefix}{_WIDE.get(path[-2], path[-2])}.{leaf(path)}"


def _regnet_torchvision(path: Path, _: Around) -> str:
    stage, block = place(path) if len(path) == 4 else (0, 0)
    prefix = f"trunk_output.block{stage + 1}.block{stage + 1}-{block}." if len(path) == 4 else ""
    return f"{prefix}{_REGNET_TORCHVISION[path[-2]]}.{leaf(path)}"


def _regnet_timm(path: Path, _: Around) -> str:
    prefix = f"s{number(path[0])}.b{number(path[1])}." if len(path) == 4 else ""
    return f"{prefix}{_REGNET_TIMM[path[-2]]}.{leaf(path)}"


#: Torchvision's, which timm has too.
#: https://github.com/pytorch/vision/blob/main/torchvision/models/resnet.py
RESNET = Scheme(lambda path, _: _resnet(path))
#: https://github.com/HobbitLong/RepDistiller/blob/master/models/resnetv2.py,
#: https://github.com/akamaster/pytorch_resnet_cifar10
RESNET_CIFAR = Scheme(lambda path, _: _resnet(path, {**_RESNET, **_RESNET_SHORTCUT}))
#: https://github.com/HobbitLong/RepDistiller/blob/master/models/wrn.py
WIDE_RESNET = Scheme(_wide_resnet)
#: https://github.com/pytorch/vision/blob/main/torchvision/models/regnet.py
REGNET_TORCHVISION = Scheme(_regnet_torchvision)
#: https://github.com/huggingface/pytorch-image-models/blob/main/timm/models/regnet.py
REGNET_TIMM = Scheme(_regnet_timm)
