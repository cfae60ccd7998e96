"""What is needed to do a run again: versions, hardware, command."""

import importlib.metadata
import os
import platform
import shlex

import jax

from effjax.command import this_command
from effjax.runtime.machine import processor, usable_cores

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy")


def provenance() -> dict[str, str]:
    """Returns the command, the versions and the hardware of this process."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES)
    return {
        "command": shlex.join(this_command()),
        "hardware": f"{len(jax.devices())} × {jax.devices()[0].device_kind}, {processor()}, {_cores()}",
        "versions": f"Python {platform.python_version()}, {versions}",
    }


def _cores() -> str:
    """How many this process may use, and of how many where that differs: times are only worth something with it."""
    has = os.cpu_count()
    used = usable_cores()
    return f"{has} cores" if used == has else f"{used} of {has} cores"
