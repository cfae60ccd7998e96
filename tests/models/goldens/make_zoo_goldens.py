"""Writes zoo.npz: logits of torchvision's and timm's networks with weights that numpy draws.

It needs an environment with torch, torchvision and timm:

    python tests/models/goldens/make_zoo_goldens.py [--part=1/3 --out=zoo_1.npz]

By ``library/name``: the state dict's names and shapes, without counters and tables of indices, and the logits of two
images, computed in float64.
"""

import argparse
import pathlib

import numpy as np
import torch
from random_weights import images, random_weights

HERE = pathlib.Path(__file__).parent
SMALL, WHOLE = 64, 224  # pixels; networks whose parameters are made for a size get that
TORCHVISION = {
    **dict.fromkeys(("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"), SMALL),
    **dict.fromkeys(("wide_resnet50_2", "wide_resnet101_2", "resnext50_32x4d", "resnext101_32x8d"), SMALL),
    **dict.fromkeys(("convnext_tiny", "convnext_small", "mobilenet_v2"), SMALL),
    **dict.fromkeys(("mobilenet_v3_large", "mobilenet_v3_small"), SMALL),
    **dict.fromkeys((f"efficientnet_b{i}" for i in range(5)), SMALL),
    **dict.fromkeys(("regnet_y_400mf", "regnet_y_8gf", "regnet_x_400mf", "regnet_x_1_6gf"), SMALL),
    **dict.fromkeys(("vgg11", "vgg16_bn"), WHOLE),
    **dict.fromkeys(("densenet121", "shufflenet_v2_x1_0"), SMALL),
    **dict.fromkeys(("vit_b_16", "swin_t"), WHOLE),
}
TIMM = {
    **dict.fromkeys(("resnet18", "resnet50", "wide_resnet50_2", "resnext50_32x4d"), SMALL),
    **dict.fromkeys(("convnext_atto", "convnext_tiny", "mobilenetv2_100"), SMALL),
    **dict.fromkeys(("mobilenetv3_large_100", "mobilenetv3_small_100"), SMALL),
    **dict.fromkeys((f"efficientnet_b{i}" for i in range(5)), SMALL),
    **dict.fromkeys((f"efficientnet_lite{i}" for i in range(2)), SMALL),
    **dict.fromkeys(("tf_efficientnet_lite0", "tf_efficientnet_b0"), SMALL),
    **dict.fromkeys(("regnety_004", "regnetx_004", "regnety_080"), SMALL),
    **dict.fromkeys(("vgg11", "vgg16_bn"), WHOLE),
    **dict.fromkeys(("vit_tiny_patch16_224", "vit_small_patch16_224", "deit_tiny_patch16_224"), WHOLE),
    **dict.fromkeys(("deit_tiny_distilled_patch16_224", "swin_tiny_patch4_window7_224"), WHOLE),
}


def create(library: str, name: str) -> torch.nn.Module:
    if library == "timm":
        import timm

        return timm.create_model(name, pretrained=False)
    import torchvision

    return getattr(torchvision.models, name)(weights=None)


def golden(library: str, name: str, size: int) -> dict[str, np.ndarray]:
    module = create(library, name)
    state = {key: tensor for key, tensor in module.state_dict().items() if tensor.is_floating_point()}
    shapes = {key: tuple(tensor.shape) for key, tensor in state.items()}
    weights = {key: torch.from_numpy(array) for key, array in random_weights(shapes).items()}
    module.load_state_dict(weights, strict=False)
    pixels = torch.from_numpy(images(2, size, size, 3).transpose(0, 3, 1, 2).copy())
    with torch.no_grad():
        logits = module.double().eval()(pixels.double()).numpy().astype(np.float32)
    rows = [" ".join([key, *map(str, shape)]) for key, shape in shapes.items()]
    return {f"{library}/{name}/logits": logits, f"{library}/{name}/shapes": np.array(rows)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", default="1/1", help="which of how many parts of the list")
    parser.add_argument("--out", default=HERE / "zoo.npz", type=pathlib.Path)
    given = parser.parse_args()
    part, parts = map(int, given.part.split("/"))
    wanted = [("torchvision", *one) for one in TORCHVISION.items()] + [("timm", *one) for one in TIMM.items()]
    found = {}
    for library, name, size in wanted[part - 1 :: parts]:
        try:
            found |= golden(library, name, size)
        except (RuntimeError, AttributeError) as error:
            print(f"{library}/{name}: {error}")
    found["versions"] = np.array([f"torch {torch.__version__}"])
    np.savez_compressed(given.out, **found)


if __name__ == "__main__":
    main()
