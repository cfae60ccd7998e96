"""kill -9 at any moment: the same command ends with the same bits as a run that was never killed."""

import json
import pathlib
import random
import signal
import time
from collections.abc import Callable

import pytest
from processes import finish, kill_when, train

from effjax.recipes.train.experiment import SUMMARY_FILE
from effjax.runtime import EXIT_INTERRUPTED

RUNS = ("teacher", "student", "distilled")


def metrics(workdir: pathlib.Path) -> dict[str, bytes]:
    return {name: (workdir / name / "seed_0" / "metrics.jsonl").read_bytes() for name in RUNS}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, data_dir):
    workdir = tmp_path_factory.mktemp("undisturbed")
    finish(train("kill", workdir, data_dir))
    return workdir


def saving(run: str) -> Callable[[pathlib.Path], bool]:
    """A checkpoint is being written; or, if none was caught at it, the run is near its end."""
    return lambda workdir: any((workdir / run).glob("seed_0/checkpoints/*tmp*")) or last_step(workdir, run) > 220


def last_step(workdir: pathlib.Path, run: str) -> int:
    path = workdir / run / "seed_0" / "metrics.jsonl"
    if not path.exists():
        return 0
    lines = [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
    return json.loads(lines[-1])["step"] if lines else 0


def past(run: str, step: int) -> Callable[[pathlib.Path], bool]:
    """The run has gone on to some step, or beyond."""
    return lambda workdir: last_step(workdir, run) >= step


def evaluating(run: str, step: int) -> Callable[[pathlib.Path], bool]:
    """The last training metrics before an evaluation are written; the evaluation's are not, unless it was quick."""
    return lambda workdir: last_step(workdir, run) >= step - 7


def started(run: str) -> Callable[[pathlib.Path], bool]:
    """The run's folder is there: its programs are being compiled."""
    return lambda workdir: (workdir / run / "seed_0").exists()


def test_ten_kills_leave_no_trace(undisturbed, tmp_path, data_dir):
    draw = random.Random(0)
    moments = [
        started("student"),
        saving("student"),
        past("student", draw.randrange(40, 200)),
        started("teacher"),
        evaluating("teacher", 80),
        saving("teacher"),
        past("teacher", draw.randrange(100, 200)),
        started("distilled"),
        evaluating("distilled", 120),
        past("distilled", draw.randrange(140, 200)),
    ]
    for moment in moments:
        assert kill_when(train("kill", tmp_path, data_dir), lambda moment=moment: moment(tmp_path))
    finish(train("kill", tmp_path, data_dir))
    assert json.loads((tmp_path / SUMMARY_FILE).read_text()) == json.loads((undisturbed / SUMMARY_FILE).read_text())
    assert metrics(tmp_path) == metrics(undisturbed)


def test_metrics_file_has_every_step_once(undisturbed):
    for text in metrics(undisturbed).values():
        lines = [json.loads(line) for line in text.splitlines()]
        trained = [line["step"] for line in lines if "train/loss" in line]
        validated = [line["step"] for line in lines if "validation/accuracy" in line]
        assert trained == [*range(7, 240, 7), 240]
        assert validated == [40, 80, 120, 160, 200, 240]


def test_sigterm_saves_and_says_so(undisturbed, tmp_path, data_dir):
    process = train("kill", tmp_path, data_dir)
    condition = evaluating("teacher", 120)
    while not condition(tmp_path):
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=120)
    assert process.returncode == EXIT_INTERRUPTED, err[-3000:]
    assert "run the same command to go on" in err
    err = finish(train("kill", tmp_path, data_dir))
    assert "resuming at step" in err
    assert (tmp_path / SUMMARY_FILE).read_bytes() == (undisturbed / SUMMARY_FILE).read_bytes()
    assert metrics(tmp_path) == metrics(undisturbed)
