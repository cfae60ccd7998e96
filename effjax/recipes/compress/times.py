"""How long the files of an experiment take; all are timed in turn, so that they can be compared."""

import dataclasses
import importlib.metadata
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from effjax.export import latencies
from effjax.recipes.build.writing import write_measured
from effjax.recipes.compress.files import ModelFile, known_as
from effjax.runtime.machine import processor

_log = logging.getLogger("effjax")

LATENCY_FILE = "latency.json"


def times(files: Mapping[str, ModelFile], folder: Path) -> dict[str, dict[str, Any]]:
    """Times one file of each export, or reads what an earlier process has found of the same files on such a machine.

    Args:
      files: by export.
      folder: where it is noted.

    Returns:
      By export and batch size, ``least`` and ``median`` in milliseconds.
    """
    identity = {
        "files": {name: file.record["model_sha256"] for name, file in files.items()},
        "onnxruntime": importlib.metadata.version("onnxruntime"),
        "processor": processor(),
    }
    known = known_as(folder / LATENCY_FILE, identity)
    if known is not None:
        return known["milliseconds"]
    _log.info("timing %d files in turn", len(files))
    found = latencies({name: file.path for name, file in files.items()})
    milliseconds = {
        name: {str(size): dataclasses.asdict(latency) for size, latency in by_size.items()}
        for name, by_size in found.items()
    }
    write_measured(folder / LATENCY_FILE, {"identity": identity, "milliseconds": milliseconds})
    return milliseconds
