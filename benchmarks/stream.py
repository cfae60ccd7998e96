"""Whether a run on a stream is as fast as the slower of its readers and its device; what a host of so many cores feeds.

    python -m benchmarks.stream [--rounds=3]

JPEGs of 500×375 pixels, cut as ImageNet's recipes cut them. The run trains on one core of this machine and is read for
on another, once by a network that waits for its photos and once by one that photos wait for. Two idle cores; ten
minutes. Writes results/stream.md.
"""

import argparse
import itertools
import operator
import os
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.curriculum_loader import write_photos
from benchmarks.pages import RESULTS, Goal, quiet, write_page
from benchmarks.train_step import measure
from effjax.data.fast_resize import RESAMPLERS
from effjax.reports.tables import Table

_CASES = {"the readers": ("mlp", "8", "200"), "the device": ("resnet18", "0.125", "80")}
_BATCH = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds, load = parser.parse_args().rounds, quiet()
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("error: two cores are needed, one that trains and one that reads")
    rows, goals, read = [], [], {resampler: [] for resampler in RESAMPLERS}
    with tempfile.TemporaryDirectory() as folder:
        write_photos(Path(folder))
        for resampler, (limit, (model, width, steps)) in itertools.product(RESAMPLERS, _CASES.items()):
            given = {"folder": folder, "model": model, "width": width, "steps": steps, "rounds": rounds}
            given["resampler"] = resampler
            options = [f"--{name}={value}" for name, value in given.items()]
            times = measure([sys.executable, "-m", "benchmarks.stream_run", *options])
            slower = [max(pair) for pair in zip(times["read"], times["compute"], strict=True)]
            share = statistics.median(least / whole for least, whole in zip(slower, times["fit"], strict=True))
            rates = (rate(times[name]) for name in ("read", "compute", "beside", "fit"))
            of_beside = statistics.median(map(operator.truediv, times["beside"], times["fit"]))
            beside = f"{of_beside:.3f}" if limit == "the device" else ""
            rows.append((limit, model, resampler, *rates, f"{share:.3f}", beside))
            what = f"fit over the slower of readers (`{resampler}`) and device, where it is {limit}"
            goals.append(Goal(what, share, 0.95, True))
            read[resampler] += times["read"]
    head = ("slower", "network", "resampler", "reader alone", "device alone", "device beside a reader", "fit")
    head += ("fit / the slower", "fit / device beside a reader")
    each = {resampler: _BATCH / statistics.median(times) for resampler, times in read.items()}
    text = [
        "# Training on a stream of photos",
        "`python -m benchmarks.stream` wrote this. Images a second at 224 pixels; one core trains, another reads.",
        Table(head, rows).markdown(),
        "Beside a reader, the device trains on one batch again and again while the reader reads as many for nobody: "
        "what it loses then, two cores of one machine take from one another.",
        "One core reads {pillow:,.0f} photos a second, {simd:,.0f} with `simd`. ".format(**each)
        + "Of those that accelerators train on a second, every thousand want {pillow:.1f} cores that read, "
        "{simd:.1f} with `simd`; or photos stored smaller.".format(**{by: 1000 / own for by, own in each.items()}),
    ]
    write_page(RESULTS / "stream.md", text, load, goals)
    print((RESULTS / "stream.md").read_text())


def rate(seconds: list[float]) -> str:
    return f"{_BATCH / statistics.median(seconds):,.0f}"


if __name__ == "__main__":
    main()
