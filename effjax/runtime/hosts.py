"""One process or many."""

import importlib.util
import os
import urllib.request
from collections.abc import Callable

import jax
import numpy as np
from jax.experimental import multihost_utils

from effjax.errors import UserError


def initialize(coordinator: str = "", num_processes: int = 0, process_id: int = -1) -> None:
    """Joins the other processes of a run, before anything else touches JAX.

    With flags, by the flags; without, automatically where a cluster says that there are several processes (SLURM with
    more than one task, a TPU pod slice with more than one host); otherwise the run has this process alone.

    Args:
      coordinator: ``host:port`` of process 0.
      num_processes: how many processes there are.
      process_id: which one this is, from 0.

    Raises:
      UserError: if only some of the three are given.
    """
    given = {"coordinator": bool(coordinator), "num_processes": num_processes > 0, "process_id": process_id >= 0}
    if all(given.values()):
        # Told all there is to know, JAX need not ask a cluster: in a Kubernetes pod it would complain.
        jax.distributed.initialize(coordinator, num_processes, process_id, cluster_detection_method="deactivate")
    elif any(given.values()):
        missing = ", ".join(f"--{name}" for name, present in given.items() if not present)
        raise UserError(f"a run of several processes needs all three flags; missing: {missing}")
    elif _cluster_has_several_processes():
        jax.distributed.initialize()


def _cluster_has_several_processes() -> bool:
    # Only srun sets the step's nodes: the batch script alone is one process, however many tasks the job has.
    slurm = int(os.environ.get("SLURM_NTASKS", "1")) > 1 and "SLURM_STEP_NODELIST" in os.environ
    return slurm or "," in _tpu_hosts()


def _tpu_hosts() -> str:
    """The hosts of the TPU slice that this one belongs to, with commas: from the environment, or, on a Cloud TPU VM
    that one has logged in to, from its metadata server, where JAX has them from too."""
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
        multihost_utils.sync_global_devices(name)


def told(answer: Callable[[], str], size: int = 4096) -> str:
    """What the primary process answers, told to all of them; the others do not ask.

    Args:
      answer: called in the primary process; it must not raise.
      size: in bytes; a longer answer is cut off.
    """
    if jax.process_count() == 1:
        return answer()
    data = answer().encode()[:size] if is_primary() else b""
    padded = np.frombuffer(data.ljust(size), np.uint8)
    return multihost_utils.broadcast_one_to_all(padded).tobytes().decode(errors="ignore").rstrip()
