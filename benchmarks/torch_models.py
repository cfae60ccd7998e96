"""The models ``mlp``, ``scnn`` and ``resnet20`` written plainly in PyTorch, and the time of their train step.

    python benchmarks/torch_models.py --model scnn --batch 64 --steps 40

Runs in an environment that has torch (effjax's own does not) and prints one line of JSON. The step is the plain
eager one: forward, cross-entropy, backward, SGD with momentum, on one random batch that already lies on the device.
"""

import argparse
import json
import statistics
import time

import torch
from torch import nn
from torch.nn import functional as F


def mlp() -> nn.Module:
    """1024-300-300-300-3, the default widths of ``create("mlp", 3)`` on 32×32 grey images."""
    layers = [nn.Flatten()]
    for inputs in (1024, 300, 300):
        layers += [nn.Linear(inputs, 300), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(300, 3))


def scnn() -> nn.Module:
    """``create("scnn", 10)`` on 28×28 grey images."""
    convolutions = [nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25)]
    dense = [nn.Flatten(), nn.Linear(12 * 12 * 64, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10)]
    return nn.Sequential(*convolutions, *dense)


class Block(nn.Module):
    """Two 3×3 convolutions, and a shortcut: where the shape changes, it drops pixels and pads channels with zeros (the
    paper's option A, "pad"), or is a convolution (B, "projection")."""

    def __init__(self, inputs: int, channels: int, stride: int, shortcut: str = "pad"):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.stride, self.pad = stride, (channels - inputs) // 2
        self.projects = bool(self.pad) and shortcut == "projection"
        if self.projects:
            self.shortcut_conv = nn.Conv2d(inputs, channels, 1, stride, bias=False)
            self.shortcut_norm = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        if self.projects:
            x = self.shortcut_norm(self.shortcut_conv(x))
        elif self.pad:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.pad, self.pad))
        return F.relu(x + y)


def digits_mlp() -> nn.Module:
    """784-128-128-10: ``create("mlp", 10, widths=(128, 128))`` on 28×28 grey images."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10)
    )


def resnet8() -> nn.Module:
    """``create("resnet8", 10)`` on 32×32 colour images."""
    return resnet20(depth=1)


def resnet20(depth: int = 3) -> nn.Module:
    """``create("resnet20", 10)`` on 32×32 colour images; ``depth`` is blocks a stage."""
    blocks, inputs = [], 16
    for channels in (16, 32, 64):
        for i in range(depth):
            blocks.append(Block(inputs, channels, 2 if i == 0 and channels > 16 else 1))
            inputs = channels
    stem = [nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


# Name: (how to make it, the shape of an image, classes).
MODELS = {
    "mlp": (mlp, (1, 32, 32), 3),
    "digits_mlp": (digits_mlp, (1, 28, 28), 10),
    "scnn": (scnn, (1, 28, 28), 10),
    "resnet8": (resnet8, (3, 32, 32), 10),
    "resnet20": (resnet20, (3, 32, 32), 10),
}


def soft_targets(student: torch.Tensor, teacher: torch.Tensor, temperature: float = 4.0) -> torch.Tensor:
    """T² · KL(teacher ‖ student), the mean over the batch."""
    own, other = F.log_softmax(student / temperature, 1), F.softmax(teacher / temperature, 1)
    return temperature**2 * F.kl_div(own, other, reduction="batchmean")


def step_seconds(
    model: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    steps: int,
    warmup: int,
    teacher: nn.Module | None = None,
) -> list[float]:
    """Trains for ``warmup + steps`` steps and returns how long each of the last ``steps`` took."""

    def loss() -> torch.Tensor:
        logits = model(images)
        if teacher is None:
            return F.cross_entropy(logits, labels)
        with torch.no_grad():
            answers = teacher(images)
        return 0.5 * F.cross_entropy(logits, labels) + 0.5 * soft_targets(logits, answers)

    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    seconds = []
    for _ in range(warmup + steps):
        start = time.perf_counter()
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
        if images.is_cuda:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return seconds[warmup:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=MODELS, required=True)
    parser.add_argument("--teacher", choices=MODELS, help="distil from this network, frozen, on the same images")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=40, help="timed steps, after the warm-up")
    parser.add_argument("--warmup", type=int, default=5)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 is torch's own choice")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    make, shape, num_classes = MODELS[args.model]
    model = make().to(args.device).train()
    images = torch.randn(args.batch, *shape, device=args.device)
    labels = torch.randint(num_classes, (args.batch,), device=args.device)
    teacher = MODELS[args.teacher][0]().to(args.device).eval() if args.teacher else None
    seconds = step_seconds(model, images, labels, args.steps, args.warmup, teacher)
    first, median, third = statistics.quantiles(seconds, n=4)
    report = {
        "model": args.model,
        "batch": args.batch,
        "steps": args.steps,
        "device": torch.cuda.get_device_name() if args.device.startswith("cuda") else "cpu",
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "params": sum(p.numel() for p in model.parameters()),
        "seconds": {"median": median, "quartile1": first, "quartile3": third},
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
