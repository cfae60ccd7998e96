"""Processes that read for another: they end with it, and leave it to it to be asked to stop."""

import os
import re
import signal
import threading
import time

_SECONDS = 1.0  # between looks at whether the process that reads are for is still there
_KILLED = re.compile(r"Worker process was terminated unexpectedly with exit code (-?\d+)")


def begin(parent: int, _index: int, _count: int) -> None:
    """What a reading process does first.

    A terminal's Ctrl-C and a cluster's SIGTERM reach every process of a run. The one that trains goes on to a place
    where it can stop, and reads until then.

    Args:
      parent: the process that the batches are for. If it is killed, nobody else tells its readers.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_SECONDS)
    os._exit(1)


def exit_code(error: RuntimeError) -> int | None:
    """That of the reading process whose sudden end Grain reports; None for another error."""
    match = _KILLED.match(str(error))
    return int(match[1]) if match else None
