"""What Orbax says of failures besides: of reads and writes under way, and of saving in threads of its own."""

import functools
import logging
import sys
import threading
from typing import Any


@functools.cache
def ignore_stragglers() -> None:
    """From now on, says nothing of answers that come when the loop is closed: what failed has been reported."""
    before = sys.unraisablehook

    def hook(unraisable: Any) -> None:
        error = unraisable.exc_value
        if not (isinstance(error, RuntimeError) and str(error) == "Event loop is closed"):
            before(unraisable)

    sys.unraisablehook = hook
    logging.getLogger("asyncio").addFilter(lambda record: "exception was never retrieved" not in record.getMessage())


@functools.cache
def ignore_save_threads() -> None:
    """From now on, says nothing where a thread that saves ends with an error: the next save or wait raises it."""
    before = threading.excepthook

    def hook(failed: Any) -> None:
        if failed.thread is None or not failed.thread.name.startswith(("async_save", "save_finalize")):
            before(failed)

    threading.excepthook = hook
    logging.getLogger("absl").addFilter(lambda record: not (record.exc_info and "orbax" in record.pathname))
