"""The images that others' weights were trained on, as their libraries say."""

import pytest

from effjax.errors import UserError
from effjax.models.foreign.load import KNOWN, input_spec

# torchvision and timm; RepDistiller; Inception's; of the Lite networks (pixel − 127) / 128.
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CIFAR = ((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761))
HALF = ((0.5,) * 3, (0.5,) * 3)
LITE = ((127 / 255,) * 3, (128 / 255,) * 3)
SMALL = {"resnet8", "resnet20", "resnet32", "resnet56", "resnet110", "resnet8x4", "resnet32x4", "vgg8", "vgg13"}
SMALL |= {"wrn_16_1", "wrn_16_2", "wrn_40_1", "wrn_40_2", "mobilenet_v2_cifar", "shufflenet_v1", "shufflenet_v2"}
SIZES = {"timm_efficientnet_lite1": 240, "efficientnet_b1": 240, "efficientnet_b2": 260, "efficientnet_b3": 300}
SIZES |= {"efficientnet_b4": 380, "efficientnet_lite1": 240, "efficientnet_lite2": 260, "efficientnet_lite3": 280}
SIZES |= {"efficientnet_lite4": 300}


@pytest.mark.parametrize("name", KNOWN)
def test_scale_and_size_are_those_of_the_library(name):
    spec = input_spec(name)
    if name in SMALL:
        assert (spec.mean, spec.std, spec.size) == (*CIFAR, 32)
        return
    scale = LITE if name.startswith("efficientnet_lite") else HALF if name in ("vit_t_16", "vit_s_16") else IMAGENET
    assert (spec.mean, spec.std) == scale
    assert spec.size == SIZES.get(name, 224)


def test_a_stem_for_small_images_reads_small_images():
    assert input_spec("resnet50", {"stem": "cifar"}) == input_spec("resnet20")
    assert {*SMALL, *SIZES} <= {*KNOWN}
    with pytest.raises(UserError, match=r"model 'resnet5'; .*did you mean 'resnet56'|did you mean 'resnet50'"):
        input_spec("resnet5")
