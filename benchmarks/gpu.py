"""effjax's steps on a GPU: a taught ResNet-18 against plain PyTorch, compiled, and five networks in one program.

    python -m benchmarks.gpu --torch=python3

One after the other, each in a process of its own: benchmarks.gpu_step (distil, members) and
benchmarks/torch_gpu_step.py, by a Python that has torch and torchvision (``--torch``). What each printed is kept in
``--state``, so that what was stopped goes on. Writes results/gpu_speed.md. Some four minutes on an H200.
"""

import json
import sys
from pathlib import Path

from absl import app, flags

from benchmarks.train_step import measure
from effjax.runtime.machine import processor

_ROOT = Path(__file__).parents[1]
_TORCH = flags.DEFINE_string("torch", "python3", "a Python that has torch and torchvision for this GPU")
_STATE = flags.DEFINE_string("state", "runs/gpu_speed", "a folder for what the processes print")
_ROUNDS = flags.DEFINE_integer("rounds", 6, "how often each is timed")


def main(_):
    commands = {
        "distil": [sys.executable, "-m", "benchmarks.gpu_step", "--case=distil"],
        "torch": [_TORCH.value, "benchmarks/torch_gpu_step.py"],
        "members": [sys.executable, "-m", "benchmarks.gpu_step", "--case=members"],
    }
    found = {name: printed(name, [*command, f"--rounds={_ROUNDS.value}"]) for name, command in commands.items()}
    (_ROOT / "results" / "gpu_speed.md").write_text("\n".join(text(found)) + "\n")


def printed(name: str, command: list[str]) -> dict:
    """What a process printed, now or in an earlier run."""
    path = Path(_STATE.value) / f"{name}.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(measure(command, timeout=1200)))
    return json.loads(path.read_text())


def text(found: dict[str, dict]) -> list[str]:
    ours, theirs, members = found["distil"], found["torch"], found["members"]
    return [
        "# effjax on a GPU",
        "",
        "`python -m benchmarks.gpu` wrote this. Milliseconds a step, the median of the rounds (least – most); an entry",
        "is a process of its own, on an otherwise idle GPU.",
        "",
        "## A ResNet-18 that a ResNet-50 teaches",
        "",
        "128 images of 224×224 a step, bfloat16, the teacher beside the student, SGD with momentum, images on the",
        "device. PyTorch: torchvision's networks, channels last, autocast, `torch.compile` as it comes. effjax's step",
        "normalises, measures and checks besides, and several go into one dispatch: what the host costs is not waited",
        "for, which is where PyTorch's times scatter.",
        "",
        "| | effjax | PyTorch, compiled | PyTorch, eager | PyTorch, compiled / effjax | its least / effjax |",
        "|---|---:|---:|---:|---:|---:|",
        row("distilled", ours, theirs, "distilled"),
        row("cross-entropy alone", ours, theirs, "plain"),
        "",
        "## Five networks in one program",
        "",
        "The same step for one network, for five laid out one after the other, and for five mapped by `vmap`. Empty:",
        "not timed.",
        "",
        "| | batch | one | five in turn | five mapped | in turn / one | mapped / one |",
        "|---|---:|---:|---:|---:|---:|---:|",
        *(together(members, name, label, batch) for name, label, batch in _MEMBERS),
        "",
        f"- hardware: 1 × {ours['device']}, {ours.get('processor') or processor()}",
        f"- jax {ours['jax']}; torch {theirs['torch']}",
    ]


_MEMBERS = (("scnn", "S-CNN, 28×28", 32), ("resnet20", "ResNet-20, 32×32", 128))


def row(label: str, ours: dict, theirs: dict, name: str) -> str:
    own, compiled = ours["seconds"][name], theirs["seconds"][f"{name}, compiled"]
    cells = [label, ms(ours, name), ms(theirs, f"{name}, compiled"), ms(theirs, f"{name}, eager")]
    cells += [f"{compiled / own:.2f}", f"{theirs['range'][f'{name}, compiled'][0] / own:.2f}"]
    return f"| {' | '.join(cells)} |"


def together(report: dict, name: str, label: str, batch: int) -> str:
    keys = [f"{name}, {which}" for which in ("one", "five in turn", "five mapped")]
    one, *several = (report["seconds"].get(key) for key in keys)
    ratios = ["" if seconds is None else f"{seconds / one:.1f}" for seconds in several]
    return f"| {' | '.join([label, str(batch), *(ms(report, key) for key in keys), *ratios])} |"


def ms(report: dict, name: str) -> str:
    """Empty where it was not timed."""
    if name not in report["seconds"]:
        return ""
    low, high = (1e3 * value for value in report["range"][name])
    return f"{1e3 * report['seconds'][name]:.2f} ({low:.2f}–{high:.2f})"


if __name__ == "__main__":
    app.run(main)
