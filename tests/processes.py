"""Running launchers as real processes."""

import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable

REPOSITORY = pathlib.Path(__file__).parents[1]
CACHE = REPOSITORY / ".cache" / "xla"

#: Makes XLA compile five times as fast, on CPU, what then runs more slowly.
HASTE = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"


def train(
    variant: str,
    workdir,
    data_dir,
    *arguments: str,
    devices: int = 1,
    launcher: str = "launch.train",
    configs: str = "tests/small_configs.py",
) -> subprocess.Popen:
    """Starts a launcher on one of the tests' configs, with so many virtual CPU devices."""
    command = [sys.executable, "-m", launcher, f"--config={configs}:{variant}"]
    command += [f"--workdir={workdir}", f"--config.data.dir={data_dir}", f"--compilation_cache={CACHE}", *arguments]
    flags = f"{HASTE} --xla_force_host_platform_device_count={devices}"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "PYTHONWARNINGS": "ignore"}
    return subprocess.Popen(
        command, cwd=REPOSITORY, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def finish(process: subprocess.Popen, timeout: float = 300) -> str:
    """Waits for success and returns what the process said on stderr."""
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
    assert process.returncode == 0, err[-4000:] + out[-500:]
    return err


def kill_when(process: subprocess.Popen, condition: Callable[[], bool]) -> bool:
    """Kills the process once the condition holds; returns False if it ended before."""
    while process.poll() is None:
        if condition():
            process.send_signal(signal.SIGKILL)
            process.communicate()
            return True
        time.sleep(0.002)
    process.communicate()
    return False
