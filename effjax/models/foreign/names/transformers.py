"""Vision transformers, with a token for the class or with windows."""

from collections.abc import Callable

import numpy as np

from effjax.models.foreign.names.scheme import Around, Path, Scheme, Source, leaf, number, patches, place

_TIMM = {"attention/qkv": "attn.qkv", "attention/out": "attn.proj", "mlp/dense1": "mlp.fc1", "mlp/dense2": "mlp.fc2"}
_VIT_TORCHVISION = {"norm1": "ln_1", "norm2": "ln_2", "attention/qkv": "self_attention.in_proj"} | {
    "attention/out": "self_attention.out_proj",
    "mlp/dense1": "mlp.0",
    "mlp/dense2": "mlp.3",
}
_SWIN_TORCHVISION = {**_TIMM, "mlp/dense1": "mlp.0", "mlp/dense2": "mlp.3"}


def _vit_timm(path: Path, _: Around) -> str | Source:
    return _token(path, "pos_embed", "cls_token", 1) or _layer(
        path, "blocks.{}", _TIMM, "patch_embed.proj", "norm", "head"
    )


def _deit_distilled(path: Path, _: Around) -> str | Source:
    """The mean of two classifiers' logits is one linear layer of both tokens."""
    if path[0] == "classifier":
        combine = _half_of_each if path[-1] == "kernel" else _half
        return Source((f"head.{leaf(path)}", f"head_dist.{leaf(path)}"), combine)
    return _token(path, "pos_embed", "cls_token", 2) or _vit_timm(path, _)


def _vit_torchvision(path: Path, _: Around) -> str | Source:
    found = _token(path, "encoder.pos_embedding", "class_token", 1)
    name = "encoder.layers.encoder_layer_{}"
    found = found or _layer(path, name, _VIT_TORCHVISION, "conv_proj", "encoder.ln", "heads.head")
    # Multi-head attention has its first product's arrays for itself.
    return found.replace("in_proj.", "in_proj_") if isinstance(found, str) else found


def _token(path: Path, positions: str, class_token: str, tokens: int) -> Source | None:
    """Tokens and positions: the table is ``[1, tokens + patches, D]``, and the patches are a square."""

    def grid(table: np.ndarray) -> np.ndarray:
        side = round((table.shape[1] - tokens) ** 0.5)
        return table[0, tokens:].reshape(side, side, -1)

    return {
        "class_token": Source((class_token,), np.ravel),
        "distillation_token": Source(("dist_token",), np.ravel),
        "class_position": Source((positions,), lambda table: table[0, 0]),
        "distillation_position": Source((positions,), lambda table: table[0, 1]),
        "position_table": Source((positions,), grid),
    }.get(path[0])


def _layer(path: Path, block: str, layers: dict[str, str], embed: str, norm: str, head: str) -> str | Source:
    if path[0].startswith("block"):
        module = "/".join(path[1:-1])
        return f"{block.format(number(path[0]) - 1)}.{layers.get(module, module)}.{leaf(path)}"
    name = f"{ {'embed': embed, 'norm': norm, 'classifier': head}[path[0]] }.{leaf(path)}"
    return Source((name,), patches) if path == ("embed", "kernel") else name


def _half(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return (one + other) / 2


def _half_of_each(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.concatenate([one.T, other.T]) / 2


def _swin_torchvision(path: Path, _: Around) -> str | Source:
    return _swin(
        path,
        stage=lambda i: f"features.{2 * i + 1}",
        merge=lambda i: f"features.{2 * i}",
        layers=_SWIN_TORCHVISION,
        ends={"embed": "features.0.0", "stem_norm": "features.0.2", "norm": "norm", "classifier": "head"},
    )


def _swin_timm(path: Path, _: Around) -> str | Source:
    return _swin(
        path,
        stage=lambda i: f"layers.{i}.blocks",
        merge=lambda i: f"layers.{i}.downsample",
        layers=_TIMM,
        ends={"embed": "patch_embed.proj", "stem_norm": "patch_embed.norm", "norm": "norm", "classifier": "head.fc"},
    )


def _swin_original(path: Path, _: Around) -> str | Source:
    """A stage ends with what halves the next one's grid."""
    return _swin(
        path,
        stage=lambda i: f"layers.{i}.blocks",
        merge=lambda i: f"layers.{i - 1}.downsample",
        layers=_TIMM,
        ends={"embed": "patch_embed.proj", "stem_norm": "patch_embed.norm", "norm": "norm", "classifier": "head"},
    )


def _swin(
    path: Path, stage: Callable[[int], str], merge: Callable[[int], str], layers: dict[str, str], ends: dict[str, str]
) -> str | Source:
    if path[-1] == "position_table":
        first, block = place(path)
        return Source((f"{stage(first)}.{block}.attn.relative_position_bias_table",), _window)
    if path[0] in ends:
        name = f"{ends[path[0]]}.{leaf(path)}"
        return Source((name,), patches) if path == ("embed", "kernel") else name
    if path[1].startswith("merge"):
        module = {"merge": "reduction", "merge_norm": "norm"}[path[1]]
        return Source((f"{merge(number(path[0]) - 1)}.{module}.{leaf(path)}",), _merged)
    first, block = place(path)
    module = "/".join(path[2:-1])
    return f"{stage(first)}.{block}.{layers.get(module, module)}.{leaf(path)}"


def _window(table: np.ndarray) -> np.ndarray:
    """The bias by relative position, ``[(2h − 1) · (2w − 1), heads]``, of a square window."""
    side = round(len(table) ** 0.5)
    return table.reshape(side, side, -1)


def _merged(array: np.ndarray) -> np.ndarray:
    """Of four neighbours' channels: theirs lie column by column, ours row by row."""
    columns = array.reshape(*array.shape[:-1], 2, 2, -1)
    return np.swapaxes(columns, -3, -2).reshape(array.shape).T


_SWIN_TABLES = r".*(num_batches_tracked|relative_position_index|attn_mask)"
#: ViT and DeiT, https://github.com/huggingface/pytorch-image-models/blob/main/timm/models/vision_transformer.py
VIT_TIMM = Scheme(_vit_timm)
#: https://github.com/facebookresearch/deit/blob/main/models.py
DEIT_DISTILLED = Scheme(_deit_distilled)
#: https://github.com/pytorch/vision/blob/main/torchvision/models/vision_transformer.py; its published files have the
#: names of before.
VIT_TORCHVISION = Scheme(
    _vit_torchvision, renamed=((r"\.mlp\.linear_1\.", ".mlp.0."), (r"\.mlp\.linear_2\.", ".mlp.3."))
)
#: https://github.com/pytorch/vision/blob/main/torchvision/models/swin_transformer.py
SWIN_TORCHVISION = Scheme(_swin_torchvision, ignored=_SWIN_TABLES)
#: https://github.com/huggingface/pytorch-image-models/blob/main/timm/models/swin_transformer.py
SWIN_TIMM = Scheme(_swin_timm, ignored=_SWIN_TABLES)
#: https://github.com/microsoft/Swin-Transformer/blob/main/models/swin_transformer.py
SWIN_ORIGINAL = Scheme(_swin_original, ignored=_SWIN_TABLES)
