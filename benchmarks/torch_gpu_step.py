"""A ResNet-18 that a ResNet-50 teaches, in plain PyTorch on a GPU: eager and compiled; prints one line of JSON.

    python benchmarks/torch_gpu_step.py --images=128 --rounds=8

torchvision's networks in bfloat16 by autocast, channels last, TF32 where it is not; random images that already lie on
the device; SGD with momentum; cross-entropy and soft targets of temperature 4, half each.
"""

import argparse
import json
import statistics
import time

import torch
import torchvision
from torch.nn import functional as F


def make_step(images: torch.Tensor, labels: torch.Tensor, compiled: bool, taught: bool):
    student = torchvision.models.resnet18(num_classes=1000).cuda().to(memory_format=torch.channels_last).train()
    teacher = torchvision.models.resnet50(num_classes=1000).cuda().to(memory_format=torch.channels_last).eval()
    optimizer = torch.optim.SGD(student.parameters(), lr=0.01, momentum=0.9, fused=True)

    def loss(pixels: torch.Tensor) -> torch.Tensor:
        x = pixels.float().div_(255).sub_(0.45).div_(0.22)
        with torch.autocast("cuda", torch.bfloat16):
            logits = student(x)
            answers = None
            if taught:
                with torch.no_grad():
                    answers = teacher(x)
        hard = F.cross_entropy(logits.float(), labels)
        if answers is None:
            return hard
        own, other = F.log_softmax(logits.float() / 4, 1), F.softmax(answers.float() / 4, 1)
        return 0.5 * hard + 0.5 * 16 * F.kl_div(own, other, reduction="batchmean")

    if compiled:
        loss = torch.compile(loss)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss(images).backward()
        optimizer.step()

    return step


def seconds(step, steps: int) -> float:
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(steps):
        step()
    torch.cuda.synchronize()
    return (time.perf_counter() - start) / steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=8)
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    shape = (args.images, 3, args.size, args.size)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, device="cuda").contiguous(
        memory_format=torch.channels_last
    )
    labels = torch.randint(1000, (args.images,), device="cuda")
    steps = {
        "distilled, eager": make_step(images, labels, False, True),
        "distilled, compiled": make_step(images, labels, True, True),
        "plain, compiled": make_step(images, labels, True, False),
    }
    for step in steps.values():
        seconds(step, 5)
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(args.rounds):
        for name, step in steps.items():
            taken[name].append(seconds(step, 30))
    report = {
        "device": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "seconds": {name: statistics.median(several) for name, several in taken.items()},
        "range": {name: [min(several), max(several)] for name, several in taken.items()},
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
