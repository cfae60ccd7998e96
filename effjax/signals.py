"""Being asked to stop: from a launcher's first line to its last, SIGTERM and SIGINT end the process with code 75.

Everything that is written to disk is safe at any moment, against ``kill -9`` too. So a signal raises
:class:`Interrupted` where the program happens to be; only where something is worth being finished first, a step of
training above all, is it :func:`deferred`. And where an exception would be lost or do harm, inside an import, whose C++
it would abort, or in what Python calls behind a program's back, it is raised a moment later.
"""

import atexit
import contextlib
import functools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator
from types import FrameType, TracebackType

#: The exit code of a run that was asked to stop, saved its state, and will continue when started again (sysexits.h's
#: EX_TEMPFAIL: a scheduler may take it as "requeue").
EXIT_INTERRUPTED = 75

_MOMENT = 0.01  # seconds
_SAME_SECONDS = 1.0  # a terminal and a scheduler may both pass on one wish to stop: that is not a second one


class Interrupted(BaseException):
    """The run was asked to stop and has saved its state. No error: who catches errors must not swallow it."""


class _Wish:
    """What is known of a wish to stop; one for the process."""

    def __init__(self):
        self.installed = False
        self.name = ""  # of the signal; empty: nobody wants it to stop
        self.since = 0.0
        self.deferred = 0
        self.over: int | None = None  # the exit code, once all work is done


_wish = _Wish()


def install() -> None:
    """Makes SIGTERM and SIGINT raise :class:`Interrupted` in the main thread; called again, claims them again.

    A second signal, a second or more after the first, ends the process at once, with code 75 too.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _notice)
    signal.signal(signal.SIGALRM, _once_more)
    if not _wish.installed:
        _wish.installed = True
        sys.unraisablehook = functools.partial(_lost, sys.unraisablehook)
        sys.excepthook = functools.partial(_uncaught, sys.excepthook)
        atexit.register(_deaf)


def installed() -> bool:
    """Whether signals are taken care of for the whole process."""
    return _wish.installed


def requested() -> bool:
    """Whether somebody wants the process to stop."""
    return bool(_wish.name)


def check() -> None:
    """Raises :class:`Interrupted` if the process is to stop.

    For places where stopping is cheap, between two pieces of work: a signal that found the program where no exception
    can come through is heard here.
    """
    if _wish.name and not _wish.deferred:
        raise Interrupted(f"stopped by {_wish.name}; what is done is saved")


@contextlib.contextmanager
def deferred() -> Generator[None, None, None]:
    """Inside, signals are only noted, see :func:`requested`; at its end they are heard."""
    _wish.deferred += 1
    try:
        yield
    finally:
        _wish.deferred -= 1
    check()


def finish(code: int) -> None:
    """From now on nothing is left to be saved: a signal just ends the process, with this code."""
    _wish.over = code


def _notice(number: int, frame: FrameType | None) -> None:
    if _wish.over is not None:
        os._exit(_wish.over)
    if not _wish.name:
        _wish.name, _wish.since = signal.Signals(number).name, time.monotonic()
        _once_more(number, frame)
    elif time.monotonic() - _wish.since > _SAME_SECONDS:
        print("stopped at once; run the same command to go on", file=sys.stderr, flush=True)
        os._exit(EXIT_INTERRUPTED)


def _once_more(_number: int, frame: FrameType | None) -> None:
    """Raises, unless the program is importing: then a moment later."""
    if _wish.over is not None or _wish.deferred:
        return
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            signal.setitimer(signal.ITIMER_REAL, _MOMENT)
            return
        frame = frame.f_back
    check()


def _lost(otherwise: "Callable[[sys.UnraisableHookArgs], object]", lost: "sys.UnraisableHookArgs") -> None:
    """What was raised where nobody can catch it, as in ``__del__``, is raised again."""
    if isinstance(lost.exc_value, Interrupted):
        signal.setitimer(signal.ITIMER_REAL, _MOMENT)
    else:
        otherwise(lost)


def _uncaught(
    otherwise: Callable[[type[BaseException], BaseException, TracebackType | None], object],
    kind: type[BaseException],
    error: BaseException,
    where: TracebackType | None,
) -> None:
    """What was raised before a launcher could listen."""
    if not isinstance(error, Interrupted):
        otherwise(kind, error, where)
        return
    print(f"{error}; run the same command to go on", file=sys.stderr, flush=True)
    os._exit(EXIT_INTERRUPTED)


def _deaf() -> None:
    """At the very end: from here on Python would let a signal kill the process, which has done its work."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
        with contextlib.suppress(ValueError):  # not in the main thread
            signal.signal(number, signal.SIG_IGN)
