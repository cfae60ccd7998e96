"""Detectors beside the very same ones in plain PyTorch, and what scoring a pool costs beside predicting it.

    .venv/bin/python -m benchmarks.detection [--peers=PYTHON] [--pairs=3] [--batch=16] [--only=CASE]

Two detectors: a ResNet-8 with one level, and a ResNet-18 with five, at 128 pixels. Of each, a train step (assignment,
both losses, SGD), and inference with the suppression of doubles, are timed in turn: effjax with XLA's convolutions,
effjax with oneDNN's, PyTorch, effjax, …, each time in a new process, and it is checked that all have as many
parameters and places. A ratio is of neighbours. Inference is timed as networks are evaluated in training, and of the
graph that is deployed; PyTorch's is its plain network in both.
Then, in one process, in turn: a scoring pass (the items of all images, the sum of their entropies) over inference.
What average precision costs is told by ``benchmarks.detection_ap``. Writes results/detection_speed.md.
"""

import argparse
import itertools
import statistics
import sys
from pathlib import Path

from benchmarks.detection_cases import CASES
from benchmarks.environments import environment
from benchmarks.in_turn import ratio
from benchmarks.pages import RESULTS, Goal, middle_ratio, quiet, write_page
from benchmarks.train_step import measure

_PACKAGES = ("torch==2.14.1", "torchvision==0.29.1", "numpy")
_SIZES = ("parameters", "places")
_WAYS = {"xla": "", "onednn": ", by oneDNN"}  # what computes our convolutions
#: What is timed: what it is called, the goal over PyTorch, and what PyTorch's time of it is called.
_KINDS = {
    "train": ("train step", 1.0, "train"),
    "infer": ("inference with suppression", 0.8, "infer"),
    "deploy": ("the same, deployed", 0.8, "infer"),
}


def measured(case: str, batch: int, steps: int, python: Path) -> dict[str, dict]:
    """What processes of ours, one a way of computing convolutions, and one of theirs measure, one after the other.

    Raises:
      SystemExit: if they are not of the same network.
    """
    given = [f"--case={case}", f"--batch={batch}", f"--steps={steps}"]
    ours = [sys.executable, "-m", "benchmarks.detection_step", *given]
    found = {way: measure([*ours, f"--convolutions={way}"]) for way in _WAYS}
    found["torch"] = theirs = measure([str(python), "benchmarks/torch_detector.py", *given])
    for size, way in itertools.product(_SIZES, _WAYS):
        if found[way][size] != theirs[size]:
            raise SystemExit(f"{case}: {found[way][size]} {size} here, {theirs[size]} there: these are two networks")
    return found


def rows(case: str, found: list[dict[str, dict]]) -> list[str]:
    lines = []
    for what, (said, _, theirs) in _KINDS.items():
        times = {**{way: times_of(found, way, what) for way in _WAYS}, "torch": times_of(found, "torch", theirs)}
        middle = (f"{1e3 * statistics.median(one):.1f}" for one in times.values())
        over = (ratio(times[way], times["torch"]) for way in _WAYS)
        lines.append(f"| {CASES[case].label} | {said} | {' | '.join((*middle, *over))} |")
    return lines


def times_of(found: list[dict[str, dict]], way: str, what: str) -> list[float]:
    """A number a process."""
    return [one[way][what] for one in found]


def rounds_of(found: list[dict[str, dict]], way: str, what: str) -> list[float]:
    """All rounds of our processes."""
    return list(itertools.chain.from_iterable(one[way][what] for one in found))


def goals_of(case: str, found: list[dict[str, dict]]) -> list[Goal]:
    goals = []
    for way, said in _WAYS.items():
        label = f"{CASES[case].label}{said}"
        for what, (kind, bound, theirs) in _KINDS.items():
            reached = middle_ratio(times_of(found, way, what), times_of(found, "torch", theirs))
            goals.append(Goal(f"{label}: {kind}, over PyTorch", reached, bound))
        scored = middle_ratio(rounds_of(found, way, "scored"), rounds_of(found, way, "detected"))
        goals.append(Goal(f"{label}: scoring a pool, over inference", scored, 1.1))
    return goals


def scoring(case: str, found: list[dict[str, dict]]) -> list[str]:
    lines = []
    for way, said in _WAYS.items():
        scored = rounds_of(found, way, "scored")
        over = (ratio(scored, rounds_of(found, way, what)) for what in ("detected", "predicted"))
        lines.append(f"| {CASES[case].label}{said} | {' | '.join(over)} |")
    return lines


def write(given: argparse.Namespace, times: list[str], scores: list[str], load: float, goals: list[Goal], theirs: dict):
    text = [
        "# Detectors: effjax and plain PyTorch",
        _HEAD.format(pairs=given.pairs, batch=given.batch),
        "\n".join([*_TIMES, *times]),
        _SCORING,
        "\n".join([*_SCORES, *scores]),
    ]
    versions = f"torch {theirs['torch']}, {theirs['threads']} threads, suppression by {theirs['suppression']}"
    write_page(given.results, text, load, goals, versions)


_HEAD = """\
`.venv/bin/python -m benchmarks.detection` wrote this. Medians of the timed steps of a process; ratios pair
by pair, median and range of {pairs} pairs, {batch} images a step. Deployed: batch normalisation folded into the
convolutions once; by oneDNN these add shortcuts and clip, too, and their kernels are laid out once
(`models.laid_out`). PyTorch's is the plain network."""
_TIMES = (
    "| detector | what | effjax, ms | by oneDNN, ms | PyTorch, ms | effjax / PyTorch (range) | by oneDNN (range) |",
    "|---|---|---:|---:|---:|---:|---:|",
)
_SCORING = """\
A scoring pass is what a labelling loop does to its pool: the items of each image, the sum of their
entropies. Timed in turn in the same processes, median and range of all rounds."""
_SCORES = ("| detector | scoring / inference with suppression | scoring / the network alone |", "|---|---:|---:|")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, help=f"a Python that has {', '.join(_PACKAGES)}; one is made without it")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=0, help="timed steps of a process; 0: those of the case")
    parser.add_argument("--only", choices=CASES, action="append", help="of the cases; all without it")
    parser.add_argument("--results", type=Path, default=RESULTS / "detection_speed.md")
    given = parser.parse_args()
    python = given.peers or environment("peers_detection", *_PACKAGES)
    if python is None:
        raise SystemExit("there is nothing to compare with")
    times, scores, goals, load = [], [], [], quiet()
    for case in given.only or CASES:
        found = [measured(case, given.batch, given.steps or CASES[case].steps, python) for _ in range(given.pairs)]
        times += rows(case, found)
        scores += scoring(case, found)
        goals += goals_of(case, found)
        print("\n".join([*times[-len(_KINDS) :], *scores[-2:]]), flush=True)
        # After each, so that a run that is stopped leaves what it has measured.
        write(given, times, scores, load, goals, found[0]["torch"])


if __name__ == "__main__":
    main()
