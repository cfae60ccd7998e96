"""Running launchers as real processes."""

import functools
import os
import pathlib
import signal
import subprocess
import time
from collections.abc import Callable

import jax
from nursery import Launched, Nursery

REPOSITORY = pathlib.Path(__file__).parents[1]
CACHE = REPOSITORY / ".cache" / "xla"

#: Makes XLA compile five times as fast, on CPU, what then runs more slowly.
HASTE = "--xla_backend_optimization_level=0"
if jax.__version_info__ < (0, 11):  # later versions do not know it
    HASTE += " --xla_cpu_use_fusion_emitters=false"


@functools.cache
def nursery() -> Nursery:
    """The one that starts this process's others; it takes some seconds to come."""
    return Nursery()


def start(module: str, *arguments: str, cwd: pathlib.Path | str = REPOSITORY, **environment: str) -> Launched:
    """Starts ``python -m module arguments``, quickly: what it imports has been imported already."""
    given = {**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONWARNINGS": "ignore", **environment}
    return nursery().start([module, *map(str, arguments)], given, str(cwd))


def train(
    variant: str,
    workdir,
    data_dir,
    *arguments: str,
    devices: int = 1,
    launcher: str = "launch.train",
    configs: str = "tests/small_configs.py",
) -> Launched:
    """Starts a launcher on one of the tests' configs, with so many virtual CPU devices."""
    flags = f"{HASTE} --xla_force_host_platform_device_count={devices}"
    given = (f"--workdir={workdir}", f"--config.data.dir={data_dir}", f"--compilation_cache={CACHE}")
    return start(launcher, f"--config={configs}:{variant}", *given, *arguments, XLA_FLAGS=flags)


def finish(process: Launched, timeout: float = 300) -> str:
    """Waits for success and returns what the process said on stderr."""
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
    assert process.returncode == 0, err[-4000:] + out[-500:]
    return err


def kill_when(process: Launched, condition: Callable[[], bool]) -> bool:
    """Kills the process once the condition holds; returns False if it ended before."""
    while process.poll() is None:
        if condition():
            process.send_signal(signal.SIGKILL)
            process.communicate()
            return True
        time.sleep(0.002)
    process.communicate()
    return False
