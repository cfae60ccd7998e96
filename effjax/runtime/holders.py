"""Who holds a lock: what a process writes down of itself, and what another can tell from it."""

import dataclasses
import datetime
import functools
import json
import os
import secrets
import socket
import sys
from pathlib import Path
from typing import cast

#: Bytes of a record. Always as many, so that renewing it in place needs no room on a full disk.
SIZE = 1024
_LONGEST_COMMAND = 200


@dataclasses.dataclass(frozen=True)
class Holder:
    """A process that holds a lock.

    Attributes:
      host: its name there.
      pid: its number, in its namespace.
      started: when it was started, as the kernel counts: another process of the same number differs in it.
      kernel: of the kernel that runs it, until that is started anew; containers share it.
      namespace: of the process numbers: a container has its own.
      token: of this very lock; no two are the same.
      flock: whether it has the file locked by the kernel as well.
      since: when it took the lock, UTC.
      renewed: when it last said that it lives, UTC.
      command: that it was started by.
    """

    host: str
    pid: int
    started: str
    kernel: str
    namespace: str
    token: str
    flock: bool
    since: str
    renewed: str
    command: str

    @classmethod
    def this_process(cls, flock: bool) -> "Holder":
        """This process, with a new token."""
        command = " ".join([os.path.basename(sys.orig_argv[0]), *sys.orig_argv[1:]])
        return cls(
            host=socket.gethostname(),
            pid=os.getpid(),
            started=started_at(os.getpid()),
            kernel=kernel(),
            namespace=_namespace(),
            token=secrets.token_hex(8),
            flock=flock,
            since=_now(),
            renewed=_now(),
            command=command[:_LONGEST_COMMAND],
        )

    @classmethod
    def parse(cls, data: bytes) -> "Holder | None":
        """Reads a record; None if it is not whole, or not ours."""
        try:
            found = cls(**json.loads(data.decode()))
        except (TypeError, ValueError):
            return None
        fits = all(isinstance(getattr(found, field.name), cast(type, field.type)) for field in dataclasses.fields(cls))
        return found if fits else None

    def renew(self) -> "Holder":
        """The same with the time that it is now."""
        return dataclasses.replace(self, renewed=_now())

    def record(self) -> bytes:
        """What is written down, :data:`SIZE` bytes."""
        fields = dataclasses.asdict(self)
        data = json.dumps(fields).encode()
        while len(data) >= SIZE:  # characters that JSON writes as six
            fields["command"] = fields["command"][:-20]
            data = json.dumps(fields).encode()
        return data.ljust(SIZE - 1) + b"\n"

    def is_gone(self) -> bool | None:
        """Whether the process has ended: by its number, where that can be looked up; None where it cannot."""
        if self.kernel != kernel() or self.namespace != _namespace() or not self.started:
            return None
        return started_at(self.pid) != self.started

    def is_this_process(self) -> bool:
        """Whether it is the process that asks."""
        return self.is_gone() is False and self.pid == os.getpid()

    def __str__(self) -> str:
        who = f"process {self.pid} on {self.host} since {self.since}, last renewed {self.renewed} ({self.command})"
        return "".join(letter if letter.isprintable() else "?" for letter in who)


@functools.cache
def kernel() -> str:
    """Names the running kernel: not the machine, for that may have been started anew since."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:  # no Linux: the host's name is the best there is
        return f"host {socket.gethostname()}"


def _namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def started_at(pid: int) -> str:
    """When a process was started, in the kernel's ticks; empty if there is none, or nobody can say."""
    try:
        # The name before the last bracket may hold anything; the 20th field after it is the time.
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
