"""Residual networks: ResNets and their kin, RepDistiller's wide ones, RegNets."""

from effjax.models.foreign.names.scheme import Scheme, in_blocks

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


#: Torchvision's, which timm has too.
#: https://github.com/pytorch/vision/blob/main/torchvision/models/resnet.py
RESNET = Scheme(in_blocks(_RESNET, "layer{2}.{1}"))
#: https://github.com/HobbitLong/RepDistiller/blob/master/models/resnetv2.py,
#: https://github.com/akamaster/pytorch_resnet_cifar10
RESNET_CIFAR = Scheme(in_blocks({**_RESNET, **_RESNET_SHORTCUT}, "layer{2}.{1}"))
#: https://github.com/HobbitLong/RepDistiller/blob/master/models/wrn.py
WIDE_RESNET = Scheme(in_blocks(_WIDE, "block{2}.layer.{1}"))
#: https://github.com/pytorch/vision/blob/main/torchvision/models/regnet.py
REGNET_TORCHVISION = Scheme(in_blocks(_REGNET_TORCHVISION, "trunk_output.block{2}.block{2}-{1}"))
#: https://github.com/huggingface/pytorch-image-models/blob/main/timm/models/regnet.py
REGNET_TIMM = Scheme(in_blocks(_REGNET_TIMM, "s{2}.b{3}"))
