"""Starts processes that have already imported what takes seconds to import: a process that forks, and runs nothing.

What it starts are processes like any other: with an id, a parent, an environment, pipes and an exit code of their own.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import pathlib
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from typing import IO

_REPOSITORY = pathlib.Path(__file__).parents[1]
_MOST_BYTES = 2**20  # of a message


_IMPORTED = ("grain", "matplotlib.pyplot", "tensorflow_datasets", "launch", "effjax.reports.training")
_IMPORTED += tuple(f"effjax.recipes.{name}.experiment" for name in ("active", "compress", "train"))


def serve(address: str) -> None:
    """Forks for whoever connects, until the one who started this has gone."""
    for name in _IMPORTED:
        importlib.import_module(name)
    gc.freeze()  # a child's collector need not touch, and so copy, what is there already
    server = socket.socket(socket.AF_UNIX)
    server.bind(address)
    server.listen(64)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the keepers
    print("ready", flush=True)
    while True:
        ready, _, _ = select.select([server, sys.stdin], [], [])
        if sys.stdin in ready:
            os._exit(0)
        connection, _ = server.accept()
        if not os.fork():
            server.close()
            _keep(connection)
        connection.close()


def _keep(connection: socket.socket) -> None:
    """Starts one process, says which, and waits for its end to say how it was."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    message, files, _, _ = socket.recv_fds(connection, _MOST_BYTES, 2)
    pid = os.fork()
    if not pid:
        connection.close()
        _become(json.loads(message), files)
    for file in files:
        os.close(file)
    with contextlib.suppress(OSError):  # whoever asked may have gone
        connection.sendall(b"%d\n" % pid)
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(OSError):
        connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
    os._exit(0)


def _become(given: dict, files: list[int]) -> None:
    """Runs a module as ``python -m`` does; never returns."""
    code = 1
    try:
        nothing = os.open(os.devnull, os.O_RDWR)
        for number, file in ((0, nothing), (1, files[0]), (2, files[1])):
            os.dup2(file, number)
        for file in (nothing, *files):
            os.close(file)
        os.chdir(given["cwd"])
        os.environ.clear()
        os.environ.update(given["environment"])
        module, *arguments = given["command"]
        sys.path[0] = given["cwd"]
        sys.argv, sys.orig_argv = ["-m", *arguments], [sys.executable, "-m", module, *arguments]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else 0 if left.code is None else 1
        if isinstance(left.code, str):
            print(left.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    # What an interpreter does at its end.
    threading._shutdown()
    atexit._run_exitfuncs()
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


class Nursery:
    """The process that forks; it ends with this one."""

    def __init__(self):
        self._folder = tempfile.TemporaryDirectory()
        self._address = os.path.join(self._folder.name, "socket")
        environment = {**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONWARNINGS": "ignore"}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, ("tests", os.environ.get("PYTHONPATH"))))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "nursery", self._address],
            cwd=_REPOSITORY,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout.readline() == b"ready\n"

    def start(self, command: Sequence[str], environment: Mapping[str, str], cwd: str) -> "Launched":
        """Starts a module with its arguments."""
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(self._address)
        reading, writing = zip(os.pipe(), os.pipe(), strict=True)
        message = {"command": list(command), "environment": dict(environment), "cwd": cwd}
        socket.send_fds(connection, [json.dumps(message).encode()], writing)
        for file in writing:
            os.close(file)
        return Launched(command, connection, *(os.fdopen(file, errors="replace") for file in reading))


class Launched:
    """What :class:`subprocess.Popen` is, of a process that the nursery has started, as far as tests need it."""

    stdin = None

    def __init__(self, args: Sequence[str], connection: socket.socket, stdout: IO[str], stderr: IO[str]):
        self.args, self.stdout, self.stderr, self.returncode = list(args), stdout, stderr, None
        self._connection, self._said = connection, b""
        self.pid = int(self._line(None))
        self._readers: list[_Reader] = []

    def _line(self, timeout: float | None) -> str | None:
        """The next line of what the nursery says; None if there is none in time."""
        end = None if timeout is None else time.monotonic() + timeout
        while b"\n" not in self._said:
            left = None if end is None else max(end - time.monotonic(), 0.0)
            if not select.select([self._connection], [], [], left)[0]:
                return None
            if not (read := self._connection.recv(64)):
                raise RuntimeError(f"{self.args}: who waits for it has gone")
            self._said += read
        line, _, self._said = self._said.partition(b"\n")
        return line.decode()

    def poll(self) -> int | None:
        return self._ended(0.0)

    def wait(self, timeout: float | None = None) -> int:
        if self._ended(timeout) is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return self.returncode

    def _ended(self, timeout: float | None) -> int | None:
        if self.returncode is None and (line := self._line(timeout)) is not None:
            self.returncode = int(line)
            self._connection.close()
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        end = None if timeout is None else time.monotonic() + timeout
        self._readers = self._readers or [_Reader(self.stdout), _Reader(self.stderr)]
        for reader in self._readers:
            reader.join(None if end is None else max(end - time.monotonic(), 0.0))
            if reader.is_alive():
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        self.wait(None if end is None else max(end - time.monotonic(), 0.0))
        out, err = (reader.text for reader in self._readers)
        return out, err

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


class _Reader(threading.Thread):
    """Reads a pipe to its end."""

    def __init__(self, file: IO[str]):
        super().__init__(daemon=True)
        self.text, self._file = "", file
        self.start()

    def run(self) -> None:
        with self._file:
            self.text = self._file.read()


if __name__ == "__main__":
    serve(sys.argv[1])
