"""Files of an experiment, which the primary process alone writes."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from effjax import files
from effjax.runtime.hosts import is_primary

_log = logging.getLogger("effjax")


def write_json(path: Path, value: Any) -> None:
    """Writes a file whole or not at all; only the primary process does."""
    if not is_primary():
        return
    files.write_json(path, value)
    _log.info("wrote %s", path)


def write_measured(path: Path, value: Mapping[str, Any]) -> None:
    """Writes what was measured as :func:`write_json` does, with a checksum, for later processes read it again."""
    write_json(path, files.with_seal(value))


def write_primary(path: Path, write: Callable[[BinaryIO], None]) -> None:
    """Writes a file whole or not at all; only the primary process does."""
    if is_primary():
        files.write_whole(path, write)
