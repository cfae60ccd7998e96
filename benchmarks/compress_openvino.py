"""The files of an experiment in another runtime, OpenVINO: the same answers, and how long it takes.

    .venv/bin/python -m launch.compress --config=configs/compress/digits.py --workdir=runs/compress
    .venv/bin/python -m benchmarks.compress_openvino --workdir=runs/compress [--data_dir=data]

Every file that launch.compress exported at the end of training, of all seeds, answers the test images in both runtimes;
the first seed's are timed in turn, one thread. Writes results/compress_openvino.md.
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.environments import environment
from benchmarks.pages import RESULTS, quiet, write_page
from effjax.files import read_json
from effjax.recipes.build.trained import TrainedRun
from effjax.reports.tables import Estimate

_CHILD = Path(__file__).with_name("compress_openvino_child.py")


def measured(python: Path, files: list[Path], images: np.ndarray) -> dict:
    with tempfile.TemporaryDirectory() as temporary:
        given, out = Path(temporary) / "images.npy", Path(temporary) / "found.json"
        np.save(given, images)
        subprocess.run([python, _CHILD, given, out, *files], check=True)
        return read_json(out)


def rows(workdir: Path, names: dict[str, str], found: dict, labels: np.ndarray) -> list[str]:
    lines = [
        "| file | bits | test accuracy, onnxruntime | OpenVINO | same answer | largest difference "
        "| ms, 1 image: onnxruntime | OpenVINO | ms, 32 images: onnxruntime | OpenVINO |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, bits in names.items():
        own = [found[str(file)] for file in files_of(workdir, name)]
        choices = [{runtime: np.array(chosen) for runtime, chosen in one["choices"].items()} for one in own]
        accuracy = [
            {"seed": seed, **{runtime: float((chosen == labels).mean()) for runtime, chosen in one.items()}}
            for seed, one in enumerate(choices)
        ]
        same = float(np.mean([(one["onnxruntime"] == one["openvino"]).mean() for one in choices]))
        first = own[0]["ms"]
        cells = [
            name,
            bits,
            *(Estimate.over_seeds(accuracy, runtime).percent() for runtime in ("onnxruntime", "openvino")),
            f"{100 * same:.2f} %",
            f"{max(one['difference'] for one in own):.1e}",
            *(
                "{:.3f} / {:.3f}".format(*first[size][runtime])
                for size in ("1", "32")
                for runtime in ("onnxruntime", "openvino")
            ),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def files_of(workdir: Path, name: str) -> list[Path]:
    """Of one export, the files at the end of training, by seed."""
    seeds = sorted((workdir / "exports" / name).glob("seed_*"), key=lambda path: int(path.name[5:]))
    return [seed / "last" / "model.onnx" for seed in seeds]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir", type=Path, default=Path("runs/compress"), help="of launch.compress")
    parser.add_argument("--data_dir", default="data")
    parser.add_argument("--results", type=Path, default=RESULTS / "compress_openvino.md")
    given = parser.parse_args()
    described = {
        folder.name: read_json(files_of(given.workdir, folder.name)[0].with_name("model.json"))
        for folder in sorted((given.workdir / "exports").iterdir())
        if folder.is_dir()
    }
    python = environment("peers_openvino", "openvino", "onnxruntime", "numpy")
    if python is None:
        raise SystemExit(1)
    load_before, one = quiet(), next(iter(described.values()))
    trained = TrainedRun.open(one["run"], "last")
    source = trained.source("test", given.data_dir)
    mean, std = (np.float32(one[key]) for key in ("mean", "std"))
    pixels = np.stack([source[row]["image"] for row in range(len(source))])
    images = ((pixels / np.float32(255) - mean) / std).astype(np.float32)
    files = [file for name in described for file in files_of(given.workdir, name)]
    found = measured(python, files, images)
    names = {name: each["bits"] or "float" for name, each in described.items()}
    text = [
        "# Exported files in OpenVINO",
        _HEAD,
        "\n".join(rows(given.workdir, names, found["files"], source.column("label"))),
    ]
    print(text[-1])
    write_page(given.results, text, load_before, versions=found["versions"])


_HEAD = """\
`python -m benchmarks.compress_openvino` wrote this. The files of launch.compress at the end of training. Accuracy: mean
± standard deviation over the seeds. Same answer: the share of test images, over all seeds. Largest difference: of the
logits, over the largest logit. Milliseconds: least / median of 100 calls of the first seed's file, one thread, both
runtimes in turn. OpenVINO is asked for float32 where a file has floats. In few bits it joins a residual addition with
the convolution before it, and leaves out the rounding between; codes are onnxruntime's up to the first of these."""


if __name__ == "__main__":
    main()
