"""What PyTorch's libraries call the arrays of our models."""

from collections.abc import Mapping

from effjax.models.foreign.names.mobile import LITE_PACKAGE
from effjax.models.foreign.names.plain import CIFAR_VGG
from effjax.models.foreign.names.residual import RESNET, WIDE_RESNET
from effjax.models.foreign.names.scheme import Path, Scheme, Source

__all__ = ["Path", "Scheme", "Source", "schemes_of"]

# By the beginning of the model's name; the longest that fits counts. Which of several a file has, its keys tell.
_SCHEMES: Mapping[str, tuple[Scheme, ...]] = {
    "efficientnet_lite": (LITE_PACKAGE,),
    "resnet": (RESNET,),
    "wrn": (WIDE_RESNET,),
    "vgg": (CIFAR_VGG,),
}


def schemes_of(model: str) -> tuple[Scheme, ...]:
    """The names that a model's arrays may have."""
    return _SCHEMES[max((start for start in _SCHEMES if model.startswith(start)), key=len)]
