"""A process of a run of several, and the one that watches over it.

Where several processes train together, each is two: this one, which starts the same command again and watches it, and
that one, which works. What JAX and its libraries do when a process is missing, an abort with a stack of C++ after
minutes, then becomes one line that says who is missing or what failed, on all processes, and exit code 1.
"""

import ctypes
import os
import re
import signal
import subprocess
import sys
import threading
import time
from typing import Any

from effjax.errors import UserError
from effjax.signals import EXIT_INTERRUPTED

from .roll_call import RollCall

_MARK = "EFFJAX_WATCHED_BY"
_GRACE_SECONDS = 5.0  # for what was asked to stop; what is on disk is safe without it
_VERDICT_SECONDS = 3.0  # for the others' word, where this process broke down for want of them
# What the coordination service writes of a process that is gone; the last is followed by a stack.
_OF_JAX = re.compile(r"[WE]\d{4} .*(coordination_service|distributed_runtime)|\[Gloo\] Rank")
_MORE_OF_IT = re.compile(r"\d+$|The tasks have crashed|RPC: /xla|Additional GRPC|:UNKNOWN:|$")  # lines that follow
_FATAL = re.compile(r"F\d{4} |\*\*\* Check failure|terminate called|Fatal Python error")
_OF_OTHERS = re.compile(r"gloo|nccl|coordination|UNAVAILABLE|DEADLINE_EXCEEDED|socket closed|connection (closed|reset)",
                        re.IGNORECASE)  # fmt: skip


def is_watched() -> bool:
    """Whether this is the process that works."""
    return os.environ.get(_MARK) == str(os.getppid())


def die_with_parent() -> None:
    """Whoever kills the process that watches means this one."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if not is_watched():  # it died before
        os._exit(1)


def is_of_others(message: str) -> bool:
    """Whether an error looks like another process's end."""
    return bool(_OF_OTHERS.search(message))


def watch(coordinator: str, num_processes: int, process_id: int, start_seconds: float, silent_seconds: float) -> int:
    """Starts the same command again, and returns the exit code once it, and all others of the run, have ended.

    Args:
      coordinator: ``host:port`` of process 0.
      num_processes: of the run.
      process_id: which of them this is.
      start_seconds: see :class:`launch.roll_call.RollCall`.
      silent_seconds: see there.
    """
    try:
        calls = RollCall(coordinator, num_processes, process_id, start_seconds, silent_seconds)
    except OSError as error:
        raise UserError(
            f"--coordinator={coordinator}: the port after it cannot be used here ({error.strerror}): process 0 listens "
            "there for the others; give another port"
        ) from error
    child = subprocess.Popen(
        [sys.executable, *sys.orig_argv[1:]], env={**os.environ, _MARK: str(os.getpid())}, stderr=subprocess.PIPE
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: child.send_signal(number))
    said = _Said(child.stderr)
    while child.poll() is None and calls.news.empty():
        time.sleep(0.02)
    code = child.poll()
    if code in (0, EXIT_INTERRUPTED):
        calls.say({"done": True} if code == 0 else {"stopped": True, "done": True})
        calls.wait_for_others()
        if calls.news.empty() or code == EXIT_INTERRUPTED:
            return code
    if code is None or code == 0:
        return _end(child, said, calls.news.get())
    said.wait()
    if said.is_of_others():  # it broke down because another one is gone: who, they will say
        end = time.monotonic() + _VERDICT_SECONDS
        while calls.news.empty() and time.monotonic() < end:
            time.sleep(0.02)
        if not calls.news.empty():
            return _end(child, said, calls.news.get())
    reason = said.reason(code)
    calls.say({"failed": reason})
    if not said.shown:
        print(f"error: {reason}", file=sys.stderr)
    return 1


def _end(child: subprocess.Popen, said: "_Said", news: dict[str, Any]) -> int:
    """Ends this process's work because of what another one said."""
    if "stopped" in news and not _ends(child):
        child.send_signal(signal.SIGTERM)
        if not _ends(child):
            print("stopped with the other processes of the run; run the same command to go on", file=sys.stderr)
    said.mute()
    child.kill()
    child.wait()
    if "failed" in news:
        print(f"error: {news['failed']}", file=sys.stderr)
        return 1
    return EXIT_INTERRUPTED


def _ends(child: subprocess.Popen) -> bool:
    """Whether it ends within the time of grace."""
    try:
        child.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return True


class _Said:
    """Passes on what a process says, but for what JAX's service says of others, and the stacks of C++."""

    def __init__(self, pipe: Any):
        self.error, self.shown, self._last, self._fatal, self._muted = "", False, "", "", False
        self._thread = threading.Thread(target=self._pass_on, args=(pipe,), daemon=True)
        self._thread.start()

    def _pass_on(self, pipe: Any) -> None:
        of_jax = False
        for raw in pipe:
            line = raw.decode(errors="replace")
            if _FATAL.match(line) or self._fatal:
                self._fatal += line
            elif _OF_JAX.match(line) or (of_jax and _MORE_OF_IT.match(line)):
                of_jax = True
            elif not self._muted:
                of_jax = False
                self._last = line.strip() or self._last
                if line.startswith("error: "):
                    self.error = line.removeprefix("error: ").strip()
                    if is_of_others(line):
                        continue  # who is gone, and why, the others say better
                    self.shown = True
                sys.stderr.write(line)
                sys.stderr.flush()

    def mute(self) -> None:
        self._muted = True

    def wait(self) -> None:
        self._thread.join(1.0)

    def is_of_others(self) -> bool:
        """Whether what it died of looks like another process's end."""
        return bool(self._fatal) or is_of_others(self.error)

    def reason(self, code: int) -> str:
        if self._fatal:
            return f"the other processes of the run are gone ({' '.join(self._fatal.split())[:300]})"
        if code < 0:
            name = signal.Signals(-code).name
            return f"it was ended by {name}" + (" (out of memory?)" if code == -signal.SIGKILL else "")
        return self.error or self._last or f"it ended with code {code}"
