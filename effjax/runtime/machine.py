"""On what a run's numbers depend besides its config: on another machine the last bits differ."""

import os
import platform
from collections.abc import Mapping

import jaxlib.version

from effjax.runtime.backends import Backend


def processor() -> str:
    """The CPU's model."""
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def usable_cores() -> int:
    """How many cores this process may use; XLA starts as many threads on CPU."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine(backend: Backend) -> dict[str, str | int]:
    """What a checkpoint notes of where it was made."""
    kind = backend.devices[0].device_kind
    facts: dict[str, str | int] = {"devices": f"{len(backend.devices)} × {kind}", "jaxlib": jaxlib.version.__version__}
    if backend.platform == "cpu":
        facts |= {"cpu": processor(), "cores": usable_cores()}
    return {**facts, "backend": type(backend).__name__}


def differences(before: Mapping[str, str | int] | None, now: Mapping[str, str | int]) -> str:
    """What is another than it was, as a clause; empty where nothing is, or nothing is known."""
    if not before:
        return ""
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    return "; ".join(f"{name}: {before.get(name, 'none')} there, {now.get(name, 'none')} here" for name in names)
