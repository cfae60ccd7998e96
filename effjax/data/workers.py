"""What a process that reads for another does first: it ends with it, and leaves it to it to be asked to stop."""

import os
import signal
import threading
import time

_SECONDS = 1.0  # between looks at whether the process that reads are for is still there


def begin(parent: int) -> None:
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
