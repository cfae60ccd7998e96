"""What Orbax leaves behind where a read fails: others under way, whose answers then find its event loop closed."""

import functools
import logging
import sys
from typing import Any


@functools.cache
def ignore_stragglers() -> None:
    """From now on, says nothing of such answers: the read that failed has been reported."""
    before = sys.unraisablehook

    def hook(unraisable: Any) -> None:
        error = unraisable.exc_value
        if not (isinstance(error, RuntimeError) and str(error) == "Event loop is closed"):
            before(unraisable)

    sys.unraisablehook = hook
    logging.getLogger("asyncio").addFilter(lambda record: "exception was never retrieved" not in record.getMessage())
