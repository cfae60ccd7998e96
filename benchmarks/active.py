"""effjax's selectors and scores beside scikit-activeml's, baal's, modAL's and plain numpy's, in one run on one machine.

    .venv/bin/python -m benchmarks.active
    .venv/bin/python -m benchmarks.active --only=bald,k_center
    .venv/bin/python -m benchmarks.active --results=results/active_speed.md

Makes .venv-active with the peers in it if it is not there. Every library is timed in a process of its own, effjax and
a peer in turn; numpy, and what effjax is compared with itself in, is timed in turn within effjax's process. Compiling
is left out. A quarter of an hour on two idle CPU cores, a third of it for scikit-activeml's core-set and for baal's
BatchBALD, which is stopped.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from absl import app, flags

from benchmarks.active_table import HEADER, Line, alone, compared, line, memory, same_picks, same_values, shown
from benchmarks.pages import quiet, write_page
from benchmarks.train_step import _PAIRS, _ROOT, measure

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # or this process would take the GPU's memory

_PEERS = _ROOT / ".venv-active"
_TORCH, _PACKAGES = "torch==2.13.0", ("scikit-activeml", "baal", "modAL-python")
_ALL_THERE = f"import importlib.metadata as m; [m.version(name) for name in {_PACKAGES}]"
_BAAL_LIMIT = 150  # seconds for BatchBALD

Lines = list[Line]


class Bench:
    """Starts the timing processes, and says so.

    Attributes:
      peers: the Python that has the peers, or None.
      versions: of the peers, once one has run.
    """

    def __init__(self, folder: Path):
        self.peers = peers_python()
        self.versions = "no peers"
        self._found = folder / "found.npz"

    def ours(self, row: str, mode: str = "time", rounds: int = 1) -> dict:
        return self._run([sys.executable, "-m", "benchmarks.active_effjax"], row, mode, rounds)

    def theirs(self, row: str, mode: str = "time", rounds: int = 1, timeout: float | None = None) -> dict:
        run = self._run([str(self.peers), "-m", "benchmarks.active_peers"], row, mode, rounds, timeout)
        self.versions = run["versions"]
        return run

    def in_turn(self, row: str, rounds: int) -> tuple[list[dict], list[dict]]:
        """Processes of effjax and of the peers, one after the other; none of the peers if there are none."""
        runs, peers = [], []
        for _ in range(_PAIRS):
            runs.append(self.ours(row, rounds=rounds))
            if self.peers:
                peers.append(self.theirs(row, rounds=rounds))
        return runs, peers

    def memory(self, run: Callable[..., dict], row: str) -> float:
        """Bytes at the peak of a process that does a row once, over one that only has its inputs."""
        return run(row, "once")["peak_bytes"] - run(row, "nothing")["peak_bytes"]

    def steps(self, row: str, rounds: int) -> dict:
        print(f"  … {row}, effjax beside itself", flush=True)
        return measure([sys.executable, "-m", "benchmarks.active_steps", f"--row={row}", f"--rounds={rounds}"])

    def _run(self, program: list[str], row: str, mode: str, rounds: int, timeout: float | None = None) -> dict:
        print(f"  … {row}, {program[-1].removeprefix('benchmarks.active_')}: {mode}", flush=True)
        run = measure(
            [*program, f"--row={row}", f"--mode={mode}", f"--rounds={rounds}", f"--found={self._found}"], timeout
        )
        with np.load(self._found) as found:
            return {**run, "found": dict(found)}


def medians(runs: list[dict], name: str) -> list[float]:
    """A process's median, a process."""
    return [statistics.median(run["seconds"][name]) for run in runs]


def k_center(bench: Bench) -> Lines:
    what, run = "k-center, 1,000 of 20,000 × 512", bench.ours("k_center", rounds=_PAIRS)
    times, picks = run["seconds"], run["found"]["effjax/picks"]
    same = same_picks(picks, run["found"]["numpy/picks"])
    lines = [compared(what, times["effjax"], "numpy, incremental", times["numpy"], 0.9, same)]
    if bench.peers:
        peer = bench.theirs("k_center")
        same = same_picks(picks, peer["found"]["scikit-activeml/picks"])
        theirs = peer["seconds"]["scikit-activeml"]
        lines.append(compared(what, medians([run], "effjax"), "scikit-activeml CoreSet, once", theirs, 0.025, same))
    return lines


def k_center_of_200k(bench: Bench) -> Lines:
    what, run = "k-center, 1,000 of 200,000 × 512", bench.ours("k_center_of_200k", rounds=2)
    times, found = run["seconds"], run["found"]
    same = same_picks(found["effjax/picks"], found["numpy/picks"])
    return [compared(what, times["effjax"], "numpy, incremental", times["numpy"], 0.12, same)]


def k_center_of_a_million(bench: Bench) -> Lines:
    what, row = "k-center, 1,000 of 1,000,000 × 512, one core", "k_center_of_a_million"
    return [alone(what, medians([bench.ours(row, rounds=2)], "effjax"), bench.memory(bench.ours, row), 25)]


def typiclust(bench: Bench) -> Lines:
    what = "TypiClust, 100 of 100,000 × 512, 500 clusters"
    ours = medians([bench.ours("typiclust", rounds=2)], "effjax")
    return [alone(what, ours, bench.memory(bench.ours, "typiclust"), 29)]


def badge(bench: Bench) -> Lines:
    what = "BADGE, 50 of 5,000 × 512 × 10 classes"
    runs, peers = bench.in_turn("badge", rounds=3)
    used = bench.memory(bench.ours, "badge")
    if not peers:
        return [alone(what, medians(runs, "effjax"), used)]
    first = runs[0]["found"]["effjax/picks"][0], peers[0]["found"]["scikit-activeml/picks"][0]
    same = f"the first pick is {'' if first[0] == first[1] else 'NOT '}the same; the others are drawn"
    theirs = medians(peers, "scikit-activeml")
    return [
        compared(what, medians(runs, "effjax"), "scikit-activeml Badge", theirs, 0.05, same),
        memory(what, used, "scikit-activeml Badge", bench.memory(bench.theirs, "badge"), 1),
    ]


def batch_bald(bench: Bench) -> Lines:
    what = "BatchBALD, 10 of 5,000 × 10 classes, 20 members"
    ours = medians([bench.ours("batch_bald", rounds=_PAIRS)], "effjax")
    lines = [alone(what, ours, bench.memory(bench.ours, "batch_bald"), 60)]
    if bench.peers:
        try:
            theirs = medians([bench.theirs("batch_bald", timeout=_BAAL_LIMIT)], "baal")
            lines.append(compared(what, ours, "baal BatchBALD, once", theirs, values="drawn"))
        except subprocess.TimeoutExpired:
            share = f"< {ours[0] / _BAAL_LIMIT:.3f}"
            lines.append(line(what, shown(ours), "baal BatchBALD", f"not done in {_BAAL_LIMIT} s", share, ""))
    return lines


def bald(bench: Bench) -> Lines:
    what = "BALD, 50,000 × 10 classes × 20 members"
    runs, peers = bench.in_turn("bald", rounds=9)
    found, ours = runs[0]["found"], medians(runs, "effjax")
    same = same_values(found["effjax/bald"], found["numpy/bald"])
    lines = [compared(what, ours, "numpy, float32", medians(runs, "numpy"), 1, same)]
    if peers:
        others = peers[0]["found"]
        for peer, goal in (("baal", 1), ("scikit-activeml", None)):
            same = same_values(found["effjax/bald"], others[f"{peer}/bald"])
            lines.append(compared(what, ours, peer, medians(peers, peer), goal, same))
        lines.append(of_the_mean(runs, peers))
    return lines


def of_the_mean(runs: list[dict], peers: list[dict]) -> Line:
    """modAL's scores, which are of one prediction."""
    one, other, scores = "effjax, of the mean", "modAL", ("entropy", "margin", "least")
    ours, theirs = (
        np.stack([run[0]["found"][f"{name}/{s}"] for s in scores]) for run, name in ((runs, one), (peers, other))
    )
    what = "entropy, margin, least confidence, 50,000 × 10"
    return compared(what, medians(runs, one), other, medians(peers, other), None, same_values(ours, theirs))


def ensemble(bench: Bench) -> Lines:
    run = bench.steps("ensemble", rounds=7)
    what = f"train step of 5 S-CNNs, batch 64, {run['steps_per_dispatch']} a dispatch"
    goal = 5.2 if run["device"] == "cpu" else 2
    return [compared(what, run["seconds"]["several"], "of one S-CNN", run["seconds"]["one"], goal)]


def scoring(bench: Bench) -> Lines:
    what, run = "entropy of 1,024 images, S-CNN", bench.steps("scoring", rounds=9)
    return [compared(what, run["seconds"]["several"], "plain inference", run["seconds"]["one"], 1.05)]


def dropout(bench: Bench) -> Lines:
    what, run = "entropy of 25 passes with dropout over 1,024 images, S-CNN", bench.steps("dropout", rounds=5)
    return [compared(what, run["seconds"]["several"], "25 times plain inference", run["seconds"]["one"], 1)]


ROWS: Mapping[str, Callable[[Bench], Lines]] = {
    "k_center": k_center,
    "k_center_of_200k": k_center_of_200k,
    "k_center_of_a_million": k_center_of_a_million,
    "typiclust": typiclust,
    "badge": badge,
    "batch_bald": batch_bald,
    "bald": bald,
    "ensemble": ensemble,
    "scoring": scoring,
    "dropout": dropout,
}

_ONLY = flags.DEFINE_list("only", list(ROWS), f"the rows to run, of {', '.join(ROWS)}")
_RESULTS = flags.DEFINE_string("results", None, "the Markdown page to write; none without it")


flags.register_validator("only", lambda names: set(names) <= set(ROWS), f"rows are {', '.join(ROWS)}")


def main(_) -> None:
    load = quiet() if _RESULTS.value else 0.0
    lines: Lines = []
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        for name, row in ROWS.items():
            if name in _ONLY.value:
                new = row(bench)
                print("\n".join(one.text for one in new), flush=True)
                lines += new
                if _RESULTS.value:  # after each, so that a run that is stopped leaves what it has measured
                    write(Path(_RESULTS.value), lines, load, bench.versions)


def peers_python() -> Path | None:
    """The peers get an environment of their own: effjax does not need them."""
    python = _PEERS / "bin" / "python"
    if python.exists() and not subprocess.run([python, "-c", _ALL_THERE], capture_output=True).returncode:
        return python
    print(f"  … installing {', '.join(_PACKAGES)} into {_PEERS.name}, once", flush=True)
    try:
        venv.create(_PEERS, with_pip=True)
        for packages in ((_TORCH, "numpy"), _PACKAGES):  # baal takes the torch that is there
            subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True)
    except (subprocess.CalledProcessError, OSError):
        install = f"{_PEERS.name}/bin/pip install {_TORCH} {' '.join(_PACKAGES)}"
        print(f"without peers, for they could not be installed: python -m venv {_PEERS.name} && {install}", flush=True)
        return None
    return python


def write(path: Path, lines: Lines, load: float, versions: str) -> None:
    text = ["# Active learning: what choosing costs", _HEAD, "\n".join([*HEADER, *(one.text for one in lines)])]
    write_page(path, text, load, [one.goal for one in lines if one.goal], versions)


_HEAD = """\
`python -m benchmarks.active --results=results/active_speed.md` wrote this.
Medians without compiling; ratios pair by pair, with their range. Each library has its inputs as its own kind
of array, in its own layout. Memory is the peak of a process that picks once, compiling included, over one
that has the inputs alone."""


if __name__ == "__main__":
    app.run(main)
