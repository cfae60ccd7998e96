"""The files of an experiment in another runtime, OpenVINO: the same answers, and how long it takes.

    .venv/bin/python -m launch.compress --config=configs/compress/solar_edge.py --workdir=runs/compress_solar
    .venv/bin/python -m benchmarks.compress_openvino --workdirs=runs/compress_solar[,…] [--data_dir=data]

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


def measured(python: Path, timed: list[Path], others: list[Path], images: np.ndarray) -> dict:
    """What both runtimes answer, by file."""
    with tempfile.TemporaryDirectory() as temporary:
        given, out = Path(temporary) / "images.npy", Path(temporary) / "found.json"
        np.save(given, images)
        command = [python, _CHILD, given, out, str(len(timed)), *timed, *others]
        subprocess.run(command, check=True)
        return read_json(out)


def rows(workdir: Path, data_dir: str, python: Path) -> tuple[list[str], str]:
    """The table of an experiment, and the version of OpenVINO."""
    described = {
        folder.name: read_json(files_of(workdir, folder.name)[0].with_name("model.json"))
        for folder in sorted((workdir / "exports").iterdir())
        if folder.is_dir()
    }
    images, labels = test_images(next(iter(described.values())), data_dir)
    files = {name: files_of(workdir, name) for name in described}
    others = [file for own in files.values() for file in own[1:]]
    found = measured(python, [own[0] for own in files.values()], others, images)
    lines = [
        "| file | bits | test accuracy, onnxruntime | OpenVINO | same answer | largest difference "
        "| ms, 1 image: onnxruntime | OpenVINO | ms, 32 images: onnxruntime | OpenVINO |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, one in described.items():
        own = [found["files"][str(file)] for file in files[name]]
        choices = [{runtime: np.array(chosen) for runtime, chosen in each["choices"].items()} for each in own]
        accuracy = [
            {"seed": seed, **{runtime: float((chosen == labels).mean()) for runtime, chosen in each.items()}}
            for seed, each in enumerate(choices)
        ]
        same = float(np.mean([(each["onnxruntime"] == each["openvino"]).mean() for each in choices]))
        ms = own[0]["ms"]
        cells = [
            name,
            one["bits"],
            *(Estimate.over_seeds(accuracy, runtime).percent() for runtime in ("onnxruntime", "openvino")),
            f"{100 * same:.2f} %",
            f"{max(each['difference'] for each in own):.1e}",
            *("{:.3f} / {:.3f}".format(*ms[size][by]) for size in ("1", "32") for by in ("onnxruntime", "openvino")),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines, found["versions"]


def test_images(described: dict, data_dir: str) -> tuple[np.ndarray, np.ndarray]:
    """What an exported network reads of the test split, and the labels."""
    source = TrainedRun.open(described["run"], "last").source("test", data_dir)
    mean, std = (np.float32(described[key]) for key in ("mean", "std"))
    pixels = np.stack([source[row]["image"] for row in range(len(source))])
    return ((pixels / np.float32(255) - mean) / std).astype(np.float32), source.column("label")


def files_of(workdir: Path, name: str) -> list[Path]:
    """Of one export, the files at the end of training, by seed."""
    seeds = sorted((workdir / "exports" / name).glob("seed_*"), key=lambda path: int(path.name[5:]))
    return [seed / "last" / "model.onnx" for seed in seeds]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdirs", default="runs/compress_solar", help="of launch.compress, separated by commas")
    parser.add_argument("--data_dir", default="data")
    parser.add_argument("--results", type=Path, default=RESULTS / "compress_openvino.md")
    given = parser.parse_args()
    python = environment("peers_openvino", "openvino", "onnxruntime", "numpy")
    if python is None:
        raise SystemExit(1)
    load, text, version = quiet(), ["# Exported files in OpenVINO", _HEAD], ""
    for workdir in given.workdirs.split(","):
        lines, version = rows(Path(workdir), given.data_dir, python)
        text += [f"## {workdir}", "\n".join(lines)]
        print("\n".join(text[-2:]), flush=True)
    write_page(given.results, text, load, versions=version)


_HEAD = """\
`python -m benchmarks.compress_openvino` wrote this. The files of launch.compress at the end of training, by its folder.
Accuracy: mean ± standard deviation over the seeds. Same answer: the share of test images, over all seeds. Largest
difference: of the logits, over the largest logit. Milliseconds: least / median of 100 calls of the first seed's file,
one thread, both runtimes in turn. OpenVINO is asked for float32 where a file has floats. In few bits it joins a
residual addition with the convolution before it, and leaves out the rounding between."""


if __name__ == "__main__":
    main()
