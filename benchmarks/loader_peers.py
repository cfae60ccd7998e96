"""CPU seconds an image of other loaders; prints JSON.

    python -m benchmarks.loader_peers FOLDER SIZE torchvision|pillow|simplejpeg|simd

Runs in an environment that has torch, torchvision, Pillow, simplejpeg and cykooz-resizer (effjax's own has not).
"""

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

BATCH, STEPS = 20, 30
BICUBIC = Image.Resampling.BICUBIC
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def of_torchvision(folder: str, size: int):
    """Batches as torchvision's reference scripts load them, in this process."""
    seen = transforms.Compose(
        [
            transforms.RandomResizedCrop(size, interpolation=transforms.InterpolationMode.BICUBIC),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    loader = DataLoader(ImageFolder(f"{folder}/train", seen), BATCH, shuffle=True, num_workers=0, drop_last=True)
    while True:
        yield from loader


def of_loop(folder: str, size: int, view):
    """Batches ``[B, H, W, C]`` uint8 of a loop over files in random order."""
    paths, draw = sorted(Path(folder, "train").rglob("*.jpg")), np.random.default_rng(0)
    while True:
        yield np.stack([view(paths[i], size) for i in draw.choice(len(paths), BATCH, replace=False)])


def box(width: int, height: int) -> tuple[int, int, int, int]:
    image = torch.empty(1, 1, 1).expand(3, height, width)  # of which only the size is looked at
    top, left, h, w = transforms.RandomResizedCrop.get_params(image, (0.08, 1.0), (3 / 4, 4 / 3))
    return left, top, left + w, top + h


def by_pillow(path: Path, size: int) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").crop(box(*image.size)).resize((size, size), BICUBIC))


def by_simplejpeg(path: Path, size: int) -> np.ndarray:
    import simplejpeg

    pixels = simplejpeg.decode_jpeg(path.read_bytes())
    left, top, right, bottom = box(pixels.shape[1], pixels.shape[0])
    cut = Image.fromarray(np.ascontiguousarray(pixels[top:bottom, left:right]))
    return np.asarray(cut.resize((size, size), BICUBIC))


def by_simd(path: Path, size: int) -> np.ndarray:
    import cykooz_resizer as fast
    import simplejpeg

    pixels = simplejpeg.decode_jpeg(path.read_bytes())
    left, top, right, bottom = box(pixels.shape[1], pixels.shape[0])
    cut = fast.ImageData(right - left, bottom - top, fast.PixelType.U8x3, pixels[top:bottom, left:right].tobytes())
    square = fast.ImageData(size, size, fast.PixelType.U8x3)
    bicubic = fast.ResizeAlg.convolution(fast.FilterType.catmull_rom)
    fast.Resizer().resize(cut, square, fast.ResizeOptions(resize_alg=bicubic, use_alpha=False))
    return np.frombuffer(square.get_buffer(), np.uint8).reshape(size, size, 3)


def main() -> None:
    folder, size, kind = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    torch.set_num_threads(1)
    loops = {"pillow": by_pillow, "simplejpeg": by_simplejpeg, "simd": by_simd}
    batches = of_torchvision(folder, size) if kind == "torchvision" else of_loop(folder, size, loops[kind])
    for _ in range(2):
        next(batches)
    begun = time.process_time()
    for _ in range(STEPS):
        next(batches)
    cpu = (time.process_time() - begun) / (BATCH * STEPS)
    versions = {name: version(name) for name in ("torch", "torchvision", "pillow", "simplejpeg", "cykooz-resizer")}
    print(json.dumps({"cpu": cpu, "versions": versions}))


if __name__ == "__main__":
    main()
