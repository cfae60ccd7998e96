"""effjax on a GPU: a taught ResNet-18 against plain PyTorch, compiled; five networks in one program; a whole figure.

    python -m benchmarks.gpu --torch=python3 [--only=distil]

One after the other, each in a process of its own: benchmarks.gpu_step (distil, members), benchmarks/torch_gpu_step.py,
by a Python that has torch and torchvision (``--torch``), and benchmarks.gpu_bengio. What each printed is kept in
``--state``, so that what was stopped goes on. Writes results/gpu_speed.md, results/gpu_members.md and
results/gpu_bengio.md. Some four minutes on an H200 for the first, one and three for the others.
"""

import json
import sys
from pathlib import Path

from absl import app, flags

from benchmarks.train_step import measure

_ROOT = Path(__file__).parents[1]
_TORCH = flags.DEFINE_string("torch", "python3", "a Python that has torch and torchvision for this GPU")
_STATE = flags.DEFINE_string("state", "runs/gpu_speed", "a folder for what the processes print")
_ONLY = flags.DEFINE_list("only", ["distil", "members", "bengio"], "tables")
_ROUNDS = flags.DEFINE_integer("rounds", 6, "how often each is timed")


def main(_):
    step = [sys.executable, "-m", "benchmarks.gpu_step"]
    commands = {
        "distil": {"distil": [*step, "--case=distil"], "torch": [_TORCH.value, "benchmarks/torch_gpu_step.py"]},
        "members": {"members": [*step, "--case=members"]},
        "bengio": {"bengio": [sys.executable, "-m", "benchmarks.gpu_bengio"]},
    }
    for table in _ONLY.value:
        found = {name: printed(name, command) for name, command in commands[table].items()}
        lines = [*_HEAD, *{"distil": distilled, "members": together, "bengio": figure}[table](**found)]
        facts = {
            kind: one[kind] for one in found.values() for kind in ("device", "processor", "jax", "torch") if kind in one
        }
        lines += [f"- {kind}: {fact}" for kind, fact in facts.items()]
        (_ROOT / "results" / _FILES[table]).write_text("\n".join(lines) + "\n")


def printed(name: str, command: list[str]) -> dict:
    """What a process printed, now or in an earlier run."""
    path = Path(_STATE.value) / f"{name}.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(measure([*command, f"--rounds={_ROUNDS.value}"], timeout=1200)))
    return json.loads(path.read_text())


_FILES = {"distil": "gpu_speed.md", "members": "gpu_members.md", "bengio": "gpu_bengio.md"}
_HEAD = (
    "# effjax on a GPU",
    "",
    "`python -m benchmarks.gpu` wrote this, on an otherwise idle GPU. Steps are milliseconds, the median of the rounds",
    "(least – most); each column of a table is a process of its own, one after the other.",
    "",
)


def distilled(distil: dict, torch: dict) -> list[str]:
    return [
        "## A ResNet-18 that a ResNet-50 teaches",
        "",
        "128 images of 224×224 a step, bfloat16, the teacher beside the student, SGD with momentum, images on the",
        "device. PyTorch: torchvision's networks, channels last, autocast, `torch.compile` as it comes. effjax's step",
        "normalises, measures and checks besides, and several go into one dispatch.",
        "",
        "| | effjax | PyTorch, compiled | PyTorch, eager | PyTorch, compiled / effjax | its least / effjax |",
        "|---|---:|---:|---:|---:|---:|",
        against("distilled", distil, torch, "distilled"),
        against("cross-entropy alone", distil, torch, "plain"),
        "",
    ]


def against(label: str, ours: dict, theirs: dict, name: str) -> str:
    own, compiled = ours["seconds"][name], theirs["seconds"][f"{name}, compiled"]
    cells = [label, ms(ours, name), ms(theirs, f"{name}, compiled"), ms(theirs, f"{name}, eager")]
    cells += [f"{compiled / own:.2f}", f"{theirs['range'][f'{name}, compiled'][0] / own:.2f}"]
    return f"| {' | '.join(cells)} |"


def together(members: dict) -> list[str]:
    rows = []
    for name, label, batch in (("scnn", "S-CNN, 28×28", 32), ("resnet20", "ResNet-20, 32×32", 128)):
        keys = [f"{name}, {which}" for which in ("one", "five in turn", "five mapped")]
        one, *several = (members["seconds"][key] for key in keys)
        cells = [label, str(batch), *(ms(members, key) for key in keys), *(f"{own / one:.1f}" for own in several)]
        rows.append(f"| {' | '.join(cells)} |")
    return [
        "## Five networks in one program",
        "",
        "The same step for one network, for five laid out one after the other, and for five mapped by `vmap`.",
        "",
        "| | batch | one | five in turn | five mapped | in turn / one | mapped / one |",
        "|---|---:|---:|---:|---:|---:|---:|",
        *rows,
        "",
    ]


def figure(bengio: dict) -> list[str]:
    return [
        "## Bengio's figure, from nothing to its table",
        "",
        f"configs/curriculum/bengio.py: {bengio['runs']} runs of 20 seeds each, every program compiled, every",
        f"checkpoint and evaluation made. {bengio['processes']} processes share the runs and the device; then one",
        "makes the report.",
        "",
        "| | seconds |",
        "|---|---:|",
        f"| all runs | {bengio['trained']:.0f} |",
        f"| with the report | {bengio['whole']:.0f} |",
        "",
    ]


def ms(report: dict, name: str) -> str:
    """Empty where it is not timed: of cross-entropy alone, PyTorch's eager step."""
    if name not in report["seconds"]:
        return ""
    low, high = (1e3 * value for value in report["range"][name])
    return f"{1e3 * report['seconds'][name]:.2f} ({low:.2f}–{high:.2f})"


if __name__ == "__main__":
    app.run(main)
