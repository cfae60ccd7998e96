"""The detectors of detection_cases.py written plainly in PyTorch, and what a train step and inference take.

    python benchmarks/torch_detector.py --case=one_level --batch=16 --steps=30

Runs in an environment that has torch (effjax's own does not) and prints one line of JSON. The step is the plain eager
one: forward, assignment of boxes to places, quality focal loss and generalised IoU, backward, SGD with momentum.
Doubles are suppressed by torchvision where it is installed, else by a loop over candidates that all images share.
"""

import argparse
import json
import statistics
import time

import torch
from detection_cases import CANDIDATES, CASES, MOST, OBJECTS, OVERLAP, Case
from torch import nn
from torch.nn import functional as F
from torch_models import Block

try:
    from torchvision.ops import batched_nms
except ImportError:
    batched_nms = None

_WARMUP = 5


class Backbone(nn.Module):
    """Residual stages, and their maps by stride."""

    def __init__(self, case: Case):
        super().__init__()
        inputs = case.shape[2]
        if case.stem == "halving":
            widths, depth, shortcut, reduced = (16, 32, 64), 1, "pad", 2
            stem = [nn.Conv2d(inputs, widths[0], 3, 2, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()]
        else:
            widths, depth, shortcut, reduced = (64, 128, 256, 512), 2, "projection", 4
            stem = [nn.Conv2d(inputs, widths[0], 7, 2, 3, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()]
            stem.append(nn.MaxPool2d(3, 2, 1))
        self.stem, self.stages, self.strides, self.widths = nn.Sequential(*stem), nn.ModuleList(), [], widths
        before = widths[0]
        for i, width in enumerate(widths):
            first = Block(before, width, 2 if i else 1, shortcut)
            self.stages.append(nn.Sequential(first, *(Block(width, width, 1) for _ in range(depth - 1))))
            reduced *= 2 if i else 1
            self.strides.append(reduced)
            before = width

    def forward(self, images: torch.Tensor) -> dict[int, torch.Tensor]:
        x, maps = self.stem(images), {}
        for stride, stage in zip(self.strides, self.stages, strict=True):
            x = maps[stride] = stage(x)
        return maps


class Detector(nn.Module):
    """A pyramid, and a head that all levels share but for its normalisation."""

    def __init__(self, case: Case):
        super().__init__()
        self.backbone, self.case, channels = Backbone(case), case, case.channels
        width_at = dict(zip(self.backbone.strides, self.backbone.widths, strict=True))
        self.own = [stride for stride in case.strides if stride in width_at]
        self.used = [stride for stride in self.backbone.strides if stride >= case.strides[0]]
        coarser = case.strides[len(self.own) :]

        def convolution(stride: int) -> nn.Sequential:
            conv = nn.Conv2d(channels, channels, 3, stride, 1, bias=False)
            return nn.Sequential(conv, nn.BatchNorm2d(channels), nn.ReLU())

        self.laterals = nn.ModuleList(nn.Conv2d(width_at[stride], channels, 1) for stride in self.used)
        self.smooth = nn.ModuleList(convolution(1) for _ in self.own)
        self.coarser = nn.ModuleList(convolution(2) for _ in coarser)
        self.convs = nn.ModuleList(nn.Conv2d(channels, channels, 3, 1, 1, bias=False) for _ in range(case.convs))
        norms = ([nn.BatchNorm2d(channels) for _ in range(case.convs)] for _ in case.strides)
        self.norms = nn.ModuleList(map(nn.ModuleList, norms))
        self.scales = nn.Parameter(torch.ones(len(case.strides)))
        self.classes, self.distances = (nn.Conv2d(channels, n, 3, 1, 1) for n in (case.classes, 4))
        for last, bias in ((self.classes, -4.595), (self.distances, 1.0)):
            nn.init.normal_(last.weight, std=0.01)
            nn.init.constant_(last.bias, bias)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Logits ``[B, P, K]``, boxes ``[B, P, 4]``, places ``[P, 4]``."""
        found = self.backbone(images)
        maps = [side(found[stride]) for side, stride in zip(self.laterals, self.used, strict=True)]
        for fine in range(len(maps) - 2, -1, -1):
            maps[fine] = maps[fine] + F.interpolate(maps[fine + 1], scale_factor=2, mode="nearest")
        at = dict(zip(self.used, maps, strict=True))
        levels = [smooth(at[stride]) for smooth, stride in zip(self.smooth, self.own, strict=True)]
        for coarser in self.coarser:
            levels.append(coarser(levels[-1]))
        logits, boxes, places = [], [], []
        for x, norms, scale in zip(levels, self.norms, self.scales, strict=True):
            for conv, norm in zip(self.convs, norms, strict=True):
                x = F.relu(norm(conv(x)))
            height, width = x.shape[2:]
            y, x_ = ((torch.arange(n, device=x.device) + 0.5) / n for n in (height, width))
            centres = torch.stack(torch.meshgrid(y, x_, indexing="ij"), -1).reshape(-1, 2)
            side = torch.tensor([1 / height, 1 / width], device=x.device).expand_as(centres)
            distances = F.softplus(self.distances(x) * scale).permute(0, 2, 3, 1).reshape(len(x), -1, 4)
            distances = distances * side.repeat(1, 2)
            boxes.append(torch.cat([centres - distances[..., :2], centres + distances[..., 2:]], -1))
            logits.append(self.classes(x).permute(0, 2, 3, 1).reshape(len(x), -1, self.case.classes))
            places.append(torch.cat([centres, side], -1))
        return torch.cat(logits, 1), torch.cat(boxes, 1), torch.cat(places)


def area(boxes: torch.Tensor) -> torch.Tensor:
    return (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(-1)


def overlap(a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """IoU and generalised IoU."""
    both = area(torch.cat([torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])], -1))
    around = area(torch.cat([torch.minimum(a[..., :2], b[..., :2]), torch.maximum(a[..., 2:], b[..., 2:])], -1))
    union = (area(a) + area(b) - both).clamp(min=1e-9)
    return both / union, both / union - (around - union) / around.clamp(min=1e-9)


def assigned(places: torch.Tensor, true: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Of each place its box ``[B, P]``, and whether there is one; as FCOS does it, with centre sampling."""
    unit = places[:, 2:].amin(0)
    points, strides, boxes = places[:, :2] / unit, places[:, 2:] / unit, true / unit.repeat(2)
    stride = strides.amax(-1)
    least = torch.where(stride == stride.min(), 0.0, 4 * stride)
    most = torch.where(stride == stride.max(), torch.inf, 8 * stride)
    point, box = points[None, :, None], boxes[:, None]
    distances = torch.cat([point - box[..., :2], box[..., 2:] - point], -1)
    near = ((point - (box[..., :2] + box[..., 2:]) / 2).abs() < 1.5 * strides[None, :, None]).all(-1)
    farthest = distances.amax(-1)
    fits = (distances > 0).all(-1) & near & (farthest >= least[:, None]) & (farthest <= most[:, None])
    size = torch.where(fits, area(box), torch.inf)
    return size.argmin(-1), fits.any(-1)


def loss_of(model: Detector, images: torch.Tensor, true: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    logits, boxes, places = model(images)
    index, positive = assigned(places, true)
    wanted = torch.gather(true, 1, index[..., None].expand(-1, -1, 4))
    iou, giou = overlap(boxes, wanted)
    count = positive.sum(-1).float().mean().clamp(min=1)
    target = F.one_hot(torch.gather(labels, 1, index), logits.shape[-1]) * (iou.detach() * positive)[..., None]
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    quality = ((target - logits.sigmoid()).abs() ** 2 * entropy).sum((1, 2)) / count
    giou_loss = ((1 - giou) * positive).sum(-1) / count
    return (quality + 2 * giou_loss).mean()


def detections(model: Detector, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Boxes and scores of the best detections of each image, doubles left out."""
    logits, boxes, _ = model(images)
    places, classes = logits.shape[1:]
    most = max(1, min(MOST, places // 4))
    scores, at = logits.sigmoid().flatten(1).topk(min(CANDIDATES * most, places * classes), 1)
    chosen = torch.gather(boxes, 1, (at // classes)[..., None].expand(-1, -1, 4)).clamp(0, 1)
    kind = at % classes
    if batched_nms is not None:
        kept = [batched_nms(b, s, k, OVERLAP)[:most] for b, s, k in zip(chosen, scores, kind, strict=True)]
        pad = [F.pad(one, (0, most - len(one))) for one in kept]
        keep = torch.stack(pad)
    else:
        double = (overlap(chosen[:, :, None], chosen[:, None])[0] > OVERLAP) & (kind[:, :, None] == kind[:, None])
        dropped = torch.zeros_like(kind, dtype=torch.bool)
        for i in range(kind.shape[1] - 1):
            dropped[:, i + 1 :] |= double[:, i, i + 1 :] & ~dropped[:, i, None]
        keep = dropped.int().argsort(dim=1, stable=True)[:, :most]
    return torch.gather(chosen, 1, keep[..., None].expand(-1, -1, 4)), torch.gather(scores, 1, keep)


def seconds_of(call, steps: int) -> float:
    seconds = []
    for _ in range(_WARMUP + steps):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[_WARMUP:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", choices=CASES, required=True)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=20)
    args = parser.parse_args()
    torch.manual_seed(0)
    case = CASES[args.case]
    model = Detector(case)
    images = torch.randn(args.batch, case.shape[2], *case.shape[:2])
    corner, side = torch.rand(args.batch, OBJECTS, 2) * 0.7, torch.rand(args.batch, OBJECTS, 2) * 0.25 + 0.05
    true, labels = torch.cat([corner, corner + side], -1), torch.randint(case.classes, (args.batch, OBJECTS))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def step() -> None:
        optimizer.zero_grad()
        loss_of(model, images, true, labels).backward()
        optimizer.step()

    train = seconds_of(step, args.steps)
    model.eval()
    with torch.no_grad():
        infer = seconds_of(lambda: detections(model, images), args.steps)
        places = model(images)[0].shape[1]
    report = {
        "case": args.case,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "suppression": "a loop in PyTorch" if batched_nms is None else "torchvision",
        "parameters": sum(p.numel() for p in model.parameters()),
        "places": places,
        "train": train,
        "infer": infer,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
