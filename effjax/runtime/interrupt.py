"""Being asked to stop while training: at the next block, with everything saved, and all processes of a run together."""

import signal
import threading
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from effjax import signals
from effjax.signals import EXIT_INTERRUPTED, Interrupted

__all__ = ["EXIT_INTERRUPTED", "Interrupted", "StopSignal"]


class StopSignal:
    """Notices SIGTERM and SIGINT instead of ending where the program is.

    In a launcher :mod:`effjax.signals` has them, and here they are deferred. In anybody else's program they are taken
    for as long as this lasts: a second one has its usual effect, and one that came too late is passed on.
    """

    def __init__(self):
        self._seen: int | None = None
        self._previous: dict[int, Any] = {}
        self._deferred = signals.deferred()

    def __enter__(self) -> "StopSignal":
        self._deferred.__enter__()
        if not signals.installed() and threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._previous[number] = signal.signal(number, self._notice)
        return self

    def __exit__(self, kind, error, trace) -> None:
        late = kind is None and self.agreed(0)
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        if late and self._seen is not None:
            signal.raise_signal(self._seen)
        self._deferred.__exit__(kind, error, trace)
        if late:  # another process of the run was asked to stop, this one was not
            raise Interrupted("stopped with the other processes of the run; what is done is saved")

    def _notice(self, number, _frame):
        self._seen = number
        signal.signal(number, self._previous[number])

    def agreed(self, count: int) -> bool:
        """Whether to stop, asked for the ``count``-th time. All processes of a run get the same answer.

        With several processes asking is a collective, so only every 16th question is really put.
        """
        seen = self._seen is not None or signals.requested()
        if jax.process_count() == 1:
            return seen
        return count % 16 == 0 and bool(multihost_utils.process_allgather(np.array(seen)).any())
