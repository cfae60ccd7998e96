"""Files of an experiment, which the primary process alone writes."""

import logging
from pathlib import Path
from typing import Any

from effjax import files
from effjax.runtime.hosts import is_primary

_log = logging.getLogger("effjax")


def write_json(path: Path, value: Any) -> None:
    """Writes a file whole or not at all; only the primary process does."""
    if not is_primary():
        return
    files.write_json(path, value)
    _log.info("wrote %s", path)
