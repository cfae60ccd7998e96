"""One writer per folder: whoever comes second waits, or is refused.

A lock is the file ``.lock`` in the folder; it says who holds it. Whether its holder still lives, two things tell:

- The kernel. The holder keeps the file locked (``flock``), which ends with the process, however it ends. So on one
  machine, its containers included, a holder that was killed is noticed at once, and it does not matter who has got its
  number since.
- Renewal. On another machine, where a network file system may not pass the kernel's lock on, a holder is alive as long
  as it writes a new time every few seconds. One whose file does not change for :data:`STALE` seconds by the watcher's
  own clock is dead; clocks of two machines are never compared.

A process that has been taken for dead, because it was suspended for longer, ends as soon as it notices.
"""

import atexit
import contextlib
import errno
import fcntl
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from effjax.errors import UserError
from effjax.files import StorageError, partial_of, storage_message, sweep
from effjax.runtime.holders import SIZE, Holder, kernel
from effjax.runtime.hosts import told

_log = logging.getLogger("effjax")

LOCK_FILE = ".lock"
#: Seconds without a sign of life after which a holder on another machine is dead.
STALE = 60.0
_RENEWED_EVERY = 5.0
_LOOKED_EVERY = 0.5
_SAID_EVERY = 30.0
_SETTLING = 1.0  # until what two machines have written at the same time is what both read
_ENDED = "a process that has just ended"


class InUse(UserError):
    """Another process holds the folder."""


@contextlib.contextmanager
def hold(
    folder: str | os.PathLike,
    *,
    wait: Callable[[], str] | None = None,
    otherwise: str = "wait for it, or give another folder",
    stale: float = STALE,
) -> Iterator[None]:
    """Holds a folder for writing, against all other processes that ask so. One process may hold it several times.

    Of the processes of a distributed run the first holds it, for all; what holds here ends with the ``with`` block, or
    with the process. What a dead holder has left half written in the folder is removed (:func:`effjax.files.sweep`).

    Args:
      folder: made if it is not there.
      wait: how far the holder has come, as a clause; it is then waited for. None refuses at once where another process
        holds the folder, or as soon as it is sure that a holder on another machine lives.
      otherwise: what to do when it is refused.
      stale: seconds, see :data:`STALE`.

    Raises:
      InUse: naming the holder.
      StorageError: if the folder cannot be written.
    """
    claim = Claim(folder, stale)
    _acquire(claim, wait, otherwise)
    try:
        yield
    finally:
        claim.release()


def is_held(folder: str | os.PathLike) -> bool:
    """Whether another process holds a folder, at a glance.

    Args:
      folder: which need not be there.

    Returns:
      True as well for a process on another machine that may have died without a word: only :func:`hold`, which watches
      for a while, can tell.
    """
    path = Path(folder) / LOCK_FILE
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:  # nobody does, or whoever wants to hold it will be told what is wrong
        return False
    try:
        with _HELD.lock:
            if os.path.realpath(path) in _HELD.locks:
                return False
        locked = _flock(file)
        holder = Holder.parse(os.pread(file, SIZE, 0))
        if locked is False:
            return True
        ended = holder is None or _same_kernel(holder, bool(locked)) or holder.is_gone() or holder.is_this_process()
        return not ended
    finally:
        os.close(file)


def _acquire(claim: "Claim", wait: Callable[[], str] | None, otherwise: str) -> None:
    said = -_SAID_EVERY
    begun = time.monotonic()
    while True:
        # One process tries, all learn what came of it: short questions, which no collective's limit ends.
        state, message = json.loads(told(lambda: json.dumps(_try(claim))))
        if state == "held":
            if said >= 0:
                _log.info("%s: free now", claim.folder)
            return
        if state == "error":
            raise StorageError(message)
        waited = time.monotonic() - begun
        if wait is None and (state == "lives" or waited > claim.stale + _SAID_EVERY):
            raise InUse(f"{claim.folder} is in use by {message}: {otherwise}")
        if waited - said >= _SAID_EVERY and (wait is not None or waited > 1.0):
            said = waited
            doubt = f"; it is taken over if it shows no life for {claim.stale:.0f} s" if state == "silent" else ""
            clause = f", {where}" if wait is not None and (where := wait()) else ""
            _log.info("waiting for %s, held by %s%s%s", claim.folder, message, clause, doubt)
        time.sleep(_LOOKED_EVERY)


def _try(claim: "Claim") -> tuple[str, str]:
    try:
        found = claim.attempt()
    except OSError as error:  # of a file whose name says nothing to people
        return "error", storage_message(OSError(error.errno, error.strerror), claim.folder)
    if found is None:
        return "held", ""
    return ("lives" if claim.sure else "locked" if claim.locked else "silent"), found


class Claim:
    """What one process knows of a folder that it wants to hold.

    Args:
      folder: the folder.
      stale: seconds, see :data:`STALE`.

    Attributes:
      sure: after an attempt that failed, whether the holder is known to live.
      locked: after an attempt that failed, whether a process has the file locked.
    """

    def __init__(self, folder: str | os.PathLike, stale: float = STALE):
        self.folder, self.stale = Path(folder), stale
        self.sure = self.locked = False
        self._path = self.folder / LOCK_FILE
        self._seen: tuple[bytes | None, float] = (None, 0.0)

    def attempt(self) -> str | None:
        """Takes the lock and returns None; or says who holds it.

        Raises:
          OSError: if the folder cannot be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        key = self._key()
        with _HELD.lock:
            if key in _HELD.locks:
                _HELD.locks[key].count += 1
                return None
        self.sure = self.locked = False
        lock = _create(self._path)
        if lock is None:
            lock, who = self._take_over()
            if lock is None:
                return who
        _HELD.add(key, lock)
        sweep(self.folder)
        return None

    def _take_over(self) -> tuple["_Lock | None", str]:
        """The lock of a holder that has ended; or None, and who holds it."""
        try:
            file = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None, _ENDED
        kept = False
        try:
            locked = _flock(file)
            if not _is_there(file, self._path):
                return None, _ENDED
            data = os.pread(file, SIZE, 0)
            before = Holder.parse(data)
            self.locked = locked is False
            if self.locked or not self._is_dead(before, data, bool(locked)):
                if self.locked:
                    self._refused(before, data)
                return None, str(before or "a process that has not said its name")
            holder = _write(file, bool(locked))
            # The kernel lets one of its processes in; between machines, whoever writes last has it.
            if not _same_kernel(before, bool(locked)):
                time.sleep(_SETTLING)
                if holder.token.encode() not in (_read(self._path) or b""):
                    return None, "a process on another machine"
            kept = True
            return _Lock(self._path, file, holder), ""
        finally:
            if not kept:
                os.close(file)

    def release(self) -> None:
        """Gives the folder back, if this is the process that took it."""
        with contextlib.suppress(OSError):
            _HELD.release(self._key())

    def _key(self) -> str:
        return os.path.realpath(self._path)

    def _refused(self, holder: Holder | None, data: bytes) -> None:
        """What to think of a file that another process has locked: a watcher may have, for a moment."""
        changed = self._watch(data)
        # A holder that has gone: whoever has the file locked is about to write its own name.
        known = holder is not None and holder.kernel == kernel() and holder.is_gone() is not True
        self.sure = known or changed

    def _is_dead(self, holder: Holder | None, data: bytes, locked: bool) -> bool:
        """Whether what is named in a file that nobody on this machine has locked has ended."""
        if holder is not None:
            if _same_kernel(holder, locked) or holder.is_gone() or holder.is_this_process():
                return True
            if holder.is_gone() is False:
                self.sure = True
                return False
        self.sure = self._watch(data)
        # A file without a name: its maker has ended, or it is just about to write it.
        patience = self.stale if holder is not None else min(self.stale, 2 * _SETTLING)
        return not self.sure and time.monotonic() - self._seen[1] >= patience

    def _watch(self, data: bytes) -> bool:
        """Notes what the file says; returns whether it has changed since the last look."""
        if self._seen[0] == data:
            return False
        changed, self._seen = self._seen[0] is not None, (data, time.monotonic())
        return changed


class _Lock:
    """A lock that this process holds."""

    def __init__(self, path: Path, file: int, holder: Holder):
        self.path, self.file, self.holder, self.count = path, file, holder, 1

    def renew(self) -> None:
        """Says that this process lives; ends it if the lock has been taken over."""
        with contextlib.suppress(OSError):
            found = _read(self.path)
            other = Holder.parse(found) if found else None
            if other is not None and other.token != self.holder.token:
                _end(f"{self.path.parent}: this process showed no life for long, and {other} has taken over")
            self.holder = self.holder.renew()
            os.pwrite(self.file, self.holder.record(), 0)
            os.fsync(self.file)

    def remove(self) -> None:
        with contextlib.suppress(OSError):
            # Removed while it is still locked: nobody else can have taken this very file.
            if _is_there(self.file, self.path) and self.holder.token.encode() in (_read(self.path) or b""):
                self.path.unlink()
        with contextlib.suppress(OSError):
            os.close(self.file)


class _Held:
    """All locks that this process holds, and the thread that renews them. A child of this process has none of them."""

    def __init__(self):
        self.lock = threading.RLock()
        self.locks: dict[str, _Lock] = {}
        self.thread: threading.Thread | None = None

    def add(self, key: str, lock: _Lock) -> None:
        with self.lock:
            self.locks[key] = lock
            if self.thread is None:
                self.thread = threading.Thread(target=self._renew, name="locks", daemon=True)
                self.thread.start()

    def release(self, key: str) -> None:
        with self.lock:
            if (lock := self.locks.get(key)) is None:
                return
            lock.count -= 1
            if not lock.count:
                del self.locks[key]
                lock.remove()

    def release_all(self) -> None:
        with self.lock:
            while self.locks:
                self.locks.popitem()[1].remove()

    def _renew(self) -> None:
        while True:
            time.sleep(_RENEWED_EVERY)
            with self.lock:
                for lock in self.locks.values():
                    lock.renew()

    def forget(self) -> None:
        """In a child: closes what it has inherited, or it would keep the locks when its parent has ended."""
        for lock in self.locks.values():
            with contextlib.suppress(OSError):
                os.close(lock.file)
        self.__init__()


_HELD = _Held()
os.register_at_fork(after_in_child=_HELD.forget)
atexit.register(_HELD.release_all)


def _create(path: Path) -> _Lock | None:
    """Makes the lock file, locked and with a name in it from the start; None if it is there already."""
    if path.exists():
        return None
    partial = partial_of(path)
    try:
        lock = _made(partial)
        lock.path = path
        try:
            os.link(partial, path)
        except BaseException:
            os.close(lock.file)
            raise
        return lock
    except FileExistsError:
        return None
    except OSError:  # a file system without links: whoever watches sees it without a name for a moment
        try:
            return _made(path)
        except FileExistsError:
            return None
    finally:
        partial.unlink(missing_ok=True)


def _made(path: Path) -> _Lock:
    """A new lock file. It is closed in programs that this process starts."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        return _Lock(path, file, _write(file, bool(_flock(file))))
    except BaseException:
        os.close(file)
        raise


def _write(file: int, locked: bool) -> Holder:
    """Writes this process's name into a lock file."""
    holder = Holder.this_process(locked)
    os.pwrite(file, holder.record(), 0)
    os.fsync(file)
    return holder


def _flock(file: int) -> bool | None:
    """Whether the kernel has locked the file for us; None if it cannot, on this file system."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        if error.errno in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL):
            return None
        raise
    return True


def _same_kernel(holder: Holder | None, locked: bool) -> bool:
    """Whether the kernel that has just locked the file for us would have kept it locked for the holder."""
    return locked and holder is not None and holder.flock and holder.kernel == kernel()


def _is_there(file: int, path: Path) -> bool:
    """Whether the open file is the one of that name."""
    try:
        there = os.stat(path)
    except FileNotFoundError:
        return False
    here = os.fstat(file)
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)


def _read(path: Path) -> bytes | None:
    """What the file says now: opened anew, for a network file system shows what others wrote only then."""
    try:
        with path.open("rb") as file:
            return file.read(SIZE)
    except FileNotFoundError:
        return None


def _end(message: str) -> None:
    """Ends the process at once: whatever it wrote from here on would spoil what another writes."""
    print(f"error: {message}", file=sys.stderr, flush=True)
    os._exit(1)
