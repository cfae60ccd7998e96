"""ConvNeXt."""

from effjax.models.foreign.names.scheme import Around, Path, Scheme, leaf, number, place

_TIMM = {"depthwise_conv": "conv_dw", "dense1": "mlp.fc1", "dense2": "mlp.fc2"}
_TORCHVISION = {"depthwise_conv": "block.0", "norm": "block.2", "dense1": "block.3", "dense2": "block.5"}
_ORIGINAL = {"depthwise_conv": "dwconv", "dense1": "pwconv1", "dense2": "pwconv2"}


def _scheme(stage: str, halve: str, scale: str, layers: dict[str, str], ends: dict[str, str]) -> Scheme:
    """The names of one library; ``{}`` is the stage's number, and of torchvision's, which counts both, twice that."""

    def name(path: Path, _: Around) -> str:
        if path[0] in ends:
            return f"{ends[path[0]]}.{leaf(path)}"
        first = number(path[0]) - 1
        if path[1].startswith("halve"):
            return f"{halve.format(first, 2 * first)}.{int(path[1] == 'halve_conv')}.{leaf(path)}"
        prefix = f"{stage.format(first, 2 * first + 1)}.{place(path)[1]}"
        return (
            f"{prefix}.{scale}" if path[2] == "layer_scale" else f"{prefix}.{layers.get(path[2], path[2])}.{leaf(path)}"
        )

    return Scheme(name)


#: https://github.com/pytorch/vision/blob/main/torchvision/models/convnext.py
CONVNEXT_TORCHVISION = _scheme(
    "features.{1}",
    "features.{1}",
    "layer_scale",
    _TORCHVISION,
    {"stem_conv": "features.0.0", "stem_norm": "features.0.1", "norm": "classifier.0", "classifier": "classifier.2"},
)
#: https://github.com/huggingface/pytorch-image-models/blob/main/timm/models/convnext.py
CONVNEXT_TIMM = _scheme(
    "stages.{0}.blocks",
    "stages.{0}.downsample",
    "gamma",
    _TIMM,
    {"stem_conv": "stem.0", "stem_norm": "stem.1", "norm": "head.norm", "classifier": "head.fc"},
)
#: https://github.com/facebookresearch/ConvNeXt/blob/main/models/convnext.py
CONVNEXT_ORIGINAL = _scheme(
    "stages.{0}",
    "downsample_layers.{0}",
    "gamma",
    _ORIGINAL,
    {"stem_conv": "downsample_layers.0.0", "stem_norm": "downsample_layers.0.1", "norm": "norm", "classifier": "head"},
)
