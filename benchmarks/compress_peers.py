"""Eight bits after training: effjax's file beside those that onnxruntime's own quantiser makes of the same floats.

    .venv/bin/python -m launch.compress --config=configs/compress/digits.py:after --workdir=runs/compress
    .venv/bin/python -m benchmarks.compress_peers --workdir=runs/compress [--only=digits,photos] [--data_dir=data]

For every seed of an experiment of launch.compress: the float file ``student``, effjax's ``after_w8a8``, and what
onnxruntime.quantization makes of the float file by each of its three methods of calibration (MinMax, Entropy,
Percentile; QDQ, uint8 activations, int8 weights, per channel), calibrated on the same 512 training images. Accuracy on
the test split, agreement with the float file, bytes, and the milliseconds of the first seed's files in turn. And
EfficientNet-Lite0 with its ImageNet weights, on real photos. Writes results/compress_peers.md.
"""

import argparse
import json
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks import compress_photos
from benchmarks.compress_quantiser import METHODS, answers, quantised
from benchmarks.pages import RESULTS, Goal, quiet, write_sections
from effjax.data.sources import load
from effjax.export import latencies
from effjax.reports.tables import Estimate

_CALIBRATED_ON = 512


def rows(workdir: Path, data_dir: str) -> Iterator[str | Goal]:
    seeds = sorted((workdir / "exports" / "student").glob("seed_*"), key=lambda path: int(path.name[5:]))
    described = json.loads((seeds[0] / "last" / "model.json").read_text())
    mean, std = (np.float32(described[key]) for key in ("mean", "std"))

    def read(split: str, count: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        source = load("digits", split, data_dir)
        chosen = range(len(source)) if count is None else np.random.default_rng(0).permutation(len(source))[:count]
        pixels = np.stack([source[int(row)]["image"] for row in chosen])
        return ((pixels / np.float32(255) - mean) / std).astype(np.float32), source.column("label")[list(chosen)]

    calibration, _ = read("train", _CALIBRATED_ON)
    images, labels = read("test")
    measured: dict[str, list[dict]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        timed = {}
        for seed in seeds:
            folder = Path(temporary) / seed.name
            folder.mkdir()
            floats, ours = (
                workdir / "exports" / name / seed.name / "last/model.onnx" for name in ("student", "after_w8a8")
            )
            files = {"float": floats, "effjax, mse": ours}
            files |= {f"onnxruntime, {method}": quantised(floats, calibration, method, folder) for method in METHODS}
            reference = answers(floats, images).argmax(1)
            for name, file in files.items():
                chosen = answers(file, images).argmax(1)
                measured.setdefault(name, []).append(
                    {
                        "seed": int(seed.name[5:]),
                        "accuracy": float((chosen == labels).mean()),
                        "agreement": float((chosen == reference).mean()),
                        "bytes": file.stat().st_size,
                    }
                )
            timed = timed or files
        found = latencies(timed)
    yield "| file | test accuracy | Δ to effjax's | agrees with floats | kB | ms, 1 image | ms, 32 images | ms ×, 32 |"
    yield "|---|---:|---:|---:|---:|---:|---:|---:|"
    own = found["effjax, mse"][32].least
    for name, several in measured.items():
        gain = Estimate.paired(several, measured["effjax, mse"], "accuracy").percent("+")
        cells = [
            name,
            Estimate.over_seeds(several, "accuracy").percent(),
            "" if name == "effjax, mse" else gain,
            f"{100 * np.mean([one['agreement'] for one in several]):.2f} %",
            f"{np.mean([one['bytes'] for one in several]) / 1e3:.1f}",
            *(f"{found[name][size].least:.3f} / {found[name][size].median:.3f}" for size in (1, 32)),
            f"{found[name][32].least / own:.2f}",
        ]
        yield f"| {' | '.join(cells)} |"
    accuracy = {name: float(np.mean([one["accuracy"] for one in several])) for name, several in measured.items()}
    theirs = [name for name in measured if name.startswith("onnxruntime")]
    best = max(theirs, key=lambda name: accuracy[name])
    below = 100 * (accuracy[best] - accuracy["effjax, mse"])
    yield Goal("8 bits after training: points below the best of onnxruntime's methods", below, 0.2, note=best)
    for size in (1, 32):
        ratio = found["effjax, mse"][size].least / min(found[name][size].least for name in theirs)
        yield Goal(f"8 bits after training, {size} images: latency over onnxruntime's fastest file", ratio, 1.05)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir", type=Path, default=Path("runs/compress"), help="of launch.compress")
    parser.add_argument("--data_dir", default="data")
    parser.add_argument("--only", default="digits,photos", help="sections, separated by commas")
    parser.add_argument("--results", type=Path, default=RESULTS / "compress_peers.md")
    given = parser.parse_args()
    logging.disable(logging.WARNING)  # onnxruntime's quantiser recommends what has been done
    sections = {"digits": lambda: rows(given.workdir, given.data_dir), "photos": compress_photos.rows}
    if unknown := set(given.only.split(",")) - set(sections):
        parser.error(f"no section {', '.join(unknown)}; there are {', '.join(sections)}")
    found, goals, load = {}, [], quiet()
    for name in given.only.split(","):
        lines = []
        for line in sections[name]():
            if isinstance(line, Goal):
                goals.append(line)
                continue
            print(line, flush=True)
            lines.append(line)
        title, said = _SAID[name]
        found[title] = f"{said}\n\n" + "\n".join(lines)
    head = ["# Eight bits after training, beside onnxruntime's static quantiser", _HEAD]
    write_sections(given.results, head, [title for title, _ in _SAID.values()], found, load, goals=goals)


_HEAD = """\
`python -m benchmarks.compress_peers` wrote this. onnxruntime.quantization.quantize_static: QDQ, uint8 activations, int8
weights per channel, calibrated on the images that effjax's files are calibrated on. Milliseconds: least / median, one
thread, all files of a table in turn."""
_SAID = {  # title, and what is to be known
    "digits": (
        "A ResNet-8 on digits",
        """\
The student of configs/compress/digits.py. Accuracy: mean ± standard deviation over the seeds; Δ: by seed, ± half its
95 % interval. Agrees: the share of test images with the answer of the float file.""",
    ),
    "photos": (
        "EfficientNet-Lite0, ImageNet's weights",
        """\
Crops of the photos that scikit-image and scikit-learn ship, 224×224. Calibrated on those of every other photo, tested
on those of the others, and the other way round. Same answer: as the float file, of 1,000 classes. Signal / noise: of
the logits against the float file's, the mean over the crops.""",
    ),
}


if __name__ == "__main__":
    main()
