"""Training views of photos, in images a CPU second: effjax's loader, torchvision's, and plain loops; ratios of one run.

    .venv/bin/python -m benchmarks.loader [--rounds=5] [--python=PYTHON]

JPEGs of 500×375 pixels, of which random parts become squares: the same distribution for all. Every loader works in a
process of its own, in turn, and CPU seconds are counted, so that threads save nobody any. Also how much faster small
stages decode, and the CPU seconds that a reading process takes to start. Writes results/loader.md. On an idle machine.
The others run in an environment of their own, .cache/loader_peers, made at the first start, or in that of --python.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.curriculum_loader import write_photos
from benchmarks.environments import environment
from benchmarks.in_turn import ratio
from benchmarks.pages import RESULTS, Goal, middle_ratio, quiet, write_page
from benchmarks.train_step import measure
from effjax.reports.tables import Table

_ROOT = Path(__file__).parents[1]
_SIZES = ("224", "192", "160", "128", "96")
_GOALS = {"torchvision": (1.3, True), "pillow": (1.0, True), "simplejpeg": (1.0, True)}
_PEERS = {"torchvision": "torchvision's loader", "pillow": "a loop of Pillow", "simplejpeg": "a loop of simplejpeg"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--python", default="", help="of an environment that has torch, torchvision and simplejpeg")
    given = parser.parse_args()
    rounds = given.rounds
    python = given.python or environment("loader_peers", "torch", "torchvision", "simplejpeg")
    if not python:
        sys.exit("error: there is nothing to compare with")
    load = quiet()
    ours, peers = {size: [] for size in _SIZES}, {name: [] for name in _PEERS}
    starts = []
    with tempfile.TemporaryDirectory() as folder:
        write_photos(Path(folder))
        for _ in range(rounds):
            for size in _SIZES:
                ours[size].append(child(sys.executable, "loader_effjax", folder, size))
            for name in peers:
                peers[name].append(child(python, "loader_peers", folder, "224", name))
            starts.append(child(sys.executable, "loader_effjax", folder, "224", "start"))
    cpu = {size: [one["cpu"] for one in several] for size, several in ours.items()}
    theirs = {name: [one["cpu"] for one in several] for name, several in peers.items()}
    rows = [("effjax", speed(cpu["224"]), "1")]
    rows += [(label, speed(theirs[name]), ratio(theirs[name], cpu["224"])) for name, label in _PEERS.items()]
    stages = [(size, speed(cpu[size]), ratio(cpu["224"], cpu[size])) for size in _SIZES]
    start = statistics.median(one["cpu"] for one in starts)
    goals = [
        *(
            Goal(f"views of photos, over {_PEERS[name]}", middle_ratio(theirs[name], cpu["224"]), *goal)
            for name, goal in _GOALS.items()
        ),
        Goal("views of 160 pixels, over those of 224", middle_ratio(cpu["224"], cpu["160"]), 1.3, True),
        Goal("a reading process starts, CPU seconds", start, 0.5),
    ]
    text = [
        "# Views of photos",
        "`python -m benchmarks.loader` wrote this.",
        Table(("224 pixels", "images a CPU second", "effjax is faster by"), rows).markdown(),
        Table(("pixels", "images a CPU second", "faster than at 224"), stages).markdown(),
        f"A reading process takes {start:.2f} CPU seconds until its first batch, of one photo, is there.",
    ]
    versions = [f"{name} {version}" for name, version in peers["torchvision"][0]["versions"].items()]
    write_page(RESULTS / "loader.md", text, load, goals, f"decoder {ours['224'][0]['decoder']}; {', '.join(versions)}")
    print((RESULTS / "loader.md").read_text())


def child(python: Path | str, module: str, *arguments: str) -> dict:
    return measure([str(python), "-m", f"benchmarks.{module}", *arguments])


def speed(seconds: list[float]) -> str:
    return f"{1 / statistics.median(seconds):,.0f}"


if __name__ == "__main__":
    main()
