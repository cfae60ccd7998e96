"""Training in few bits: effjax beside qwix, what a step costs and how accurate a network becomes.

    .venv/bin/python -m benchmarks.compress_qwix [--only=step,accuracy] [--seeds=5] [--peers=PYTHON]

Both take the same flax modules through the same training step, in an environment that has qwix: its QtProvider, which
computes with integers, and its OdmlQatProvider, which rounds floats, as effjax does. A step's time is over that of the
plain step of its network, in one process, in turn; each pair is a process of its own, so that one that fails says how.
Writes results/compress_qwix.md. On two cores, the steps take about fifteen minutes, and want them for themselves; the
accuracies half an hour. Sections that are not run stay on the page as they are.
"""

import argparse
import json
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.environments import environment
from benchmarks.fine_tuning import BATCH, RATE, digits
from benchmarks.pages import RESULTS, quiet, write_sections
from benchmarks.train_step import measure
from effjax.reports.tables import Estimate

_ROOT = Path(__file__).parents[1]
_PACKAGES = ("qwix==0.1.8", "jax==0.10.2", "flax", "optax", "chex", "pillow", "scipy", "safetensors")
_NETWORKS = ("S-CNN, 28", "ResNet-20, 32", "EfficientNet-Lite0, 112")
_WHOSE = ("effjax", "qwix", "qwix, ODML")
_LIMIT = 600  # seconds for a pair


def steps(python: Path, given: argparse.Namespace) -> Iterator[str]:
    """A step in few bits over a plain one"""
    yield "| network | plain, ms (min) | " + " | ".join(f"{w}, {b}" for b in ("w8a8", "w4a4") for w in _WHOSE) + " |"
    yield "|---|---:|" + "---:|" * 6
    for label in _NETWORKS:
        cells, plain = [], []
        for bits in ("w8a8", "w4a4"):
            for whose in _WHOSE:
                found = pair(python, label, whose, bits)
                cells.append(found.get("ratio") or re.sub(r"[|\n]", " ", found["failed"])[:170])
                plain += [found["plain"]] if "plain" in found else []
        yield f"| {label} | {1e3 * min(plain):.1f} | {' | '.join(cells)} |"


def pair(python: Path, label: str, whose: str, bits: str) -> dict:
    """A network's step in few bits and its plain one; or how that fails."""
    command = [str(python), "-m", "benchmarks.compress_qwix_child", "step", label, whose, bits]
    try:
        done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False, timeout=_LIMIT)
    except subprocess.TimeoutExpired:
        return {"failed": f"not done after {_LIMIT} s"}
    if done.returncode:
        return {"failed": f"ended with {done.returncode}: {(done.stderr.strip().splitlines() or ['?'])[-1]}"}
    return json.loads(done.stdout.splitlines()[-1])


def accuracies(python: Path, given: argparse.Namespace) -> Iterator[str]:
    """A ResNet-20 in four bits, on digits"""
    rows: dict[str, list[dict]] = {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "given.npz"
        data = {split: digits(split, given.data_dir) for split in ("train", "test")}
        np.savez(
            file,
            **{f"{split}_images": one.image for split, one in data.items()},
            **{f"{split}_labels": one.label for split, one in data.items()},
        )
        for seed in range(given.seeds):
            command = [str(python), "-m", "benchmarks.compress_qwix_child", "accuracy", str(file)]
            found = measure([*command, str(seed), str(given.epochs)])
            print(f"  … seed {seed}: {found}", flush=True)
            for row, value in found.items():
                rows.setdefault(row, []).append({"seed": seed, "accuracy": value})
    yield "| bits | test accuracy | Δ to effjax, w4a4 |"
    yield "|---|---:|---:|"
    for row, several in rows.items():
        failed = [one["accuracy"] for one in several if isinstance(one["accuracy"], str)]
        if failed:
            yield f"| {row} | {re.sub(r'[|]', ' ', failed[0])[:170]} | |"
            continue
        own = rows["effjax, w4a4"]
        gain = "" if several is own else Estimate.paired(several, own, "accuracy").percent("+")
        yield f"| {row} | {Estimate.over_seeds(several, 'accuracy').percent()} | {gain} |"


SECTIONS = {"step": steps, "accuracy": accuracies}
_SAID = {
    "step": "Median and range of the ratios. Batches of 64, of EfficientNet-Lite0 16; SGD with momentum.",
    "accuracy": f"{{epochs}} epochs, Adam from {RATE} along a cosine to 0, batches of {BATCH}; the last two fifths of "
    "the steps in four bits, from the same floats and on the same batches; first and last layer in eight. Each network "
    "is evaluated as its own library simulates it. Mean ± standard deviation over {seeds} seeds; Δ by seed, ± half its "
    "95 % interval.",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(SECTIONS), help="sections, separated by commas")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--data_dir", default="data")
    parser.add_argument("--peers", type=Path, help=f"a Python that has {', '.join(_PACKAGES)}; one is made without it")
    parser.add_argument("--results", type=Path, default=RESULTS / "compress_qwix.md")
    given = parser.parse_args()
    if unknown := set(given.only.split(",")) - set(SECTIONS):
        parser.error(f"no section {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    python = given.peers or environment("peers_qwix", *_PACKAGES)
    if python is None:
        raise SystemExit("there is nothing to compare with")
    load = quiet() if "step" in given.only else None
    asked = "import importlib.metadata as m; print('qwix', m.version('qwix'))"
    versions = subprocess.run([python, "-c", asked], capture_output=True, text=True, check=True).stdout.strip()
    titles = {name: (section.__doc__ or "").strip() for name, section in SECTIONS.items()}
    found = {}
    for name in given.only.split(","):
        print(f"\n{titles[name]}", flush=True)
        lines = []
        for line in SECTIONS[name](python, given):
            print(line, flush=True)
            lines.append(line)
        said = _SAID[name].format(epochs=given.epochs, seeds=given.seeds)
        found[titles[name]] = f"{said}\n\n" + "\n".join(lines)
    head = ["# Training in few bits, beside qwix", _HEAD]
    write_sections(given.results, head, list(titles.values()), found, load, versions)


_HEAD = """\
`python -m benchmarks.compress_qwix` wrote this. *qwix* is its QtProvider, which computes with integers and scales that
each batch gives; *qwix, ODML* its OdmlQatProvider, which rounds floats to scales that are averaged over the steps. Both
train with batch normalisation as it is; effjax folds it, but for *live*. The step is effjax's for all of them."""


if __name__ == "__main__":
    main()
