"""The low-frequency crop and an anti-aliased reduction in plain PyTorch, and the time they take; prints JSON.

    python -m benchmarks.torch_crop

Runs in an environment that has torch (effjax's own does not).
"""

import argparse
import json

import torch
from torch.nn import functional as F

from benchmarks.in_turn import in_turn

FULL, SIZES = 224, (160, 96)


def crop(images: torch.Tensor, size: int) -> torch.Tensor:
    """Keeps the frequencies −size/2 … size/2 − 1 of ``[B, C, H, W]``."""
    spectrum = torch.fft.fft2(images)
    for axis in (-2, -1):
        half, length = size // 2, spectrum.shape[axis]
        spectrum = torch.cat([spectrum.narrow(axis, 0, half), spectrum.narrow(axis, length - half, half)], axis)
    return torch.fft.ifft2(spectrum).real * (size / images.shape[-1]) ** 2


def reduce(images: torch.Tensor, size: int) -> torch.Tensor:
    return F.interpolate(images, (size, size), mode="bicubic", antialias=True, align_corners=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    images = torch.randn(args.batch, 3, FULL, FULL, device=args.device)

    def waiting(function, size):
        def run():
            function(images, size)
            if images.is_cuda:
                torch.cuda.synchronize()

        return run

    report = {"torch": torch.__version__, "threads": torch.get_num_threads(), "device": args.device}
    for size in SIZES:
        timed = {"fft": waiting(crop, size), "interpolate": waiting(reduce, size)}
        report[str(size)] = in_turn(timed, args.rounds)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
