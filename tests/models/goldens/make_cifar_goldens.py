"""Writes cifar_students.npz, cifar_mobile.npz, cifar_resnets.npz: logits of RepDistiller's networks.

The weights are what numpy draws. One of cifar_resnets.npz is of Yerlan Idelbayev's networks, which have the paper's
shortcuts without parameters. And mobilenet_v1.npz, the logits of mdistiller's MobileNet for ImageNet.

It needs an environment with torch, and checkouts of https://github.com/HobbitLong/RepDistiller,
https://github.com/megvii-research/mdistiller and https://github.com/akamaster/pytorch_resnet_cifar10:

    python tests/models/goldens/make_cifar_goldens.py /path/to/RepDistiller /path/to/mdistiller \\
        /path/to/pytorch_resnet_cifar10
"""

import pathlib
import sys

import numpy as np
import torch
from random_weights import images, random_weights

HERE = pathlib.Path(__file__).parent
STUDENTS = ("resnet8x4", "resnet32x4", "wrn_16_1", "wrn_16_2", "wrn_40_1", "vgg8", "vgg13")
MOBILE = {"mobilenet_v2_cifar": "MobileNetV2", "shufflenet_v1": "ShuffleV1", "shufflenet_v2": "ShuffleV2"}
RESNETS = {"resnet56_projection": "resnet56", "resnet50_cifar": "ResNet50"}


def main() -> None:
    sys.path.insert(0, sys.argv[1])
    from models import model_dict

    write("cifar_students.npz", {name: model_dict[name](num_classes=100) for name in STUDENTS}, images(2, 32, 32, 3))
    mobile = {name: model_dict[theirs](num_classes=100) for name, theirs in MOBILE.items()}
    write("cifar_mobile.npz", mobile, images(2, 32, 32, 3))
    resnets = {name: model_dict[theirs](num_classes=100) for name, theirs in RESNETS.items()}
    original: dict = {"__name__": "resnet"}
    exec(pathlib.Path(sys.argv[3], "resnet.py").read_text(), original)
    resnets["resnet20_pad"] = original["resnet20"]()
    write("cifar_resnets.npz", resnets, images(2, 32, 32, 3))
    names: dict = {}
    exec(pathlib.Path(sys.argv[2], "mdistiller", "models", "imagenet", "mobilenetv1.py").read_text(), names)
    write("mobilenet_v1.npz", {"mobilenet_v1": Logits(names["MobileNetV1"]())}, images(1, 224, 224, 3))


class Logits(torch.nn.Module):
    """A network of mdistiller without its features."""

    def __init__(self, network: torch.nn.Module):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network(x)[0]


def write(file: str, modules: dict, pixels: np.ndarray) -> None:
    """The logits of networks, by our name."""
    golden = {}
    pixels = torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy())
    for name, module in modules.items():
        shapes = {key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}
        weights = {key: torch.from_numpy(array) for key, array in random_weights(shapes).items()}
        module.load_state_dict(weights, strict=False)
        with torch.no_grad():
            golden[f"{name}/logits"] = module.eval()(pixels).numpy()
        rows = [" ".join([key, *map(str, shape)]) for key, shape in shapes.items() if "num_batches" not in key]
        golden[f"{name}/shapes"] = np.array(rows)
    np.savez_compressed(HERE / file, **golden)


if __name__ == "__main__":
    main()
