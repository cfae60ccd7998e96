"""Further processes on this machine that take the runs of an experiment which the first is not at.

Small networks cannot keep many cores busy: what one core has computed, another fetches from afar. Several processes,
each with cores of its own, train several runs at once. Bits are those of a process that has so many cores.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from absl import flags

from effjax import signals
from effjax.errors import UserError, printable

_HELPERS = flags.DEFINE_integer(
    "helpers",
    0,
    "further processes, each with its part of this machine's CPU cores, that take runs which this one is not at",
    lower_bound=0,
)
_MARK = "EFFJAX_HELPS"
_GRACE_SECONDS = 20.0


@contextlib.contextmanager
def helped(workdir: str, names: Iterable[str]) -> Iterator[None]:
    """Starts the processes of ``--helpers``, and ends them with the block, or with this process.

    What they say is in ``helper_1.log`` and so on, in the experiment's folder.

    Args:
      workdir: the experiment's folder.
      names: the runs to share.

    Raises:
      UserError: if there are too few cores, or this is a machine, or a run, for which they are not.
    """
    _end_with_first()
    count, names = _HELPERS.value, list(names)
    if not (count and names):
        yield
        return
    first, *others = _parts_of_cores(count + 1)
    _keep_to(first)
    _check_alone()
    Path(workdir).mkdir(parents=True, exist_ok=True)
    helpers: list[_Helper] = []
    try:
        for number, cores in enumerate(others, 1):
            _keep_to(cores)  # which it inherits
            helpers.append(_Helper(Path(workdir) / f"helper_{number}.log", names))
        _keep_to(first)
        yield
        for helper in helpers:
            helper.complain()
    finally:
        for helper in helpers:
            helper.end()


class _Helper:
    """The same command in a process of its own, without a report."""

    def __init__(self, log: Path, names: Iterable[str]):
        self._log = log
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                [sys.executable, *sys.orig_argv[1:], "--helpers=0", "--results=", f"--only={','.join(names)}"],
                env={**os.environ, _MARK: str(os.getpid())},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )

    def complain(self) -> None:
        """Says if it has failed; the first process has done its work."""
        if self._process.poll() not in (None, 0, signals.EXIT_INTERRUPTED):
            last = self._log.read_text(errors="replace").strip().rpartition("\n")[2]
            print(f"a helper has failed ({self._log}): {printable(last)}", file=sys.stderr)

    def end(self) -> None:
        """Asks it to stop, if it has not ended, and waits for that."""
        self._process.terminate()
        try:
            self._process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _end_with_first() -> None:
    """A helper is asked to stop when the process that has started it ends, however that ends."""
    first = os.environ.get(_MARK)
    if first is None:
        return
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
    if first != str(os.getppid()):  # it has ended before
        raise signals.Interrupted("stopped with the process that has started this one; what is done is saved")


def _parts_of_cores(count: int) -> list[Sequence[int]]:
    """The cores that this process may use, in parts; nothing in them where the system does not say."""
    if not hasattr(os, "sched_getaffinity"):
        return [()] * count
    cores = sorted(os.sched_getaffinity(0))
    if count > len(cores):
        raise UserError(f"--helpers={count - 1}: of {len(cores)} core(s) at most {len(cores) - 1} can be for helpers")
    return [part.tolist() for part in np.array_split(cores, count)]


def _keep_to(cores: Sequence[int]) -> None:
    if cores:
        os.sched_setaffinity(0, cores)


def _check_alone() -> None:
    """Refuses what several processes would hinder one another with."""
    import jax

    if jax.process_count() > 1:
        raise UserError("--helpers: a run of several processes has all its runs in all of them")
    if (platform := jax.default_backend()) != "cpu":
        raise UserError(f"--helpers: the processes would share one {platform}; they are for CPUs")
