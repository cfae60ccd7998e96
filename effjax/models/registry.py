"""Models by name."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn

from effjax.errors import UserError, check_known, nearest, shown
from effjax.models.cifar_mobile import CifarMobileNetV2, CifarShuffleNetV1, CifarShuffleNetV2
from effjax.models.convnext import ConvNext
from effjax.models.densenet import DenseNet, ImageNetDenseNet
from effjax.models.efficientnet import EfficientNet, LargeEfficientNet, TimmEfficientNetLite, VeryLargeEfficientNet
from effjax.models.efficientnet_lite import EfficientNetLite, LargeEfficientNetLite
from effjax.models.fcos import Fcos
from effjax.models.mlp import Mlp
from effjax.models.mobilenet import MobileNetV2, MobileNetV3
from effjax.models.mobilenet_v1 import MobileNetV1
from effjax.models.options import check_option
from effjax.models.regnet import RegNet
from effjax.models.resnet import AggregatedResNet, CifarResNet, ImageNetResNet
from effjax.models.scnn import Scnn
from effjax.models.swin import Swin
from effjax.models.vgg import CifarVgg, Vgg
from effjax.models.vit import Deit, DistilledDeit, Vit
from effjax.models.vqa import PATCHES, STORED, VqaAttention
from effjax.models.wide_resnet import WideResNet

_cifar = partial(CifarResNet, channels=(16, 32, 64), stem_channels=None, bottleneck=False)
#: As comparisons of distillation on CIFAR have them: four times as wide, but for the stem, with projections.
_wide_cifar = partial(CifarResNet, channels=(64, 128, 256), stem_channels=32, shortcut="projection", bottleneck=False)
_imagenet = partial(ImageNetResNet, channels=(64, 128, 256, 512), stem_channels=None)
_aggregated = partial(AggregatedResNet, channels=(64, 128, 256, 512), stem_channels=None, bottleneck=True)
_efficientnet = partial(EfficientNet, like_tensorflow=False)
_vit = partial(Vit, patch=16, blocks=12, mlp_ratio=4.0)
_deit = partial(Deit, patch=16, blocks=12, mlp_ratio=4.0)
_distilled = partial(DistilledDeit, patch=16, blocks=12, mlp_ratio=4.0)


def _regnet(
    depth: int, first_width: int, slope: float, step: float, group_width: int, *, squeezes: bool, nearest: bool = False
) -> Callable[..., nn.Module]:
    """By the paper's numbers: d, w₀, wₐ, wₘ and g."""
    sizes = {"depth": depth, "first_width": first_width, "slope": slope, "step": step, "group_width": group_width}
    return partial(RegNet, **sizes, squeezes=squeezes, nearest=nearest)


_SHARED = ("dtype", "axis_name")  # with what a model is built on, where that has them


def _backbone(name: str, head: nn.Module, given: dict[str, Any]) -> nn.Module:
    """A model that another is built on.

    Raises:
      UserError: if it has not an option that is meant for it; not every network has those of ``_SHARED``.
    """
    known = options(name)
    for option in given:
        if option not in ("name", *_SHARED):
            check_known(option, known, f"model option {option!r}: the backbone {name!r} has none")
    kept = {option: value for option, value in given.items() if option in known}
    return _MODELS[name](num_classes=1, head=head, name=given["name"], **kept)


# A line a model. What is bound here is what the name says; every other field of the module is an option.
_MODELS: dict[str, Callable[..., nn.Module]] = {
    "mlp": partial(Mlp),
    "scnn": partial(Scnn),
    "resnet8": partial(_cifar, depths=(1, 1, 1)),
    "resnet20": partial(_cifar, depths=(3, 3, 3)),
    "resnet32": partial(_cifar, depths=(5, 5, 5)),
    "resnet56": partial(_cifar, depths=(9, 9, 9)),
    "resnet110": partial(_cifar, depths=(18, 18, 18)),
    "resnet8x4": partial(_wide_cifar, depths=(1, 1, 1)),
    "resnet32x4": partial(_wide_cifar, depths=(5, 5, 5)),
    "wrn_16_1": partial(WideResNet, depth=16, widen=1),
    "wrn_16_2": partial(WideResNet, depth=16, widen=2),
    "wrn_40_1": partial(WideResNet, depth=40, widen=1),
    "wrn_40_2": partial(WideResNet, depth=40, widen=2),
    "vgg8": partial(CifarVgg, depths=(1, 1, 1, 1, 1)),
    "vgg13": partial(CifarVgg, depths=(2, 2, 2, 2, 2)),
    "mobilenet_v2_cifar": partial(CifarMobileNetV2),
    "shufflenet_v1": partial(CifarShuffleNetV1),
    "shufflenet_v2": partial(CifarShuffleNetV2),
    "mobilenet_v1": partial(MobileNetV1),
    "resnet18": partial(_imagenet, depths=(2, 2, 2, 2), bottleneck=False),
    "resnet34": partial(_imagenet, depths=(3, 4, 6, 3), bottleneck=False),
    "resnet50": partial(_imagenet, depths=(3, 4, 6, 3), bottleneck=True),
    "resnet101": partial(_imagenet, depths=(3, 4, 23, 3), bottleneck=True),
    "resnet152": partial(_imagenet, depths=(3, 8, 36, 3), bottleneck=True),
    "wide_resnet50_2": partial(_aggregated, depths=(3, 4, 6, 3), groups=1, group_width=128),
    "wide_resnet101_2": partial(_aggregated, depths=(3, 4, 23, 3), groups=1, group_width=128),
    "resnext50_32x4d": partial(_aggregated, depths=(3, 4, 6, 3), groups=32, group_width=4),
    "resnext101_32x8d": partial(_aggregated, depths=(3, 4, 23, 3), groups=32, group_width=8),
    "regnet_x_400mf": _regnet(22, 24, 24.48, 2.54, 16, squeezes=False),
    "regnet_x_800mf": _regnet(16, 56, 35.73, 2.28, 16, squeezes=False),
    "regnet_x_1_6gf": _regnet(18, 80, 34.01, 2.25, 24, squeezes=False),
    "regnet_x_3_2gf": _regnet(25, 88, 26.31, 2.25, 48, squeezes=False),
    "regnet_y_400mf": _regnet(16, 48, 27.89, 2.09, 8, squeezes=True),
    "regnet_y_800mf": _regnet(14, 56, 38.84, 2.4, 16, squeezes=True),
    "regnet_y_1_6gf": _regnet(27, 48, 20.71, 2.65, 24, squeezes=True),
    "regnet_y_3_2gf": _regnet(21, 80, 42.63, 2.66, 24, squeezes=True),
    "regnet_y_8gf": _regnet(17, 192, 76.82, 2.19, 56, squeezes=True),
    "timm_regnet_x_400mf": _regnet(22, 24, 24.48, 2.54, 16, squeezes=False, nearest=True),
    "timm_regnet_y_800mf": _regnet(14, 56, 38.84, 2.4, 16, squeezes=True, nearest=True),
    "timm_regnet_y_8gf": _regnet(17, 192, 76.82, 2.19, 56, squeezes=True, nearest=True),
    "vgg11": partial(Vgg, depths=(1, 1, 2, 2, 2), normalized=False),
    "vgg16": partial(Vgg, depths=(2, 2, 3, 3, 3), normalized=False),
    "vgg16_bn": partial(Vgg, depths=(2, 2, 3, 3, 3), normalized=True),
    "densenet": partial(DenseNet),
    "densenet121": partial(ImageNetDenseNet, depths=(6, 12, 24, 16), growth=32),
    "mobilenet_v2": partial(MobileNetV2),
    "mobilenet_v3_large": partial(MobileNetV3, small=False),
    "mobilenet_v3_small": partial(MobileNetV3, small=True),
    "convnext_atto": partial(ConvNext, depths=(2, 2, 6, 2), dim=40),
    "convnext_tiny": partial(ConvNext, depths=(3, 3, 9, 3), dim=96),
    "convnext_small": partial(ConvNext, depths=(3, 3, 27, 3), dim=96),
    "vit": partial(Vit),
    "vit_t_16": partial(_vit, dim=192, heads=3),
    "vit_s_16": partial(_vit, dim=384, heads=6),
    "vit_b_16": partial(_vit, dim=768, heads=12),
    "deit_tiny": partial(_deit, dim=192, heads=3),
    "deit_small": partial(_deit, dim=384, heads=6),
    "deit_base": partial(_deit, dim=768, heads=12),
    "deit_tiny_distilled": partial(_distilled, dim=192, heads=3),
    "deit_small_distilled": partial(_distilled, dim=384, heads=6),
    "swin_tiny": partial(Swin, depths=(2, 2, 6, 2)),
    "efficientnet_lite0": partial(EfficientNetLite, width_factor=1.0, depth_factor=1.0),
    "efficientnet_lite1": partial(EfficientNetLite, width_factor=1.0, depth_factor=1.1),
    "efficientnet_lite2": partial(LargeEfficientNetLite, width_factor=1.1, depth_factor=1.2),
    "efficientnet_lite3": partial(LargeEfficientNetLite, width_factor=1.2, depth_factor=1.4),
    "efficientnet_lite4": partial(LargeEfficientNetLite, width_factor=1.4, depth_factor=1.8),
    "timm_efficientnet_lite0": partial(TimmEfficientNetLite, width_factor=1.0, depth_factor=1.0),
    "timm_efficientnet_lite1": partial(TimmEfficientNetLite, width_factor=1.0, depth_factor=1.1),
    "efficientnet_b0": partial(_efficientnet, width_factor=1.0, depth_factor=1.0),
    "efficientnet_b1": partial(_efficientnet, width_factor=1.0, depth_factor=1.1),
    "efficientnet_b2": partial(LargeEfficientNet, width_factor=1.1, depth_factor=1.2, like_tensorflow=False),
    "efficientnet_b3": partial(LargeEfficientNet, width_factor=1.2, depth_factor=1.4, like_tensorflow=False),
    "efficientnet_b4": partial(VeryLargeEfficientNet, width_factor=1.4, depth_factor=1.8, like_tensorflow=False),
    "tf_efficientnet_b0": partial(EfficientNet, width_factor=1.0, depth_factor=1.0, like_tensorflow=True),
    "fcos": partial(Fcos, make_backbone=_backbone),
    "vqa_attention": partial(VqaAttention, make_backbone=_backbone),
}
NAMES: tuple[str, ...] = tuple(_MODELS)
_BUILT_ON_OTHERS = tuple(name for name, model in _MODELS.items() if "make_backbone" in model.keywords)
_NO_MODELS = {"vqa_attention": (PATCHES, STORED)}  # what may be a backbone besides


def options(name: str) -> dict[str, Any]:
    """Returns the options of a model and their defaults.

    Args:
      name: one of ``NAMES``.

    Raises:
      UserError: if there is no such model.
    """
    if name not in _MODELS:
        raise UserError(f"model {name!r} is unknown; {nearest(name, NAMES)}")
    model = _MODELS[name]
    fixed = {"num_classes", "head", "parent", "name", *model.keywords}
    return {field.name: field.default for field in dataclasses.fields(model.func) if field.name not in fixed}


def create(name: str, num_classes: int, *, head: nn.Module | None = None, **given: Any) -> nn.Module:
    """Makes a model; two calls with equal arguments make equal (and equally hashed) modules.

    Every model is called as ``module.apply(variables, images, train=False, dropout_keys=None)`` and returns
    ``Outputs(preds, taps)``; a classifier's predictions are its logits. ``images`` is float ``[B, H, W, C]``. One that
    answers questions takes them after the images: words by number ``[B, L]``, 0 where there is none.
    ``train`` governs batch normalisation only: with it, pass ``mutable=["batch_stats"]``. ``dropout_keys`` governs
    dropout only: ``[B]`` typed keys, one an example, or None for no dropout; so Monte-Carlo dropout is keys without
    ``train``. Parameters are float32.

    Args:
      name: one of ``NAMES``.
      num_classes: K, of the classifier.
      head: what predicts in the classifier's place, a flax module; its parameters lie at ``head``. It is called as
        ``head(features, train=train, dropout_keys=dropout_keys)`` and returns any tree of predictions ``[B, ...]``.
        ``features`` are the penultimate ones, ``{"penultimate": [B, D]}``, and the backbone's feature maps
        ``[B, h, w, C]`` by stride, finest first: of an EfficientNet-Lite ``stride2`` to ``stride32``, of a vision
        transformer the one of its patches, of a perceptron none.
      **given: what ``options(name)`` lists, as its module documents it; in every model ``dtype`` ("float32" or
        "bfloat16", what is computed in) and ``taps`` (paths, or regular expressions, of the activations to
        return; ``tap_paths`` lists them).

    Returns:
      A flax module.

    Raises:
      UserError: for an unknown name or option, or a value that it does not allow.
    """
    defaults = options(name)
    if not isinstance(num_classes, int) or num_classes < 1:
        raise UserError(f"num_classes={num_classes!r}: allowed: a whole number above 0")
    if head is not None and not isinstance(head, nn.Module):
        raise UserError(f"head={shown(head)}: allowed: a flax module, or None for a classifier")
    for option in given:
        check_known(option, defaults, f"model {name!r} has no option {option!r}")
    if "backbone" in given:
        allowed = (*_NO_MODELS.get(name, ()), *(other for other in NAMES if other not in _BUILT_ON_OTHERS))
        check_known(given["backbone"], allowed, f"model option backbone={shown(given['backbone'])}")
    checked = {option: check_option(option, value, defaults[option]) for option, value in given.items()}
    return _MODELS[name](num_classes=num_classes, head=head, **checked)
