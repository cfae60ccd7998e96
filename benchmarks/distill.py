"""effjax's teacher–student step against the same in plain PyTorch, and what caching and early stopping save.

    .venv/bin/python -m benchmarks.distill

Each pair of networks is timed in turn, effjax, torch, effjax, torch, …, each time in a new process; a ratio is of one
pair of timings, and the table has their median and range. Within effjax's process the kinds of step are timed block by
block in turn. Writes results/distill_speed.md. About five minutes on two CPU cores.
"""

import statistics
import sys

from benchmarks.pages import RESULTS, quiet, write_page
from benchmarks.train_step import _PAIRS, measure, torch_python

_CASES = {
    "digits": ("S-CNN → MLP 128-128", "scnn", "digits_mlp", 64),
    "resnet": ("ResNet-20 → ResNet-8", "resnet20", "resnet8", 128),
}


def main() -> None:
    python, load = torch_python(), quiet()
    lines = [
        "| teacher → student | batch | plain | distilled | stored answers | PyTorch, distilled | effjax / PyTorch "
        "| stored / live teacher | after the switch / plain |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    memory = ["| teacher → student | batch | cross-entropy | soft targets | contrastive |", "|---|---:|---:|---:|---:|"]
    for pair, (label, teacher, student, batch) in _CASES.items():
        ours, theirs = [], []
        for _ in range(_PAIRS):
            ours.append(
                measure([sys.executable, "-m", "benchmarks.distill_step", f"--pair={pair}", f"--batch={batch}"])
            )
            torch = [str(python), "benchmarks/torch_models.py", f"--model={student}", f"--teacher={teacher}"]
            theirs.append(measure([*torch, f"--batch={batch}", "--steps=30"]))
        lines.append(row(label, batch, ours, theirs))
        used = ours[0]["temporary_bytes"]
        cells = (f"{used[name] / 2**20:.1f}" for name in ("plain", "distilled", "contrastive"))
        memory.append(f"| {label} | {batch} | {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    write(lines, memory, load, f"torch {theirs[0]['torch']}, {theirs[0]['threads']} threads, {theirs[0]['device']}")


def row(label: str, batch: int, ours: list[dict], theirs: list[dict]) -> str:
    def ms(name: str) -> str:
        return f"{1e3 * statistics.median(run['seconds'][name] for run in ours):.2f}"

    def ratio(name: str) -> str:
        low, middle, high = (statistics.median(run[name][i] for run in ours) for i in range(3))
        return f"{middle:.3f} ({low:.3f}–{high:.3f})"

    other = [run["seconds"]["median"] for run in theirs]
    ratios = [run["seconds"]["distilled"] / seconds for run, seconds in zip(ours, other, strict=True)]
    cells = [
        label,
        batch,
        *(ms(name) for name in ("plain", "distilled", "cached")),
        f"{1e3 * statistics.median(other):.2f}",
        f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})",
        ratio("cached_over_live"),
        ratio("after_switch_over_plain"),
    ]
    return f"| {' | '.join(map(str, cells))} |"


def write(lines: list[str], memory: list[str], load: float, torch_version: str) -> None:
    text = ["# Distillation: what a step costs", _HEAD, "\n".join(lines), _MEMORY, "\n".join(memory)]
    write_page(RESULTS / "distill_speed.md", text, load, versions=torch_version)


_HEAD = """\
`.venv/bin/python -m benchmarks.distill` wrote this. Milliseconds a step, medians; ratios with their range.
*After the switch* is the second stage of a plan that drops the teacher: neither run nor held any more."""
_MEMORY = f"""\
Memory that a step works in besides its arguments, MiB. For 50,000 images CRD keeps a bank of 128 numbers for
each network: {2 * 50_000 * 128 * 4 / 2**20:.0f} MiB more; in the batch there is none."""


if __name__ == "__main__":
    main()
