"""The best checkpoint of a real run outlives real restarts, wherever they fall."""

import json
import shutil
import signal
import time

import pytest
from processes import finish, train

from effjax.runtime import EXIT_INTERRUPTED
from effjax.runtime import checkpoints as stored

RUN = "student/seed_0"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, data_dir):
    workdir = tmp_path_factory.mktemp("undisturbed")
    finish(train("early_best", workdir, data_dir))
    return workdir / RUN


def stop_at(step: int, workdir, data_dir) -> str:
    """SIGTERM once the run has come to a step; returns what it said."""
    process, path = train("early_best", workdir, data_dir), workdir / RUN / "metrics.jsonl"
    while not (path.exists() and f'"step": {step},' in path.read_text()):
        assert process.poll() is None, process.communicate()
        time.sleep(0.002)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=120)
    assert process.returncode == EXIT_INTERRUPTED, err[-3000:]
    return err


def test_stopped_twice_after_the_best_and_a_bit_that_flips_in_between(undisturbed, tmp_path, data_dir):
    best = json.loads((undisturbed / "result.json").read_text())["best_step"]
    assert best < 120  # early: it has passed when the run is stopped
    stop_at(140, tmp_path, data_dir)
    folder = tmp_path / RUN / "checkpoints" / str(stored.steps(tmp_path / RUN / "checkpoints")[-1])
    path = max((folder / "model").rglob("*"), key=lambda path: path.stat().st_size * path.is_file())
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    err = stop_at(240, tmp_path, data_dir)
    assert f"checkpoint {folder.name} in {folder.parent} is damaged and left out" in err
    assert "Traceback" not in err
    finish(train("early_best", tmp_path, data_dir))
    for name in ("result.json", "metrics.jsonl"):
        assert (tmp_path / RUN / name).read_bytes() == (undisturbed / name).read_bytes()
    assert stored.best_step(tmp_path / RUN / "checkpoints") == best


def test_a_best_that_is_gone_is_said_and_the_run_ends(undisturbed, tmp_path, data_dir):
    best = json.loads((undisturbed / "result.json").read_text())["best_step"]
    stop_at(140, tmp_path, data_dir)
    shutil.rmtree(tmp_path / RUN / "checkpoints" / str(best))
    err = finish(train("early_best", tmp_path, data_dir))
    assert "Traceback" not in err
    assert f"checkpoints/{best}, is gone: the last, 400, counts as it" in err
    found, whole = (json.loads((run / "result.json").read_text()) for run in (tmp_path / RUN, undisturbed))
    assert (found["best_step"], found["lost_best"]) == (400, best)
    assert found["test/accuracy_best"] == found["test/accuracy"] == whole["test/accuracy"]
    assert found["params_sha256"] == whole["params_sha256"]
    assert f"the last counts as the best: student, seed 0 (step {best})" in (tmp_path / "table.md").read_text()
