"""Processes that help the first with an experiment, each with its part of the cores."""

import functools
import os
import re
import signal
import time

import pytest
from processes import finish, train

from effjax.runtime.locks import LOCK_FILE

pytestmark = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2, reason="there is one core"
)


def trained(said: str) -> list[str]:
    return re.findall(r"^\S+ (\w+) seed 0: stage 1/", said, re.MULTILINE)


def until(there, process) -> None:
    while not there():
        assert process.poll() is None, process.communicate()[1][-3000:]
        time.sleep(0.02)


def waits(log) -> bool:
    return log.exists() and "waiting for" in log.read_text()


def test_each_run_is_trained_once_by_one_of_them(tmp_path, data_dir):
    process, log = train("plain", tmp_path, data_dir, "--helpers=1"), tmp_path / "helper_1.log"
    until((tmp_path / "teacher" / "seed_0" / LOCK_FILE).exists, process)
    process.send_signal(signal.SIGSTOP)  # or it might be done before the other has begun
    until(functools.partial(waits, log), process)
    process.send_signal(signal.SIGCONT)
    first, helper = finish(process), log.read_text()
    assert trained(helper) == ["student"]  # which needs no teacher
    assert trained(first) == ["teacher", "distilled"]
    assert (tmp_path / "summary.json").exists()
    assert (tmp_path / "report.html").exists()
    assert "report" not in helper
    assert not list(tmp_path.rglob(LOCK_FILE))
    again = finish(train("plain", tmp_path, data_dir, "--helpers=1"))
    assert not trained(again)


def test_a_helper_ends_with_the_first_process_and_the_same_command_goes_on(tmp_path, data_dir):
    first, log = train("plain", tmp_path, data_dir, "--helpers=1"), tmp_path / "helper_1.log"
    until((tmp_path / "teacher" / "seed_0" / LOCK_FILE).exists, first)
    first.send_signal(signal.SIGSTOP)
    until(functools.partial(waits, log), first)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    end = time.monotonic() + 60
    while "run the same command to go on" not in log.read_text():
        assert time.monotonic() < end, log.read_text()[-2000:]
        time.sleep(0.05)
    again = finish(train("plain", tmp_path, data_dir))
    assert "teacher" in trained(again)
    assert "student" not in trained(again)


def test_what_cannot_be_is_refused_in_one_line(tmp_path, data_dir):
    process = train("plain", tmp_path, data_dir, "--helpers=1000")
    _, err = process.communicate()
    assert process.returncode == 1
    assert re.fullmatch(r"error: --helpers=1000: of \d+ core\(s\) at most \d+ can be for helpers\n", err)
    assert not list(tmp_path.iterdir())
