"""The guide for a person with photos to draw boxes on, followed as it is written, with a kill in between."""

import csv
import json
import re
import signal
import time

import numpy as np
import processes
import pytest
from PIL import Image
from processes import CACHE, HASTE, REPOSITORY

from effjax.data.builders import canvas_generator
from effjax.data.builders.digits import read_digits
from effjax.runtime import EXIT_INTERRUPTED

GUIDE = (REPOSITORY / "docs" / "label_your_own_boxes.md").read_text()
SIZE = canvas_generator.SIZE
POOL, MEASURED = 8, 6


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)


def coco(names, canvases, scale=1.0, first=1):
    """The file that a person draws: every digit of some canvases."""
    images = [
        {"id": number, "file_name": name, "width": round(SIZE * scale), "height": round(SIZE * scale)}
        for number, name in enumerate(names, start=first)
    ]
    boxes = []
    for image, canvas in zip(images, canvases, strict=True):
        for (y0, x0, y1, x1), label in zip(np.asarray(canvas.boxes) * scale, canvas.labels, strict=True):
            box = [float(side) for side in (x0, y0, x1 - x0, y1 - y0)]
            one = {"id": len(boxes) + first, "image_id": image["id"], "bbox": box, "category_id": int(label) + 1}
            boxes.append({**one, "segmentation": [], "iscrowd": 0, "attributes": {"occluded": False, "rotation": 0.0}})
    categories = [{"id": digit + 1, "name": str(digit), "supercategory": ""} for digit in range(10)]
    return {"images": images, "annotations": boxes, "categories": categories}


@pytest.fixture
def home(tmp_path):
    """A person's folder of canvases; the config from the guide, its lengths cut so that the test takes seconds."""
    images, labels = read_digits()
    even = np.ones(canvas_generator.CLASSES)
    canvases = [canvas_generator.draw(even, 0, "test", i, images, labels) for i in range(POOL + MEASURED)]
    names = [f"{number}.png" for number in range(len(canvases))]
    for number, (name, canvas) in enumerate(zip(names, canvases, strict=True)):
        path = tmp_path / ("pool" if number < POOL else "photos") / name
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.asarray(canvas.image).reshape(SIZE, SIZE)).save(path)
    Image.new("L", (SIZE, SIZE), 30).save(tmp_path / "pool" / "empty.png")
    (tmp_path / "photos" / "annotations.json").write_text(json.dumps(coco(names[POOL:], canvases[POOL:])))
    config = blocks("python")[0]
    for long, short in {
        "initial=20, per_round=20, rounds=10": "initial=5, per_round=4, rounds=2",
        "batch_size=16, steps=400": "batch_size=4, steps=2",
        "image_size=128": "image_size=32",
        '"strides": (4, 8), "channels": 64': '"strides": (4, 8), "channels": 8',
        "(0.485, 0.456, 0.406), (0.229, 0.224, 0.225)": "(0.2,), (0.25,)",
    }.items():
        assert long in config, long
        config = config.replace(long, short)
    (tmp_path / "my_boxes.py").write_text(config)
    return tmp_path, dict(zip(names, canvases, strict=True))


def start(home):
    (command,) = blocks("bash")
    python, option, module, *arguments = command.split()
    assert (python, option) == ("python", "-m")
    return processes.start(module, *arguments, f"--compilation_cache={CACHE}", cwd=home, XLA_FLAGS=HASTE)


def end(process):
    out, err = process.communicate(timeout=300)
    return process.returncode, err, out


def draw(folder, canvases):
    """Draws every box, in a tool that numbers everything anew; what shows nothing is said in the table."""
    page = json.loads((folder / "annotations.json").read_text())
    with (folder / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    path_of = {row["image"].removeprefix("images/"): row["path"] for row in rows}
    names = [image["file_name"] for image in page["images"]][::-1]
    scale = page["images"][0]["width"] / SIZE
    nothing = canvases["0.png"]._replace(boxes=np.zeros((0, 4)), labels=np.zeros(0, int))
    drawn = [canvases.get(path_of[name], nothing) for name in names]
    (folder / "annotations.json").write_text(json.dumps(coco([f"images/{name}" for name in names], drawn, scale, 1)))
    for row in rows:
        row["label"] = "done" if row["path"] == "empty.png" else ""
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def test_the_guide_as_it_is_written(home):
    home, canvases = home
    loop = home / "runs" / "mine" / "mine" / "seed_0"
    assert str(loop.relative_to(home) / "queries" / "round_00") in GUIDE
    code, err, _ = end(start(home))
    assert code == EXIT_INTERRUPTED, err[-3000:]
    first, second = (loop / "queries" / name for name in ("round_00", "round_01"))
    assert f"from {first.relative_to(home) / 'annotations.json'} and to the same name" in err
    draw(first, canvases)

    killed = start(home)  # in the middle of taking them over, or of training on them
    while not (loop / "round_00" / "checkpoints").exists():
        assert killed.poll() is None
        time.sleep(0.002)
    killed.send_signal(signal.SIGKILL)
    end(killed)
    code, err, _ = end(start(home))
    assert code == EXIT_INTERRUPTED, err[-3000:]
    assert (home / "runs" / "mine" / "report.html").exists()
    draw(second, canvases)
    code, err, out = end(start(home))
    assert code == 0, err[-3000:]
    assert "mAP" in out
    entries = [json.loads(line) for line in (loop / "ledger.jsonl").read_text().splitlines()][1:]
    paths = {entry["id"]: entry["path"] for entry in entries if entry["event"] == "asked"}
    answers = {paths[entry["id"]]: entry for entry in entries if entry["event"] == "labelled"}
    assert len(answers) == POOL + 1
    assert (answers["empty.png"]["answer"], answers["empty.png"]["cost"]) == ([], 2.0)
    for name, canvas in list(canvases.items())[:POOL]:
        said = answers[name]["answer"]
        np.testing.assert_allclose([one["box"] for one in said], np.asarray(canvas.boxes) / SIZE, atol=1e-5)
        assert [int(one["class"]) for one in said] == list(canvas.labels)
        assert answers[name]["cost"] == 2.0 + 7.0 * len(canvas.labels)
