"""One writer per folder, among real processes that are really killed."""

import contextlib
import dataclasses
import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from processes import REPOSITORY

from effjax.files import StorageError
from effjax.runtime import locks
from effjax.runtime.holders import SIZE, Holder, started_at
from effjax.runtime.locks import LOCK_FILE, InUse, hold, is_held

_HOLD = """
import sys
from effjax.runtime.locks import hold
with hold(sys.argv[1]):
    print("held", flush=True)
    {then}
"""


@pytest.fixture
def start():
    """Starts a process that holds a folder until its stdin is closed, or does something else with it."""
    started = []

    def begin(folder, then="sys.stdin.read()", code=_HOLD):
        environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
        command = [sys.executable, "-c", code.format(then=then), str(folder)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen(command, cwd=REPOSITORY, env=environment, text=True, start_new_session=True, **pipes)
        started.append(process)
        return process

    yield begin
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its children too
        with process:
            pass


def held(process):
    assert process.stdout.readline() == "held\n", process.stderr.read()
    return process


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "run"


@pytest.fixture
def other(folder, start):
    return held(start(folder))


def foreign(folder, **changes):
    """A lock of a process on another machine, which nobody has locked in this kernel."""
    away = {"host": "elsewhere", "kernel": "another", "pid": 7, "started": "1", **changes}
    folder.mkdir(exist_ok=True)
    holder = dataclasses.replace(Holder.this_process(flock=True), **away)
    (folder / LOCK_FILE).write_bytes(holder.record())
    return holder


def test_it_goes_with_its_block(folder):
    with hold(folder):
        found = Holder.parse((folder / LOCK_FILE).read_bytes())
        assert (found.pid, found.started) == (os.getpid(), started_at(os.getpid()))
        with hold(folder):  # the same process again
            pass
        assert (folder / LOCK_FILE).exists()
    assert list(folder.iterdir()) == []


def test_who_comes_second_is_refused_and_told_by_whom(folder, other):
    with pytest.raises(InUse) as refused, hold(folder):
        pass
    said = str(refused.value)
    assert f"{folder} is in use by process {other.pid} on " in said
    assert "UTC, last renewed" in said
    assert "python -c" in said.replace("python3", "python")
    assert "\n" not in said
    other.stdin.close()
    assert other.wait() == 0
    with hold(folder):
        pass


def test_a_killed_holder_is_noticed_at_once_and_what_it_left_is_swept(folder, other):
    (folder / ".result.json.host-1-abcd.partial").write_text("half")
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert (folder / LOCK_FILE).exists()
    with hold(folder):
        assert [path.name for path in folder.iterdir()] == [LOCK_FILE]


def test_a_waiter_goes_on_when_the_holder_ends(folder, other, caplog):
    threading.Timer(1.5, other.stdin.close).start()
    with caplog.at_level("INFO", "effjax"), hold(folder, wait=lambda: "step 3 of 8"):
        pass
    assert f"held by process {other.pid} on" in caplog.text
    assert "step 3 of 8" in caplog.text


def test_a_waiter_takes_over_from_a_holder_that_is_killed(folder, other):
    threading.Timer(1.0, other.kill).start()
    with hold(folder, wait=lambda: ""):
        assert Holder.parse((folder / LOCK_FILE).read_bytes()).pid == os.getpid()


def test_two_that_come_at_once_are_one_after_the_other(folder):
    then = "import pathlib; p = pathlib.Path(sys.argv[1]) / 'n'; n = len(p.read_text()) if p.exists() else 0"
    then += "; import time; time.sleep(0.5); p.write_text('x' * (n + 1))"
    code = _HOLD.format(then=then).replace("hold(sys.argv[1])", "hold(sys.argv[1], wait=lambda: '')")
    command = [sys.executable, "-c", code, str(folder)]
    several = [subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL) for _ in range(3)]
    assert [process.wait() for process in several] == [0, 0, 0]
    assert (folder / "n").read_text() == "xxx"


@pytest.mark.parametrize("then", ["os.fork() or __import__('time').sleep(60)", "subprocess.Popen(['sleep', '60'])"])
def test_a_child_neither_keeps_nor_releases_it(folder, start, then):
    """A forked one, as Grain's workers may be, and another program."""
    then = f"import os, subprocess; child = {then}; print('child', flush=True); sys.stdin.read()"
    process = held(start(folder, then))
    assert process.stdout.readline() == "child\n"
    with pytest.raises(InUse), hold(folder):
        pass
    process.kill()
    process.wait()
    with hold(folder):
        pass
    os.killpg(0, 0)


def test_a_holder_elsewhere_that_is_silent_is_taken_over_from(folder):
    foreign(folder)
    begun = time.monotonic()
    with hold(folder, stale=1.0):
        assert Holder.parse((folder / LOCK_FILE).read_bytes()).pid == os.getpid()
    assert time.monotonic() - begun > 1.0


def test_a_holder_elsewhere_that_renews_is_left_in_peace(folder):
    holder = foreign(folder)
    stop = threading.Event()

    def live():
        for second in range(100):
            if stop.wait(0.3):
                return
            renewed = dataclasses.replace(holder, renewed=f"at {second}")
            with (folder / LOCK_FILE).open("r+b") as file:
                file.write(renewed.record())

    thread = threading.Thread(target=live)
    thread.start()
    try:
        with pytest.raises(InUse, match=r"process 7 on elsewhere since .*, last renewed at"), hold(folder, stale=2.0):
            pass
    finally:
        stop.set()
        thread.join()
    assert Holder.parse((folder / LOCK_FILE).read_bytes()).host == "elsewhere"


@pytest.mark.parametrize("number_of", [lambda: 1, os.getppid, os.getpid], ids=["first", "parent", "own"])
@pytest.mark.parametrize("flock", [True, False])
def test_a_number_that_another_process_has_now_does_not_block(folder, number_of, flock):
    """As in containers, where every start has the same: also on file systems that know no flock."""
    own = Holder.this_process(flock)
    foreign(folder, host=own.host, kernel=own.kernel, pid=number_of(), flock=flock, started="1")
    with hold(folder):
        pass


def test_without_the_kernels_lock_a_living_holder_is_found_by_its_number(folder):
    own = Holder.this_process(False)
    foreign(folder, host=own.host, kernel=own.kernel, pid=os.getppid(), flock=False, started=started_at(os.getppid()))
    with pytest.raises(InUse), hold(folder):
        pass


@pytest.mark.parametrize("data", [b"{", b'{"pid": 1}', b"[1]", b'{"host": 1}', b"\x00" * SIZE])
def test_what_is_no_record_names_nobody(data):
    assert Holder.parse(data) is None


@pytest.mark.parametrize("data", [b"", b"\xff" * SIZE])
def test_a_lock_without_a_name_does_not_block_for_long(folder, data):
    folder.mkdir()
    (folder / LOCK_FILE).write_bytes(data)
    with hold(folder):
        pass


@pytest.fixture
def no_flock(monkeypatch):
    """A file system that does not know it."""

    def refuse(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)


def test_without_the_kernels_lock_one_of_two_has_the_folder_and_a_killed_one_loses_it(folder, start, no_flock):
    code = _HOLD.replace("import sys\n", "import sys, fcntl\ndef refuse(*_): raise OSError(37, 'No locks')\n", 1)
    process = held(start(folder, code=code.replace("from effjax", "fcntl.flock = refuse\nfrom effjax")))
    assert not Holder.parse((folder / LOCK_FILE).read_bytes()).flock
    with pytest.raises(InUse, match=f"process {process.pid}"), hold(folder):
        pass
    process.kill()
    process.wait()
    with hold(folder):
        assert Holder.parse((folder / LOCK_FILE).read_bytes()).pid == os.getpid()
    assert not (folder / LOCK_FILE).exists()


def test_without_links_it_works_as_well(folder, start, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    with hold(folder), pytest.raises(AssertionError, match=f"is in use by process {os.getpid()}"):
        held(start(folder))
    assert list(folder.iterdir()) == []


def test_whoever_was_taken_for_dead_ends_before_it_writes(folder, start):
    process = held(start(folder, "import time; time.sleep(60)"))
    holder = Holder.parse((folder / LOCK_FILE).read_bytes())
    with (folder / LOCK_FILE).open("r+b") as file:
        file.write(dataclasses.replace(holder, host="elsewhere", token="other").record())
    assert process.wait(30) == 1
    assert "elsewhere" in process.stderr.read()


def test_a_long_command_in_another_script_fits(folder, monkeypatch):
    monkeypatch.setattr(sys, "orig_argv", ["python", "ü" * 5000, "\x1b[31m"])
    record = Holder.this_process(True).record()
    assert len(record) == SIZE
    assert Holder.parse(record).token
    monkeypatch.setattr(sys, "orig_argv", ["python", "\x1b[31m"])
    assert "\x1b" not in str(Holder.parse(Holder.this_process(True).record()))


def test_a_folder_that_cannot_be_written_is_one_line(folder, tmp_path):
    (tmp_path / "file").write_text("")
    for given in (tmp_path / "file", tmp_path / "file" / "below", "/proc/none"):
        with pytest.raises(StorageError) as error, hold(given):
            pass
        assert str(given).split("/")[1] in str(error.value)
        assert "\n" not in str(error.value)


def test_files_locked_by_nobody_here_are_renewed(folder, monkeypatch):
    monkeypatch.setattr(locks, "_RENEWED_EVERY", 0.2)
    with hold(folder):
        first = (folder / LOCK_FILE).read_bytes()
        deadline = time.monotonic() + 30
        while (folder / LOCK_FILE).read_bytes() == first:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert Holder.parse((folder / LOCK_FILE).read_bytes()).token == Holder.parse(first).token


def test_at_a_glance_a_folder_is_held_by_another_process_that_lives(folder, start):
    assert not is_held(folder)
    with hold(folder):
        assert not is_held(folder)  # by this one
    other = held(start(folder))
    assert is_held(folder)
    assert is_held(folder)  # looking has changed nothing
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    assert not is_held(folder)
    foreign(folder)
    assert is_held(folder)  # which nobody here can know
