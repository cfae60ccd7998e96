"""Reading processes that are killed, and those whose reader is killed."""

import functools
import logging
import multiprocessing
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from effjax.data.pipeline import _TrainReader, train_batches
from effjax.data.readers import Readers, _received, _send
from effjax.data.sampler import Sampler
from effjax.errors import UserError

_READ = """
import multiprocessing, sys, time
from conftest import ArraySource
from effjax.data.pipeline import train_batches
from effjax.data.sampler import Sampler
if __name__ == "__main__":
    batches = train_batches(ArraySource(10), Sampler(10, 4, seed=0), 0, 100_000, num_workers=2)
    next(batches), next(batches)
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    {then}
"""


def _alive(pid: int) -> bool:
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _wait(condition, seconds: float = 30) -> bool:
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.05)
    return condition()


def _start(tmp_path, then: str) -> tuple[subprocess.Popen, list[int]]:
    script = tmp_path / "read.py"
    script.write_text(_READ.format(then=then))
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, str(script)], env=environment, **pipes)
    return process, [int(pid) for pid in process.stdout.readline().split()]


def test_readers_end_with_the_process_that_they_read_for(tmp_path):
    process, pids = _start(tmp_path, "time.sleep(600)")
    assert len(pids) == 2
    for pid in pids:  # which a cluster or a terminal sends to all; the process that trains says when to stop
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGINT)
    time.sleep(0.3)
    assert all(map(_alive, pids))
    process.kill()
    process.communicate()
    assert _wait(lambda: not any(map(_alive, pids)))


def test_a_process_that_ends_without_closing_ends_its_readers(tmp_path):
    process, pids = _start(tmp_path, "sys.exit(3)")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 3, err
    assert not any(map(_alive, pids))


def test_a_killed_reader_is_started_again_and_the_batches_are_the_same(array_source, caplog):
    sampler = Sampler(10, 4, seed=3)
    with train_batches(array_source(10), sampler, 5, 45, num_workers=2) as batches:
        read = [next(batches) for _ in range(3)]
        for _ in range(2):  # the second time, one of those that were started anew
            os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)
            with caplog.at_level(logging.WARNING):
                read += [next(batches) for _ in range(15)]
        read += list(batches)
    assert [batch["id"].tolist() for batch in read] == [sampler.rows(t).tolist() for t in range(5, 45)]
    assert "a reading process was killed (signal 9, for want of memory?): started again" in caplog.text
    assert multiprocessing.active_children() == []


def _die(mother: int, example):
    if os.getpid() != mother:
        os.kill(os.getpid(), signal.SIGKILL)
    return example


def test_readers_that_are_killed_again_and_again_end_the_run_in_one_line(array_source):
    transform = functools.partial(_die, os.getpid())
    with train_batches(array_source(4), Sampler(4, 2, seed=0), 0, 9, num_workers=1, transform=transform) as batches:
        with pytest.raises(UserError, match=r"killed 3 times in a row \(signal 9.*num_workers=1 smaller") as error:
            next(batches)
        assert "\n" not in str(error.value)
        assert next(batches, None) is None


def _fail(example):
    raise RuntimeError("of a reader's own")


def test_other_errors_of_a_reader_stay_what_they_are(array_source):
    batches = train_batches(array_source(4), Sampler(4, 2, seed=0), 0, 9, num_workers=1, transform=_fail)
    with batches, pytest.raises(RuntimeError, match="of a reader's own"):
        next(batches)


class _Odd(Exception):
    def __init__(self, one, other):
        super().__init__(f"{one} and {other}")


def _fail_oddly(example):
    raise _Odd("this", "that")


def test_an_error_that_cannot_travel_is_said(array_source):
    batches = train_batches(array_source(4), Sampler(4, 2, seed=0), 0, 9, num_workers=1, transform=_fail_oddly)
    with batches, pytest.raises(RuntimeError, match="_Odd: this and that"):
        next(batches)


class _Kinds:
    """A source of features of many kinds, empty ones too."""

    def __len__(self):
        return 4

    def __getitem__(self, row):
        return {
            "image": np.full((3, 5, 3), row, np.uint8),
            "none": np.zeros((0, 4), np.float32),
            "flag": np.array([row % 2 == 0, True]),
            "half": np.float16(row),
            "id": np.int32(row),
        }


def test_whatever_a_batch_holds_comes_through():
    read = _TrainReader(_Kinds(), Sampler(4, 2, seed=0), 0, slice(None), None, None, None)
    readers = Readers(read, 1, 1)
    try:
        for number in range(3):
            for name, array in readers(number).items():
                assert array.dtype == read(number)[name].dtype
                np.testing.assert_array_equal(array, read(number)[name])
    finally:
        readers.close()


def test_without_memory_that_two_processes_see_batches_travel_by_value(monkeypatch):
    monkeypatch.delattr(os, "memfd_create")
    here, there = multiprocessing.Pipe()
    _send(here, {"image": np.arange(6)})
    error, described = there.recv()
    assert error is None
    np.testing.assert_array_equal(_received(there, described)["image"], np.arange(6))
