"""A process that is missing, fails or is killed: on all others one line that says which, and soon."""

import signal
import socket
import time

import pytest
from processes import train

from effjax.runtime import EXIT_INTERRUPTED

SILENT = 8


def start(workdir, data_dir, numbers, *arguments, start_timeout=60):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        coordinator = f"127.0.0.1:{probe.getsockname()[1]}"
    given = (f"--coordinator={coordinator}", "--num_processes=2", f"--silent_timeout={SILENT}")
    given += (f"--start_timeout={start_timeout}", *arguments)
    return [train("kill", workdir, data_dir, *given, f"--process_id={number}") for number in numbers]


def ended(process) -> tuple[int, list[str]]:
    """The exit code and what was said of errors; never a traceback or a stack."""
    out, err = process.communicate(timeout=120)
    for sign in ("Traceback", "*** Check failure", "Fatal Python"):
        assert sign not in out + err
    return process.returncode, [line for line in err.splitlines() if line.startswith("error: ")]


@pytest.mark.parametrize(
    ("there", "said"),
    [(0, "process 1 of 2 did not come within 2 s"), (1, "was not reached within 2 s (Connection refused)")],
)
def test_one_never_comes(tmp_path, data_dir, there, said):
    (process,) = start(tmp_path, data_dir, [there], start_timeout=2)
    code, (error,) = ended(process)
    assert code == 1
    assert said in error


@pytest.mark.parametrize("victim", [0, 1])
def test_one_is_killed(tmp_path, data_dir, victim):
    processes = start(tmp_path, data_dir, [0, 1])
    while not (tmp_path / "teacher" / "seed_0" / "checkpoints").exists():
        assert all(process.poll() is None for process in processes)
        time.sleep(0.01)
    processes[victim].send_signal(signal.SIGKILL)
    code, (error,) = ended(processes[1 - victim])
    assert code == 1
    assert f"process {victim} " in error
    assert error.endswith("is gone: it was killed, or its machine is down")
    processes[victim].communicate()


def test_one_refuses_what_it_was_given(tmp_path, data_dir):
    first, second = start(tmp_path, data_dir, [0, 1], "--config.runs.student.batch_size=7")
    for process in (first, second):
        code, errors = ended(process)
        assert code == 1
        assert "batch_size=7 is not a multiple of the 2 devices; use 6 or 8" in errors[-1]


def test_one_is_asked_to_stop(tmp_path, data_dir):
    processes = start(tmp_path, data_dir, [0, 1])
    while not (tmp_path / "teacher" / "seed_0" / "checkpoints").exists():
        assert all(process.poll() is None for process in processes)
        time.sleep(0.01)
    processes[1].send_signal(signal.SIGTERM)
    assert [ended(process) for process in processes] == [(EXIT_INTERRUPTED, [])] * 2
