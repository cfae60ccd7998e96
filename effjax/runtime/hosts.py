"""One process or many."""

import os

import jax

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
        jax.distributed.initialize(coordinator, num_processes, process_id)
    elif any(given.values()):
        missing = ", ".join(f"--{name}" for name, present in given.items() if not present)
        raise UserError(f"a run of several processes needs all three flags; missing: {missing}")
    elif _cluster_has_several_processes():
        jax.distributed.initialize()


def _cluster_has_several_processes() -> bool:
    slurm = int(os.environ.get("SLURM_NTASKS", "1")) > 1 and "SLURM_PROCID" in os.environ
    tpu = "," in os.environ.get("TPU_WORKER_HOSTNAMES", "")
    return slurm or tpu


def is_primary() -> bool:
    """Whether this process is the one that writes files and talks."""
    return jax.process_index() == 0
