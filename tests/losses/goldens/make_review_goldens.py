"""Writes review.npz: what mdistiller's ReviewKD makes of numbers that numpy draws.

It needs an environment with torch, and a checkout of https://github.com/megvii-research/mdistiller:

    python tests/losses/goldens/make_review_goldens.py /path/to/mdistiller
"""

import pathlib
import sys

import numpy as np
import torch

HERE, RNG = pathlib.Path(__file__).parent, np.random.default_rng(0)
STUDENT, TEACHER = (4, 6, 7), (5, 3, 8)  # channels; the last are of vectors
SIZES = (8, 4, 1)


def maps(channels: int, size: int) -> torch.Tensor:
    return torch.tensor(RNG.normal(size=(2, channels, size, size)).astype(np.float32))


def main() -> None:
    source = pathlib.Path(sys.argv[1], "mdistiller", "distillers", "ReviewKD.py").read_text()
    names: dict = {}
    exec(source.replace("from ._base import Distiller", "Distiller = object"), names)
    channels = enumerate(zip(STUDENT, TEACHER, strict=True))
    fusions = torch.nn.ModuleList(names["ABF"](own, 7, other, number < 2) for number, (own, other) in channels)
    found = {}
    with torch.no_grad():
        for name, parameter in fusions.named_parameters():
            parameter.copy_(torch.tensor(RNG.normal(0.2, 0.5, parameter.shape).astype(np.float32)))
            found[f"params/{name}"] = parameter.numpy().copy()
        ours = [maps(*shape) for shape in zip(STUDENT, SIZES, strict=True)]
        # The teacher's second map is larger than the student's.
        sizes = (8, 8, 1)
        theirs = [maps(*shape) for shape in zip(TEACHER, sizes, strict=True)]
        results, deeper = [], None
        for number in (2, 1, 0):
            result, deeper = fusions[number](ours[number], deeper, SIZES[number], sizes[number])
            results.insert(0, result)
        found["value"] = names["hcl_loss"](results, theirs).numpy()
    for number in range(3):
        found[f"student{number}"], found[f"teacher{number}"] = ours[number].numpy(), theirs[number].numpy()
        found[f"result{number}"] = results[number].numpy()
    np.savez_compressed(HERE / "review.npz", **found)


if __name__ == "__main__":
    main()
