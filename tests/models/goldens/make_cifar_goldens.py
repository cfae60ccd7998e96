"""Writes cifar_students.npz, cifar_mobile.npz: logits of RepDistiller's networks with weights that numpy draws.

It needs an environment with torch, and a checkout of https://github.com/HobbitLong/RepDistiller:

    python tests/models/goldens/make_cifar_goldens.py /path/to/RepDistiller
"""

import pathlib
import sys

import numpy as np
import torch
from random_weights import images, random_weights

HERE = pathlib.Path(__file__).parent
STUDENTS = ("resnet8x4", "resnet32x4", "wrn_16_1", "wrn_16_2", "wrn_40_1", "vgg8", "vgg13")
MOBILE = {"mobilenet_v2_cifar": "MobileNetV2", "shufflenet_v1": "ShuffleV1", "shufflenet_v2": "ShuffleV2"}


def main() -> None:
    sys.path.insert(0, sys.argv[1])
    write("cifar_students.npz", {name: name for name in STUDENTS})
    write("cifar_mobile.npz", MOBILE)


def write(file: str, names: dict[str, str]) -> None:
    """The logits of networks, by our name and theirs."""
    from models import model_dict

    golden = {}
    pixels = torch.from_numpy(images(2, 32, 32, 3).transpose(0, 3, 1, 2).copy())
    for name, theirs in names.items():
        module = model_dict[theirs](num_classes=100)
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
