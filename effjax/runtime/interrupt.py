"""Being asked to stop: SIGTERM and SIGINT end a run at the next block, with everything saved."""

import signal
import threading

import jax
import numpy as np
from jax.experimental import multihost_utils

#: The exit code of a run that was asked to stop, saved its state, and will continue when started again (sysexits.h's
#: EX_TEMPFAIL: a scheduler may take it as "requeue").
EXIT_INTERRUPTED = 75


class Interrupted(Exception):
    """The run was asked to stop and has saved its state."""


class StopSignal:
    """Notices SIGTERM and SIGINT instead of dying of them. A second signal has its usual effect."""

    def __init__(self):
        self._seen = False
        self._previous: dict[int, object] = {}

    def __enter__(self) -> "StopSignal":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._previous[number] = signal.signal(number, self._notice)
        return self

    def __exit__(self, *_):
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _notice(self, number, _frame):
        self._seen = True
        signal.signal(number, self._previous[number])

    def agreed(self, count: int) -> bool:
        """Whether to stop, asked for the ``count``-th time. All processes of a run get the same answer.

        With several processes asking is a collective, so only every 16th question is really put.
        """
        if jax.process_count() == 1:
            return self._seen
        return count % 16 == 0 and bool(multihost_utils.process_allgather(np.array(self._seen)).any())
