"""Stops a process at one of its file operations: kill -9, SIGTERM, or a disk that is full from there on."""

import contextlib
import errno
import mmap
import os
import resource
import signal
import sys
from pathlib import Path

HOWS = ("kill", "term", "full")

_CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.utime")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class Stopper:
    """Counts what a process changes below some folders, by an audit hook; operations of C++ are not seen.

    Args:
      folders: whose operations count.
      at: the operation to stop at, from 1; 0 only counts.
      how: ``"kill"``, ``"term"`` or ``"full"``.
      log: a file of eight bytes for the count, for it must outlive the process.
    """

    def __init__(self, folders: list[Path], at: int, how: str, log: Path):
        self._folders = [f"{folder.absolute()}/" for folder in folders]
        self._at, self._how, self._count = at, how, 0
        self._log = mmap.mmap(os.open(log, os.O_RDWR), 8)  # written by no call that a full disk could refuse
        self._full = self._inside = False

    def install(self) -> None:
        """From now on, for ever: a hook cannot be taken off."""
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple) -> None:
        if self._inside or not self._counts(event, arguments):
            return
        self._inside = True
        try:
            self._count += 1
            self._log[:] = f"{self._count:8d}".encode()
            if self._count == self._at:
                self._stop()
        finally:
            self._inside = False
        if self._full and event not in ("os.remove", "os.rmdir"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(arguments[0]))

    def _stop(self) -> None:
        if self._how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif self._how == "term":
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            self._full = True
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))  # for what C++ writes

    def _counts(self, event: str, arguments: tuple) -> bool:
        if event == "open":
            path, mode, flags = arguments
            if not (set(mode or "") & set("wax+") or (flags or 0) & _WRITING):
                return False
        elif event in _CHANGES:
            path = arguments[0]
        else:
            return False
        return self._is_below(path, arguments)

    def _is_below(self, path: object, arguments: tuple) -> bool:
        with contextlib.suppress(TypeError, ValueError, OSError):
            path = os.fsdecode(path)  # a number is a file that is open: it was counted when it was opened
            if not os.path.isabs(path):
                folder = arguments[-1] if isinstance(arguments[-1], int) and arguments[-1] > 2 else None
                path = os.path.join(os.getcwd() if folder is None else os.readlink(f"/proc/self/fd/{folder}"), path)
            return any(f"{path}/".startswith(folder) for folder in self._folders)
        return False
