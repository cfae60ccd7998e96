"""A labelling loop through its launcher: killed anywhere, on any devices, it asks for the same examples."""

import json
import socket

import pytest
from processes import finish, kill_when, train

from effjax.runtime import EXIT_INTERRUPTED

RUNS = ("ensemble", "dropout")


def active(workdir, data_dir, *arguments, devices=1):
    return train("active", workdir, data_dir, *arguments, devices=devices, launcher="launch.active")


def ledger(workdir, run) -> list[dict]:
    lines = (workdir / run / "seed_0" / "ledger.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in ("when", "check")} for line in lines[1:]]


def asked(workdir, run) -> list[int]:
    return [line["id"] for line in ledger(workdir, run) if line["event"] == "asked"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, data_dir):
    workdir = tmp_path_factory.mktemp("undisturbed")
    finish(active(workdir, data_dir))
    return workdir


def test_kills_leave_no_trace(undisturbed, tmp_path, data_dir):
    moments = [
        lambda: (tmp_path / "ensemble" / "seed_0" / "ledger.jsonl").exists(),  # asked for the first labels
        lambda: (tmp_path / "ensemble" / "seed_0" / "round_01" / "checkpoints").exists(),  # in the middle of a round
        lambda: (tmp_path / "dropout" / "seed_0" / "round_01" / "queries.json").exists(),  # chosen, not yet asked for
        lambda: (tmp_path / "dropout" / "seed_0" / "round_02" / "result.json").exists(),  # all but over
    ]
    for moment in moments:
        assert kill_when(active(tmp_path, data_dir), moment)
    finish(active(tmp_path, data_dir))
    for run in RUNS:
        assert ledger(tmp_path, run) == ledger(undisturbed, run)
    assert (tmp_path / "summary.json").read_bytes() == (undisturbed / "summary.json").read_bytes()
    assert "<table>" in (tmp_path / "report.html").read_text()


def test_two_processes_of_two_devices_ask_for_the_same(undisturbed, tmp_path, data_dir):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        coordinator = f"127.0.0.1:{probe.getsockname()[1]}"
    given = ("--config.backend=pmap", f"--coordinator={coordinator}", "--num_processes=2")
    for process in [active(tmp_path, data_dir, *given, f"--process_id={i}", devices=2) for i in range(2)]:
        finish(process)
    for run in RUNS:
        assert asked(tmp_path, run) == asked(undisturbed, run)
        ours, theirs = (json.loads((w / "summary.json").read_text())[run]["seeds"] for w in (tmp_path, undisturbed))
        for mine, other in zip(ours[0]["rounds"], theirs[0]["rounds"], strict=True):
            assert mine == pytest.approx(other, rel=1e-3, abs=1e-4)


def test_people_are_told_what_to_do(tmp_path, data_dir):
    process = active(tmp_path, data_dir, "--config.active.oracle=folder", "--only=dropout")
    _, err = process.communicate(timeout=240)
    assert process.returncode == EXIT_INTERRUPTED, err[-3000:]
    last = err.strip().splitlines()[-1]
    assert "write a class (0, 1, 2" in last
    assert last.endswith("sheet.png; run the same command to go on")
    assert "Traceback" not in err
    table = tmp_path / "dropout" / "seed_0" / "queries" / "round_00" / "labels.csv"
    assert len(table.read_text().splitlines()) == 21


def test_a_config_of_another_recipe_is_refused(tmp_path, data_dir):
    process = train("plain", tmp_path, data_dir, launcher="launch.active")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "error: config.recipe='distill' is no labelling loop: run it with launch.train" in err
