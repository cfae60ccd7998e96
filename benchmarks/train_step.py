"""effjax's train step against the same network written plainly in PyTorch, in one run on one machine.

    .venv/bin/python -m benchmarks.train_step

Makes .venv-torch with PyTorch in it if it is not there. For mlp, scnn and resnet20 the two are timed in turn, effjax,
torch, effjax, torch, …, each time in a new process; a ratio is of one pair, and the table has their median and range.
The latter two once more with their convolutions by oneDNN (``run.convolutions="onednn"``), beside the same processes.
Also: the loop's own cost, ``fit`` over the bare compiled step, and steps a second at one and at many steps a dispatch.
Writes results/train_step.md. About ten minutes on two CPU cores.
"""

import json
import os
import statistics
import subprocess
import sys
import venv
from pathlib import Path

from benchmarks.pages import RESULTS, Goal, middle_ratio, quiet, write_page

_ROOT = Path(__file__).parents[1]
_TORCH = _ROOT / ".venv-torch"
_CASES = {"mlp": (64, 640), "scnn": (64, 40), "resnet20": (128, 12)}  # batch, timed steps
_BY_ONEDNN = ("scnn", "resnet20")  # measured once more with ``run.convolutions="onednn"``
_GOALS = {"mlp": 0.5, "scnn": 0.65, "resnet20": 1.1}  # over PyTorch
_PAIRS = 3


def main() -> None:
    python, load, goals = torch_python(), quiet(), []
    lines = [
        "| model | batch | effjax, ms a step | steps a dispatch | PyTorch, ms a step | effjax / PyTorch (range) "
        "| steps/s at one a dispatch | at many | fit / bare step | of a large product's speed |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    torch_version = ""
    for model, (batch, steps) in _CASES.items():
        ways = ("xla", "onednn") if model in _BY_ONEDNN else ("xla",)
        ours, theirs = {way: [] for way in ways}, []
        for pair in range(_PAIRS):
            loop = ["--loop"] if pair == _PAIRS - 1 else []
            arguments = [f"--model={model}", f"--batch={batch}", f"--steps={steps}"]
            for way, found in ours.items():
                own = [*arguments, *loop, f"--convolutions={way}"]
                found.append(measure([sys.executable, "-m", "benchmarks.effjax_step", *own]))
            theirs.append(measure([str(python), "benchmarks/torch_models.py", *arguments]))
        torch_version = f"torch {theirs[0]['torch']}, {theirs[0]['threads']} threads, {theirs[0]['device']}"
        other = [run["seconds"]["median"] for run in theirs]
        for way, found in ours.items():
            label = model if way == "xla" else f"{model}, by oneDNN"
            lines.append(row(label, batch, found, theirs))
            print(lines[-1], flush=True)
            many = [run["many"]["median"] for run in found]
            goals.append(Goal(f"a step of {label}, over PyTorch", middle_ratio(many, other), _GOALS[model]))
        # After each, so that a run that is stopped leaves what it has measured.
        write(lines, load, goals, torch_version)


def row(model: str, batch: int, ours: list[dict], theirs: list[dict]) -> str:
    many = [run["many"]["median"] for run in ours]
    single = statistics.median(run["single"]["median"] for run in ours)
    other = [run["seconds"]["median"] for run in theirs]
    ratios = [a / b for a, b in zip(many, other, strict=True)]
    cells = [
        model,
        batch,
        f"{1e3 * statistics.median(many):.2f}",
        ours[0]["many"]["steps_per_dispatch"],
        f"{1e3 * statistics.median(other):.2f}",
        f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})",
        f"{1 / single:.1f}",
        f"{1 / statistics.median(many):.1f}",
        f"{ours[-1]['loop']['over_bare']:.3f}",
        f"{statistics.median(run['share'] for run in ours):.0%}",
    ]
    return f"| {' | '.join(map(str, cells))} |"


def measure(command: list[str], timeout: float | None = None) -> dict:
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(command, cwd=_ROOT, env=environment, capture_output=True, text=True, timeout=timeout)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def torch_python() -> Path:
    """PyTorch gets an environment of its own: effjax does not need it."""
    python = _TORCH / "bin" / "python"
    if not python.exists():
        venv.create(_TORCH, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "torch==2.13.0", "numpy"], check=True)
    return python


def write(lines: list[str], load: float, goals: list[Goal], torch_version: str) -> None:
    text = ["# Train step: effjax and plain PyTorch", _HEAD, "\n".join(lines)]
    write_page(RESULTS / "train_step.md", text, load, goals, torch_version)


_HEAD = f"""\
`.venv/bin/python -m benchmarks.train_step` wrote this. Medians over a process's steps; ratios pair by pair,
median and range of {_PAIRS} pairs. *fit / bare step* is the whole of `fit`, metrics, checks and the final
checkpoint included, over the compiled program alone, for as many steps as take ten seconds. *Of a large product's
speed*: the FLOPs a second of a whole step, those of its products and convolutions counted alone, over those of one
product of 2048×2048 float32 matrices at its best, in the same process."""


if __name__ == "__main__":
    main()
