"""One network through Torch-Pruning: python -m benchmarks.compress_torch_pruning GIVEN.npz FOUND.npz

Runs in an environment that has torch and torch-pruning (effjax's own does not). GIVEN has the weights of one of
effjax's ResNets by their paths, images, labels, and which of them are in which batch; FOUND gets the weights after
pruning, before any further step. Half of the channels go, the rest is fine-tuned. Prints one line of JSON.
"""

import collections
import importlib.metadata
import json
import math
import re
import sys

import numpy as np
import torch
import torch_pruning  # pyright: ignore[reportMissingImports]
from torch import nn
from torch.nn import functional as F

from benchmarks.torch_models import Block

_NAMES = {  # the last part of a path, and of a name here; of a kernel, its axes here
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}
_AXES = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}
_BATCH = 250  # images at once where nothing is learnt


class ResNet(nn.Module):
    """effjax's ResNets for CIFAR on grey images, its layers called as there."""

    def __init__(self, depth: int, shortcut: str):
        super().__init__()
        self.stem_conv, self.stem_norm = nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        inputs = 16
        for stage, channels in enumerate((16, 32, 64), start=1):
            blocks = collections.OrderedDict()
            for i in range(1, depth + 1):
                stride = 2 if i == 1 and stage > 1 else 1
                blocks[f"block{i}"], inputs = Block(inputs, channels, stride, shortcut), channels
            setattr(self, f"stage{stage}", nn.Sequential(blocks))
        self.classifier = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.stem_norm(self.stem_conv(x)))
        x = self.stage3(self.stage2(self.stage1(x)))
        return self.classifier(x.mean((2, 3)))


def loaded(weights: dict[str, np.ndarray], depth: int, shortcut: str) -> ResNet:
    """The network with effjax's weights."""
    network, state = ResNet(depth, shortcut), {}
    for path, array in weights.items():
        *layer, last = path.split("/")[1:]  # the first part is the collection
        state[".".join([*layer, _NAMES[last]])] = torch.from_numpy(array.transpose(_AXES[array.ndim]).copy())
    missing, unexpected = network.load_state_dict(state, strict=False)
    unset = [name for name in missing if not name.endswith("num_batches_tracked")]
    if unset or unexpected:
        raise SystemExit(f"weights do not fit: {unset} missing, {unexpected} not known")
    return network


def as_in_effjax(network: ResNet, paths: list[str]) -> dict[str, np.ndarray]:
    """The inverse: weights by effjax's paths."""
    state, found = network.state_dict(), {}
    for path in paths:
        *layer, last = path.split("/")[1:]
        array = state[".".join([*layer, _NAMES[last]])].numpy()
        found[path] = array.transpose(np.argsort(_AXES[array.ndim])).copy()
    return found


def prune(network: ResNet, image: torch.Tensor) -> None:
    """Half of the channels go, as Torch-Pruning's documentation has it."""
    torch_pruning.pruner.MagnitudePruner(
        network,
        image,
        importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
        pruning_ratio=0.5,
        global_pruning=False,
        round_to=8,
        ignored_layers=[network.classifier],
    ).step()
    network(image)  # what does not fit together shows here


@torch.no_grad()
def logits(network: ResNet, images: torch.Tensor) -> torch.Tensor:
    network.eval()
    return torch.cat([network(part) for part in images.split(_BATCH)])


def fine_tune(network: ResNet, images: torch.Tensor, labels: torch.Tensor, order: np.ndarray, rate: float) -> None:
    """Adam, its rate along a cosine to 0, on the batches that are named."""
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: 0.5 * (1 + math.cos(math.pi * n / len(order))))
    network.train()
    for rows in torch.from_numpy(order.astype(np.int64)):
        optimizer.zero_grad()
        F.cross_entropy(network(images[rows]), labels[rows]).backward()
        optimizer.step()
        schedule.step()


def multiply_adds(network: ResNet, image: torch.Tensor) -> int:
    """Of convolutions and products with matrices, for one image."""
    count = 0

    def note(layer, _, output):
        nonlocal count
        count += layer.weight[0].numel() * output.numel()

    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    network(image)
    for hook in hooks:
        hook.remove()
    return count


def main() -> None:
    with np.load(sys.argv[1]) as file:
        given = dict(file)
    weights = {name: array for name, array in given.items() if re.match("params/|batch_stats/", name)}
    network = loaded(weights, int(given["depth"]), str(given["shortcut"]))
    images, test = (
        torch.from_numpy(given[f"{split}_images"]).movedim(-1, 1).contiguous() for split in ("train", "test")
    )
    labels, answers = (torch.from_numpy(given[f"{split}_labels"]).long() for split in ("train", "test"))

    def accuracy() -> float:
        return float((logits(network, test).argmax(1) == answers).double().mean())

    before = logits(network, test)
    found = {
        "versions": f"torch {torch.__version__}, torch-pruning {importlib.metadata.version('torch-pruning')}",
        "difference": float((before - torch.from_numpy(given["logits"])).abs().max()),
        "whole_multiply_adds": multiply_adds(network, test[:1]),
    }
    try:
        prune(network, test[:1])
    except Exception as error:  # whatever it is, it is what is to be told
        found["failed"] = f"{type(error).__name__}: {error}".splitlines()[0]
    else:
        np.savez(sys.argv[2], **as_in_effjax(network, list(weights)))
        found["pruned"] = accuracy()
        found["multiply_adds"] = multiply_adds(network, test[:1])
        found["parameters"] = sum(p.numel() for p in network.parameters())
        fine_tune(network, images, labels, given["order"], float(given["rate"]))
        found["tuned"] = accuracy()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
