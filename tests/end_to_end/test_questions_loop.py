"""A loop that asks questions about images, through its launcher: killed, on several devices, by people."""

import csv
import json
import socket

import pytest
from processes import finish, kill_when, train

from effjax.data.prepare import prepare
from effjax.runtime import EXIT_INTERRUPTED


def ask(workdir, data_dir, *arguments, devices=1):
    return train("questions", workdir, data_dir, *arguments, devices=devices, launcher="launch.active")


def ledger(workdir) -> list[dict]:
    lines = (workdir / "asks" / "seed_0" / "ledger.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in ("when", "check")} for line in lines[1:]]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, data_dir):
    prepare("digit_questions/unlearnable_30", data_dir)
    workdir = tmp_path_factory.mktemp("undisturbed")
    finish(ask(workdir, data_dir))
    return workdir


def test_kills_leave_no_trace(undisturbed, tmp_path, data_dir):
    folder = tmp_path / "asks" / "seed_0"
    for name in ("round_01/queries.json", "round_02/checkpoints"):
        assert kill_when(ask(tmp_path, data_dir), lambda name=name: (folder / name).exists())
    finish(ask(tmp_path, data_dir))
    assert ledger(tmp_path) == ledger(undisturbed)
    assert (tmp_path / "summary.json").read_bytes() == (undisturbed / "summary.json").read_bytes()


def test_two_processes_of_two_devices_ask_the_same(undisturbed, tmp_path, data_dir):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        coordinator = f"127.0.0.1:{probe.getsockname()[1]}"
    given = ("--config.backend=pmap", f"--coordinator={coordinator}", "--num_processes=2")
    for process in [ask(tmp_path, data_dir, *given, f"--process_id={i}", devices=2) for i in range(2)]:
        finish(process)
    asked = [[line["id"] for line in ledger(w) if line["event"] == "asked"] for w in (tmp_path, undisturbed)]
    assert asked[0] == asked[1]
    ours, theirs = (json.loads((w / "summary.json").read_text())["asks"]["seeds"] for w in (tmp_path, undisturbed))
    for mine, other in zip(ours[0]["rounds"], theirs[0]["rounds"], strict=True):
        assert mine == pytest.approx(other, rel=1e-3, abs=1e-4)


def test_people_see_the_question_and_may_say_that_it_has_no_answer(undisturbed, tmp_path, data_dir):
    people = ("--config.active.oracle=folder", "--config.active.rounds=1", "--config.runs.asks.query.annotator=")
    process = ask(tmp_path, data_dir, *people)
    _, said = process.communicate(timeout=240)
    assert process.returncode == EXIT_INTERRUPTED, said[-3000:]
    table = tmp_path / "asks" / "seed_0" / "queries" / "round_00" / "labels.csv"
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(row["question"].split()[0] in ("which", "is", "how", "where", "who", "when", "in") for row in rows)
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows({**row, "label": ("cannot be answered", "Yes")[i % 2]} for i, row in enumerate(rows))
    finish(ask(tmp_path, data_dir, *people))
    labels = [line["label"] for line in ledger(tmp_path) if line["event"] == "labelled"]
    assert labels == [51, 10] * 10
