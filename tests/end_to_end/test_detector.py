"""A detector through the launchers: trained, taught, killed, on two devices, evaluated; loops that ask for boxes."""

import csv
import json
import socket

import numpy as np
import pytest
from processes import finish, kill_when, start, train
from small_detectors import DATA

from effjax.data.prepare import prepare
from effjax.runtime import EXIT_INTERRUPTED, read_metrics

CONFIGS = "tests/small_detectors.py"
LOOPS = ("random", "entropy", "cald")


@pytest.fixture(scope="module")
def home(data_dir):
    prepare(DATA, data_dir)
    return data_dir


def detect(home, workdir, variant, *arguments, **options):
    launcher = "launch.train" if variant == "trained" else "launch.active"
    return train(variant, workdir, home, *arguments, launcher=launcher, configs=CONFIGS, **options)


@pytest.fixture(scope="module")
def trained(home, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("trained")
    finish(detect(home, workdir, "trained"))
    return workdir


@pytest.fixture(scope="module")
def asked(home, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("asked")
    finish(detect(home, workdir, "asked"))
    return workdir


def results(workdir):
    return json.loads((workdir / "summary.json").read_text())


def ledger(workdir, loop):
    lines = (workdir / loop / "seed_0" / "ledger.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in ("when", "check")} for line in lines[1:]]


def on_two_processes():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        coordinator = f"127.0.0.1:{probe.getsockname()[1]}"
    return ("--config.backend=pmap", f"--coordinator={coordinator}", "--num_processes=2")


def test_it_trains_is_taught_and_reported(trained):
    losses = {"train/loss/quality_focal", "train/loss/box_giou"}
    for run in ("teacher", "taught", "rich"):
        lines = read_metrics(trained / run / "seed_0")
        assert losses | {"validation/map"} <= set().union(*lines)
        assert all(np.isfinite(line[name]) for line in lines for name in losses & set(line))
        seed = results(trained)[run]["seeds"][0]
        assert {"test/map", "test/ap50", "test/ap75", "test/map_best"} <= set(seed)
        assert 0 <= seed["test/map"] <= seed["test/ap50"] < 1
    taught = read_metrics(trained / "taught" / "seed_0")
    assert any("train/loss/soft_boxes" in line for line in taught)
    assert "train/loss/soft_boxes" not in taught[-2]  # whose second half the teacher does not see
    table = (trained / "table.md").read_text()
    assert "test mAP last" in table
    assert "AP50" in table
    assert "<table>" in (trained / "report.html").read_text()


def test_killed_it_ends_with_the_same_bits(home, trained, tmp_path):
    for moment in ("taught", "rich"):
        folder = tmp_path / moment / "seed_0" / "checkpoints"
        assert kill_when(detect(home, tmp_path, "trained"), lambda folder=folder: any(folder.glob("*[0-9]")))
    finish(detect(home, tmp_path, "trained"))
    assert results(tmp_path) == results(trained)
    for run in ("teacher", "taught", "rich"):
        ours, theirs = (folder / run / "seed_0" / "metrics.jsonl" for folder in (tmp_path, trained))
        assert ours.read_bytes() == theirs.read_bytes()


def test_two_processes_train_what_one_does(home, trained, tmp_path):
    given = (*on_two_processes(), "--only=teacher,taught")
    for process in [detect(home, tmp_path, "trained", *given, f"--process_id={i}") for i in range(2)]:
        finish(process)
    for run in ("teacher", "taught"):
        ours, theirs = (read_metrics(folder / run / "seed_0") for folder in (tmp_path, trained))
        for mine, other in zip(ours, theirs, strict=True):
            assert mine.keys() == other.keys()
            # The assignment is by what is nearest: what is rounded otherwise may, here and there, be another box.
            assert mine == pytest.approx(other, rel=2e-2, abs=2e-3)


def evaluated(home, trained, *arguments):
    given = (f"--run={trained}/teacher/seed_0", "--split=test[:16]", f"--data_dir={home}", *arguments)
    process = start("launch.evaluate", *given)
    out, said = process.communicate(timeout=120)
    assert process.returncode == 0, said[-2000:]
    return json.loads(out), said


def test_evaluate_says_what_the_summary_says_and_what_papers_give(home, trained):
    found, _ = evaluated(home, trained)
    seed = results(trained)["teacher"]["seeds"][0]
    assert found["examples"] == 16
    for name in ("map", "ap50", "ap75"):
        assert found[name] == pytest.approx(seed[f"test/{name}"], abs=1e-9)
        # One that has learnt next to nothing gives many boxes nearly the same score: they share their bins.
        assert found["official"][name] == pytest.approx(found[name], abs=0.02)
    assert found["official"]["large"] is None  # of canvases of 64 pixels
    assert found["official"]["by_class"].keys() <= set("0123456789")


def test_where_coco_is_not_installed_one_line_says_so(home, trained, monkeypatch):
    from effjax.errors import UserError
    from effjax.metrics import coco
    from effjax.recipes.train.evaluate import evaluate

    said = []
    monkeypatch.setattr(coco.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr("effjax.recipes.train.evaluate._log.warning", lambda text, *args: said.append(text % args))
    found = evaluate(f"{trained}/teacher/seed_0", "test[:16]", data_dir=str(home))
    assert "official" not in found
    assert {"map", "ap50", "ap75"} <= set(found)
    (line,) = said
    assert "pip install 'effjax[coco]'" in line
    assert "\n" not in line
    with pytest.raises(UserError):
        coco._package()


def test_loops_ask_for_boxes_and_say_what_they_cost(asked):
    for loop in LOOPS:
        lines = ledger(asked, loop)
        labelled = [line for line in lines if line["event"] == "labelled"]
        assert len(labelled) == len({line["id"] for line in labelled}) == 18
        assert all(isinstance(line["answer"], list) for line in labelled)
        rounds = results(asked)[loop]["seeds"][0]["rounds"]
        drawn = np.cumsum([len(line["answer"]) for line in labelled])[5::6]
        assert [one["cost"] for one in rounds] == pytest.approx([2 * 6 * (i + 1) + 7 * n for i, n in enumerate(drawn)])
    ids = [tuple(line["id"] for line in ledger(asked, loop) if line["event"] == "asked") for loop in LOOPS]
    assert len({one[:6] for one in ids}) == 1  # all begin with the same
    assert len(set(ids)) == 3
    page = (asked / "report.html").read_text()
    assert "boxes" in page


def test_loops_that_are_killed_end_with_the_same_ledger(home, asked, tmp_path):
    for name in ("entropy/seed_0/round_01/queries.json", "cald/seed_0/round_02"):
        assert kill_when(detect(home, tmp_path, "asked"), lambda name=name: (tmp_path / name).exists())
    finish(detect(home, tmp_path, "asked"))
    for loop in LOOPS:
        assert ledger(tmp_path, loop) == ledger(asked, loop)
    assert results(tmp_path) == results(asked)


def test_loops_of_tags_and_corrections_that_are_killed_end_with_the_same_ledger(home, tmp_path):
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    finish(detect(home, straight, "kinds"))
    # While a student learns from its teacher's boxes; when it has chosen by what the two disagree on; at the end.
    for name in ("round_01/checkpoints", "round_02/queries.json", "round_02/result.json"):
        path = killed / "asked" / "seed_0" / name
        assert kill_when(detect(home, killed, "kinds"), lambda path=path: path.exists())
    finish(detect(home, killed, "kinds"))
    for loop in ("asked", "draw"):
        assert ledger(killed, loop) == ledger(straight, loop)
    assert results(killed) == results(straight)


def test_people_draw_boxes_and_wrong_ones_are_all_said(home, tmp_path):
    given = ("--config.active.oracle=folder", "--config.active.rounds=2", "--only=entropy")
    waiting = detect(home, tmp_path, "asked", *given)
    _, said = waiting.communicate(timeout=240)
    assert waiting.returncode == EXIT_INTERRUPTED, said[-3000:]
    assert "draw the boxes of each image" in said
    table = tmp_path / "entropy" / "seed_0" / "queries" / "round_00" / "labels.csv"
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    good = [{"box": [0.1, 0.2, 0.5, 0.6], "class": "3"}]

    def fill(labels):
        with table.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows({**row, "label": label} for row, label in zip(rows, labels, strict=True))

    wrong = ["cat", "[0, 0, 1, 1]", json.dumps([*good, {"box": [0, 0, 2, 1], "class": "7"}])]
    fill([*wrong, *(json.dumps(good) for _ in rows[3:])])
    before = ledger(tmp_path, "entropy")
    refused = detect(home, tmp_path, "asked", *given)
    _, said = refused.communicate(timeout=240)
    assert refused.returncode not in (0, EXIT_INTERRUPTED), said[-3000:]
    (line,) = (line for line in said.splitlines() if "nothing was taken over" in line)
    for number, row in enumerate(rows[:3]):
        assert f"line {number + 2}: id {row['id']}: " in line
    assert "'cat' is no JSON" in line
    assert "box 2: [0, 0, 2, 1] reaches out of the image" in line
    assert ledger(tmp_path, "entropy") == before

    fill(["[]", "skip", *(json.dumps(good) for _ in rows[2:])])
    waiting = detect(home, tmp_path, "asked", *given)
    _, said = waiting.communicate(timeout=240)
    assert waiting.returncode == EXIT_INTERRUPTED, said[-3000:]
    events = {line["id"]: line for line in ledger(tmp_path, "entropy") if line["event"] in ("labelled", "skipped")}
    assert [events[int(row["id"])].get("answer") for row in rows] == [[], None, *[good] * (len(rows) - 2)]
