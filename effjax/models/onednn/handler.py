"""The function that XLA calls where a program has a convolution of oneDNN's."""

import atexit
import functools
import os
import threading
import time
from typing import Any

import jax

from effjax.models.onednn.frames import Frame, Function
from effjax.models.onednn.library import library
from effjax.models.onednn.planned import PlannedConvolution, Spec

TARGET = "effjax_onednn_convolution"
_THREADS = "/proc/self/task"

_planned: dict[bytes, PlannedConvolution] = {}
# XLA may call from several threads. A convolution takes all cores, so they take turns.
_turn = threading.Lock()


def _compute(called: Any) -> int | None:
    frame: Frame = called.contents
    try:
        if not frame.is_execution:
            return None
        text = frame.text
        with _turn:
            if (plan := _planned.get(text)) is None:
                spec = Spec.parse(text.decode())
                if spec.shapes != frame.shapes:
                    raise RuntimeError(f"arrays of shapes {frame.shapes} are not those of {spec}")
                plan = _planned[text] = PlannedConvolution(library(), spec)
            plan(frame.addresses)
    except BaseException as error:  # nothing may leave a function that C calls
        return frame.error(f"{type(error).__name__}: {error}")
    return None


_function = Function(_compute)  # it must live as long as XLA may call it


@functools.cache
def register() -> None:
    """Makes the function known to XLA; programs that name it can be compiled, or read from a cache, from then on.

    A program that still runs when Python ends would call a function that no longer answers, and the process would not
    end. So programs run while their caller waits, if JAX has not begun to do otherwise; and the end waits for them.
    """
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    if os.path.isdir(_THREADS):  # on Linux, the only system for which there is a library
        atexit.register(_wait_until_idle)
    jax.ffi.register_ffi_target(TARGET, jax.ffi.pycapsule(_function), platform="cpu")


def _wait_until_idle(longest: float = 60.0) -> None:
    """Returns when no other thread has been at work for some moments: no program is running. Or after a while."""
    quiet, end = 0, time.monotonic() + longest
    while quiet < 10 and time.monotonic() < end:
        time.sleep(0.002)  # and whoever waits for Python goes on
        quiet = 0 if _others_at_work() else quiet + 1


def _others_at_work() -> bool:
    """Whether a thread of this process but the caller's runs, could, or waits for a disk."""
    for thread in os.listdir(_THREADS):
        try:
            with open(f"{_THREADS}/{thread}/stat", "rb") as file:
                state = file.read().rsplit(b")", 1)[1].split()[0]
        except OSError:  # it has ended
            continue
        if state in (b"R", b"D") and int(thread) != threading.get_native_id():
            return True
    return False
