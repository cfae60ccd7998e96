"""What small images save: the crop, the step, the switch, the loader, and whole runs; ratios measured in one run.

    .venv/bin/python -m benchmarks.curriculum

The crop is compared with plain PyTorch in turn, each time in a new process; everything else is timed in turn within one
process. Ratios are pair by pair, the tables have their median and range. Writes results/curriculum_speed.md, a section
at a time. Needs requirements-dev.txt, for photos to read. About ten minutes on two CPU cores; on a GPU the same, with
larger batches.
"""

import importlib.util
import os
import statistics
import sys
from collections.abc import Sequence

import jax

from benchmarks.in_turn import ratio
from benchmarks.pages import RESULTS, quiet, write_page
from benchmarks.train_step import _PAIRS, measure, torch_python

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # or this process would take the GPU's memory

_FULL = 224
_ON_CPU = jax.default_backend() == "cpu"
_NARROW, _BATCH = (0.25, 16) if _ON_CPU else (1.0, 256)  # the width and batch of steps and runs
_WHOLE_BATCH = 8 if _ON_CPU else 256  # of ResNet-18 at its whole width, for the crop's share
_RUN = ["--steps=40", "--first=80"] if _ON_CPU else ["--steps=640", "--first=2560"]
_AUGMENTED = (
    ["--steps=20", "--first=0", "--operations=2"] if _ON_CPU else ["--steps=640", "--first=0", "--operations=2"]
)


def main() -> None:
    if not importlib.util.find_spec("skimage"):  # the last section reads its photos: say so before the others are timed
        sys.exit("error: scikit-image is missing: pip install -r requirements-dev.txt")
    sections, torch, load = [], {}, quiet()
    for make in (crops, steps, runs, loader):
        sections.append(make(torch))
        print("\n".join(sections[-1]), flush=True)
        write(sections, torch, load)  # after each, so that a run that is stopped leaves what it has measured


def child(module: str, *arguments: str) -> dict:
    return measure([sys.executable, "-m", f"benchmarks.{module}", *arguments])


def crops(torch: dict) -> list[str]:
    """The crop against PyTorch's, and against a plain resize."""
    python, ours, theirs = torch_python(), [], []
    for _ in range(_PAIRS):
        ours.append(child("curriculum_crop"))
        theirs.append(measure([str(python), "-m", "benchmarks.torch_crop"]))
    torch.update({key: theirs[0][key] for key in ("torch", "threads", "device")})
    lines = [
        f"## The crop of 64 colour images from {_FULL} pixels, milliseconds",
        "",
        "PyTorch: the same crop through `torch.fft`; `F.interpolate`, bicubic, anti-aliased. *auto* is what steps use.",
        "",
        "| to | fft | matmul | Lanczos resize | PyTorch fft | PyTorch interpolate | matmul / fft | auto / PyTorch fft "
        "| auto / resize | resize / PyTorch interpolate |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for size in ("160", "96"):
        mine = {name: [statistics.median(run[size][name]) for run in ours] for name in ours[0][size]}
        other = {name: [statistics.median(run[size][name]) for run in theirs] for name in theirs[0][size]}
        cells = [
            *(ms(mine[name]) for name in ("fft", "matmul", "resize")),
            *(ms(other[name]) for name in ("fft", "interpolate")),
            ratio(mine["matmul"], mine["fft"]),
            ratio(mine["auto"], other["fft"]),
            ratio(mine["auto"], mine["resize"]),
            ratio(mine["resize"], other["interpolate"]),
        ]
        lines.append(f"| {size} | {' | '.join(cells)} |")
    return lines


def steps(_) -> list[str]:
    """A train step by size, and the crop's part in it."""
    lines = [
        f"## A train step of ResNet-18 by the size of its images, over one at {_FULL}",
        "",
        "One step a dispatch; *ideal* counts pixels. *Crop's share* is of the step that crops: what it takes longer",
        "than one whose images come small, a difference of two large numbers, as uncertain as its range says; and the",
        "crop timed by itself.",
        "",
        f"| width | batch | pixels | ms at {_FULL} | ms a step, cropping | of one at {_FULL} | ideal "
        "| crop's share, by difference | by itself |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for width, batch, sizes in ((_NARROW, _BATCH, "160,96"), (1.0, _WHOLE_BATCH, "160")):
        run = child("curriculum_step", f"--width={width}", f"--batch={batch}", f"--sizes={sizes}")
        lines += [step_row(run, size) for size in run["sizes"]]
    return lines


def step_row(run: dict, size: int) -> str:
    times = run["times"]
    full, direct, cropping = times[str(_FULL)], times[str(size)], times[f"{size} cropped"]
    shares = [1 - b / a for a, b in zip(cropping, direct, strict=True)]
    alone = [a / b for a, b in zip(times[f"{size} crop alone"], cropping, strict=True)]
    cells = [
        f"{run['width']:g}",
        str(run["batch"]),
        str(size),
        ms(full),
        ms(cropping),
        ratio(cropping, full),
        f"{(size / _FULL) ** 2:.2f}",
        percent(shares),
        percent(alone),
    ]
    return f"| {' | '.join(cells)} |"


def runs(_) -> list[str]:
    """Whole runs, and what happens between two stages."""
    common = [f"--width={_NARROW}", f"--batch={_BATCH}", f"--pairs={_PAIRS}"]
    plain = child("curriculum_run", *common, *_RUN)
    augmented = child("curriculum_run", *common, *_AUGMENTED)
    stalls = [stall for run in plain["plan"] for stall in run["stalls"]]
    return [
        f"## EfficientTrain's plan of sizes over as many steps at {_FULL}, through `fit`",
        "",
        f"ResNet-18 of {plain['width']:g} of its width, batch {plain['batch']}; seconds of training, "
        "without compiling, evaluation and saving.",
        "",
        f"| augmentation | steps at {', '.join(map(str, plain['sizes']))} | seconds at {_FULL} | with the plan "
        "| plan / full | by pixels |",
        "|---|---:|---:|---:|---:|---:|",
        run_row("none", plain),
        run_row("RandAugment, 2 operations", augmented),
        "",
        "At a switch of sizes the device has nothing to do for so many steps of the new size:",
        f"{plain['stall_while_compiling']:.2f} where the program is compiled during the stage before, "
        f"{statistics.median(stalls):.2f} ({min(stalls):.2f}–{max(stalls):.2f}) where it is there already.",
    ]


def run_row(name: str, run: dict) -> str:
    seconds = {kind: [one["seconds"] for one in run[kind]] for kind in ("full", "plan")}
    pixels = sum(n * (size / _FULL) ** 2 for n, size in zip(run["steps"], run["sizes"], strict=True))
    cells = [
        name,
        ", ".join(map(str, run["steps"])),
        *(f"{statistics.median(seconds[kind]):.2f}" for kind in ("full", "plan")),
        ratio(seconds["plan"], seconds["full"]),
        f"{pixels / sum(run['steps']):.2f}",
    ]
    return f"| {' | '.join(cells)} |"


def loader(_) -> list[str]:
    """Reading JPEGs for a stage of small images."""
    run = child("curriculum_loader")
    speeds = run["images_per_second"]
    lines = [
        f'## Reading JPEGs of 500×375 pixels, `reduction = "loader"`, {run["threads"]} threads',
        "",
        f"| pixels | images/s | over {_FULL} | kB an image to the device |",
        "|---:|---:|---:|---:|",
    ]
    for size, values in speeds.items():
        moved = 3 * int(size) ** 2 / 1000
        cells = [size, f"{statistics.median(values):,.0f}", ratio(values, speeds[str(_FULL)]), f"{moved:.0f}"]
        lines.append(f"| {' | '.join(cells)} |")
    first = {name: f"{statistics.median(seconds):.2f} s" for name, seconds in run["first_batch"].items()}
    said = f"The first 20 images of a stage of 160 pixels take {first['threads']}"
    return [*lines, "", f"{said}; with two reading processes, which must be started, {first['processes']}."]


def ms(seconds: Sequence[float]) -> str:
    return f"{1e3 * statistics.median(seconds):.1f}"


def percent(shares: Sequence[float]) -> str:
    return f"{statistics.median(shares):.1%} ({min(shares):.1%}–{max(shares):.1%})"


def write(sections: list[list[str]], torch: dict, load: float) -> None:
    text = ["# Curriculum: what small images save", _HEAD, *("\n".join(section) for section in sections)]
    versions = f"torch {torch['torch']}, {torch['threads']} threads, {torch['device']}"
    write_page(RESULTS / "curriculum_speed.md", text, load, versions=versions)


_HEAD = "`.venv/bin/python -m benchmarks.curriculum` wrote this. Medians; ratios pair by pair, with their range."


if __name__ == "__main__":
    main()
