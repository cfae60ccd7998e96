"""One process or many."""

import importlib.util
import itertools
import math
import os
import urllib.request
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils

from effjax.errors import UserError

# How long one process may wait for another that lives: for a report, for a large program to be compiled. One that is
# gone is noticed by other means, within seconds.
_PATIENCE_MS = 24 * 3600 * 1000
_meetings = itertools.count()


def check_flags(coordinator: str, num_processes: int, process_id: int) -> bool:
    """Returns whether the flags name several processes; arguments as for :func:`initialize`.

    Raises:
      UserError: if only some are given, or one cannot be.
    """
    given = {"coordinator": bool(coordinator), "num_processes": num_processes != 0, "process_id": process_id != -1}
    if not any(given.values()):
        return False
    if missing := ", ".join(f"--{name}" for name, present in given.items() if not present):
        raise UserError(f"a run of several processes needs all three flags; missing: {missing}")
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65535:
        raise UserError(f"--coordinator={coordinator} must be host:port of process 0, with a port from 1 to 65534")
    if num_processes < 1:
        raise UserError(f"--num_processes={num_processes} must be 1 or more")
    if not 0 <= process_id < num_processes:
        raise UserError(f"--process_id={process_id} must be from 0 to {num_processes - 1}, below --num_processes")
    return True


def initialize(
    coordinator: str = "",
    num_processes: int = 0,
    process_id: int = -1,
    start_seconds: float = 60.0,
    silent_seconds: float = 30.0,
) -> None:
    """Joins the other processes of a run, before anything else touches JAX.

    With flags, by the flags; without, automatically where a cluster says that there are several processes (SLURM with
    more than one task, a TPU pod slice with more than one host); otherwise the run has this process alone.

    Args:
      coordinator: ``host:port`` of process 0.
      num_processes: how many processes there are.
      process_id: which one this is, from 0.
      start_seconds: how long to wait for the others.
      silent_seconds: after how long a process that does not answer counts as gone.

    Raises:
      UserError: if only some of the three are given, or one cannot be.
    """
    by_flags = check_flags(coordinator, num_processes, process_id)
    if not by_flags and not _cluster_has_several_processes():
        return
    # SIGTERM is ours: JAX's own service for it would only note it.
    jax.config.update("jax_enable_preemption_service", False)
    seconds: dict[str, Any] = {
        "initialization_timeout": math.ceil(start_seconds),
        "heartbeat_timeout_seconds": math.ceil(silent_seconds),
    }
    if by_flags:
        # Told all there is to know, JAX need not ask a cluster: in a Kubernetes pod it would complain. Its own timeouts
        # are the second line: whoever watches the processes is to speak first.
        seconds = {name: 2 * value for name, value in seconds.items()}
        jax.distributed.initialize(
            coordinator, num_processes, process_id, cluster_detection_method="deactivate", **seconds
        )
    else:
        jax.distributed.initialize(**seconds)


def _cluster_has_several_processes() -> bool:
    # Only srun sets the step's nodes: the batch script alone is one process, however many tasks the job has.
    slurm = int(os.environ.get("SLURM_NTASKS", "1")) > 1 and "SLURM_STEP_NODELIST" in os.environ
    return slurm or "," in _tpu_hosts()


def _tpu_hosts() -> str:
    """The hosts of the TPU slice that this one belongs to, with commas.

    From the environment, or, on a Cloud TPU VM that one has logged in to, from its metadata server, where JAX has them
    from too.
    """
    named = os.environ.get("TPU_PROCESS_ADDRESSES") or os.environ.get("TPU_WORKER_HOSTNAMES")
    if named or "TPU_SKIP_MDS_QUERY" in os.environ or importlib.util.find_spec("libtpu") is None:
        return named or ""
    server = os.environ.get("GCE_METADATA_IP", "metadata.google.internal")
    url = f"http://{server}/computeMetadata/v1/instance/attributes/worker-network-endpoints"
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, headers={"Metadata-Flavor": "Google"}), timeout=5
        ) as page:
            return page.read().decode()
    except OSError:  # no such server, or no TPU: JAX sets TPU_SKIP_MDS_QUERY where it finds no chips
        return ""


def is_primary() -> bool:
    """Whether this process is the one that writes files and talks."""
    return jax.process_index() == 0


def barrier(name: str) -> None:
    """Waits until all processes are here: what the primary one has written before is there for all of them."""
    if jax.process_count() > 1:
        # Not by a collective: on CPU a process that waits in one for more than 30 seconds dies.
        ocp.multihost.get_barrier_sync_fn()(key=f"{name} {next(_meetings)}", timeout_ms=_PATIENCE_MS)


def told(answer: Callable[[], str], size: int = 4096) -> str:
    """What the primary process answers, told to all of them; the others do not ask.

    Args:
      answer: called in the primary process; it must not raise.
      size: in bytes; a longer answer is cut off.
    """
    if jax.process_count() == 1:
        return answer()
    data = answer().encode()[:size] if is_primary() else b""
    barrier("the answer is there")  # it may take its time
    padded = np.frombuffer(data.ljust(size), np.uint8)
    return multihost_utils.broadcast_one_to_all(padded).tobytes().decode(errors="ignore").rstrip()
