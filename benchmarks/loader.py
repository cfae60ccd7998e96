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
_PEERS = {
    "torchvision": "torchvision's loader",
    "pillow": "a loop of Pillow",
    "simplejpeg": "a loop of simplejpeg and Pillow",
    "simd": "a loop of simplejpeg and cykooz-resizer",
}
#: By resampler, those whom it should not be behind, and by how much it should be ahead.
_GOALS = {
    "pillow": {"torchvision": 1.3, "pillow": 1.0, "simplejpeg": 1.0},
    "simd": {"torchvision": 1.3, "simd": 1.0},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--python", default="", help="of an environment that has torch, torchvision, simplejpeg and cykooz-resizer"
    )
    given = parser.parse_args()
    rounds = given.rounds
    python = given.python or environment("loader_peers", "torch", "torchvision", "simplejpeg", "cykooz-resizer")
    if not python:
        sys.exit("error: there is nothing to compare with")
    load = quiet()
    ours = {resampler: {size: [] for size in _SIZES} for resampler in _GOALS}
    peers, starts = {name: [] for name in _PEERS}, []
    with tempfile.TemporaryDirectory() as folder:
        write_photos(Path(folder))
        for _ in range(rounds):
            for resampler, sizes in ours.items():
                for size, several in sizes.items():
                    several.append(child(sys.executable, "loader_effjax", folder, size, resampler))
            for name, several in peers.items():
                several.append(child(python, "loader_peers", folder, "224", name))
            starts.append(child(sys.executable, "loader_effjax", folder, "224", "start"))
    cpu = {by: {size: [one["cpu"] for one in several] for size, several in sizes.items()} for by, sizes in ours.items()}
    theirs = {name: [one["cpu"] for one in several] for name, several in peers.items()}
    full = {by: sizes["224"] for by, sizes in cpu.items()}
    labels = {"effjax": full["pillow"], "effjax, `simd`": full["simd"]}
    labels |= {label: theirs[name] for name, label in _PEERS.items()}
    rows = [(label, speed(own), *(ratio(own, full[by]) for by in full)) for label, own in labels.items()]
    stages = [
        (size, *(cell for sizes in cpu.values() for cell in (speed(sizes[size]), ratio(sizes["224"], sizes[size]))))
        for size in _SIZES
    ]
    start = statistics.median(one["cpu"] for one in starts)
    said = {"pillow": "views of photos", "simd": "views of photos by `simd`"}
    goals = [
        *(
            Goal(f"{said[by]}, over {_PEERS[name]}", middle_ratio(theirs[name], full[by]), least, True)
            for by, bounds in _GOALS.items()
            for name, least in bounds.items()
        ),
        Goal("views of 160 pixels, over those of 224", middle_ratio(full["pillow"], cpu["pillow"]["160"]), 1.3, True),
        Goal("a reading process starts, CPU seconds", start, 0.5),
    ]
    per = "images a CPU second"
    text = [
        "# Views of photos",
        _HEAD,
        Table(("224 pixels", per, "effjax is faster by", "`simd` is faster by"), rows).markdown(),
        Table(("pixels", per, "faster than at 224", f"`simd`: {per}", "faster than at 224"), stages).markdown(),
        f"A reading process takes {start:.2f} CPU seconds until its first batch, of one photo, is there.",
    ]
    versions = [f"{name} {version}" for name, version in peers["torchvision"][0]["versions"].items()]
    write_page(
        RESULTS / "loader.md",
        text,
        load,
        goals,
        f"effjax has {ours['pillow']['224'][0]['decoder']}; {', '.join(versions)}",
    )
    print((RESULTS / "loader.md").read_text())


_HEAD = """\
`python -m benchmarks.loader` wrote this. `simd`: `config.view.resampler="simd"`, which resizes in vector instructions.
To read a photo and to undo its coding costs the same for every size, and is most of the time there: small stages save
less."""


def child(python: Path | str, module: str, *arguments: str) -> dict:
    return measure([str(python), "-m", f"benchmarks.{module}", *arguments])


def speed(seconds: list[float]) -> str:
    return f"{1 / statistics.median(seconds):,.0f}"


if __name__ == "__main__":
    main()
