"""Weights that others trained with PyTorch, read without PyTorch and without running code.

>>> weights = load_foreign("efficientnet_lite0")
>>> module = effjax.models.create("efficientnet_lite0", weights.num_classes)
>>> logits = module.apply(weights.variables, (pixels / 255 - weights.input.mean) / weights.input.std).logits
"""

from effjax.models.foreign.load import KNOWN, Foreign, InputSpec, input_spec, load_foreign
from effjax.models.foreign.packages import PACKAGES, imagenet_classes
from effjax.models.foreign.pth import read_pth
from effjax.models.foreign.safetensors_files import read_safetensors

__all__ = [
    "KNOWN",
    "PACKAGES",
    "Foreign",
    "InputSpec",
    "imagenet_classes",
    "input_spec",
    "load_foreign",
    "read_pth",
    "read_safetensors",
]
