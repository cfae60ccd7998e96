"""Several commands at one experiment, at the same time: none spoils what another does."""

import json
import pathlib
import signal
import time

import pytest
from processes import finish, train

from effjax.recipes.build import sharing
from effjax.runtime.locks import LOCK_FILE

RUNS = ("teacher", "student", "distilled")


def metrics(workdir: pathlib.Path) -> dict[str, bytes]:
    return {name: (workdir / name / "seed_0" / "metrics.jsonl").read_bytes() for name in RUNS}


def until(path: pathlib.Path, process) -> None:
    while not path.exists():
        assert process.poll() is None, process.communicate()[1][-3000:]
        time.sleep(0.01)


def until_said(process, what: str) -> str:
    """Reads what the process says up to a line that has ``what`` in it."""
    said = ""
    while what not in said:
        line = process.stderr.readline()
        assert line, said[-3000:]
        said += line
    return said


@pytest.fixture(scope="module")
def alone(tmp_path_factory, data_dir):
    workdir = tmp_path_factory.mktemp("alone")
    finish(train("plain", workdir, data_dir))
    return workdir


@pytest.fixture
def start(tmp_path, data_dir):
    """Starts commands on one folder; what still runs at the end is killed."""
    started = []

    def begin(variant: str, *arguments: str, **options):
        started.append(train(variant, tmp_path, data_dir, *arguments, **options))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def test_who_needs_a_teacher_waits_for_it_and_takes_over_when_its_process_is_killed(alone, tmp_path, start):
    lock = tmp_path / "teacher" / "seed_0" / LOCK_FILE
    first = start("plain", "--only=teacher")
    until(lock, first)
    first.send_signal(signal.SIGSTOP)  # or it might be done before the others have begun
    second = start("plain", "--only=distilled")
    third = start("plain")  # for all: it waits as well
    for waiting in (second, third):
        said = until_said(waiting, "waiting for")
        assert f"teacher/seed_0, held by process {first.pid} on " in said
        assert "step" in said
        # What needs no teacher is not waited with.
        assert ("student seed 0: stage 1/" in said) == (waiting is third)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    trained = [finish(process).count("teacher seed 0: stage 1/") for process in (second, third)]
    assert sorted(trained) == [0, 1]
    finish(start("plain", "--only=teacher"))
    assert metrics(tmp_path) == metrics(alone)
    assert (tmp_path / "summary.json").read_bytes() == (alone / "summary.json").read_bytes()
    assert not list(tmp_path.rglob(LOCK_FILE))
    assert not list(tmp_path.rglob("*.partial"))


def test_a_second_command_for_all_is_refused_in_one_line(alone, tmp_path, start):
    first = start("plain")
    until(tmp_path / LOCK_FILE, first)
    second = start("plain")
    _, err = second.communicate()
    assert second.returncode == 1
    assert err.startswith(f"error: {tmp_path} is in use by process {first.pid} on ")
    assert "launch.train" in err
    assert err.count("\n") == 1
    first.send_signal(signal.SIGKILL)
    first.communicate()
    finish(start("plain"))  # at once, without waiting for anything to grow stale
    assert metrics(tmp_path) == metrics(alone)


def test_loops(tmp_path, start):
    """Of two commands for one loop the second waits, and then finds it done: nothing is asked twice."""
    several = [start("active", "--only=ensemble", launcher="launch.active") for _ in range(2)]
    assert sum("waiting for" in finish(process) for process in several) == 1
    ledger = (tmp_path / "ensemble" / "seed_0" / "ledger.jsonl").read_text().splitlines()[1:]
    asked = [json.loads(line) for line in ledger if '"asked"' in line]
    assert len(asked) == len({line["id"] for line in asked}) == 40


def test_what_another_is_at_comes_last_and_so_does_what_needs_it(tmp_path):
    order, held = [], {"a/1", "c/0"}
    parts = {"a": (0, 1), "b": (0, 1), "c": (0, 1), "d": (0,)}  # b needs all of a

    def before(name):
        return ["a"] if name == "b" else []

    def folders(name, part):
        yield tmp_path / f"{name}/{part}"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sharing, "is_held", lambda path: str(path.relative_to(tmp_path)) in held)
        for name, part in sharing.free_first(parts, folders, before):
            order.append(f"{name}/{part}")
            if order[-1] == "d/0":
                held.clear()
    assert order == ["a/0", "c/1", "d/0", "a/1", "b/0", "b/1", "c/0"]
