"""The guide for a person with photos to label, followed as it is written, with kills in between."""

import csv
import re
import signal
import time

import numpy as np
import processes
import pytest
from PIL import Image
from processes import CACHE, HASTE, REPOSITORY

from effjax.runtime import EXIT_INTERRUPTED

GUIDE = (REPOSITORY / "docs" / "label_your_own.md").read_text()
CLASSES = ("cat", "dog")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)


def paint(path, number, draw):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(draw.normal(60 + 90 * number, 30, (70, 80, 3)).clip(0, 255).astype(np.uint8)).save(path)


@pytest.fixture
def home(tmp_path):
    """A person's folder; the config from the guide, its lengths cut so that the test takes seconds."""
    draw = np.random.default_rng(0)
    for number, name in enumerate(CLASSES):
        for i in range(4):
            for split in ("validation", "test"):
                paint(tmp_path / "photos" / split / name / f"{i}.jpg", number, draw)
        for i in range(8):
            paint(tmp_path / "pool" / f"day{i % 3}" / f"{name}_{i}.jpg", number, draw)
    (tmp_path / "pool" / "day0" / "broken.jpg").write_bytes(b"no image")
    config = blocks("python")[0]
    for long, short in {
        "initial=20, per_round=20, rounds=10": "initial=6, per_round=11, rounds=2",
        "batch_size=16, steps=300": "batch_size=4, steps=2",
        "members=3": "members=2",
        "image_size=64": "image_size=32",
    }.items():
        assert long in config
        config = config.replace(long, short)
    (tmp_path / "my_labelling.py").write_text(config)
    return tmp_path


def start(home):
    (command,) = blocks("bash")
    python, option, module, *arguments = command.split()
    assert (python, option) == ("python", "-m")
    return processes.start(module, *arguments, f"--compilation_cache={CACHE}", cwd=home, XLA_FLAGS=HASTE)


def end(process):
    out, err = process.communicate(timeout=300)
    return process.returncode, err, out


def fill_in(path):
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        pixels = np.asarray(Image.open(path.parent / row["image"]))
        row["label"] = "unlabelable" if pixels.max() == 0 else CLASSES[int(pixels.mean() > 105)]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return rows


def test_the_guide_as_it_is_written(home):
    queries = home / "runs" / "mine" / "mine" / "seed_0" / "queries"
    code, err, _ = end(start(home))
    assert code == EXIT_INTERRUPTED, err[-3000:]
    assert "write a class (cat, dog), or skip or unlabelable, into the column label of" in err
    first = fill_in(queries / "round_00" / "labels.csv")

    killed = start(home)  # in the middle of training on them
    checkpoints = home / "runs" / "mine" / "mine" / "seed_0" / "round_00" / "checkpoints"
    while not checkpoints.exists():
        assert killed.poll() is None
        time.sleep(0.002)
    killed.send_signal(signal.SIGKILL)
    end(killed)
    code, err, _ = end(start(home))
    assert code == EXIT_INTERRUPTED, err[-3000:]
    assert (home / "runs" / "mine" / "report.html").exists()
    second = fill_in(queries / "round_01" / "labels.csv")
    assert not {row["id"] for row in first} & {row["id"] for row in second}

    code, err, out = end(start(home))
    assert code == 0, err[-3000:]
    assert "what BALD asks for" in out
    ledger = (home / "runs" / "mine" / "mine" / "seed_0" / "ledger.jsonl").read_text()
    assert ledger.count('"event": "asked"') == 17  # all of the pool, once each
    assert ledger.count('"event": "unlabelable"') == 1
