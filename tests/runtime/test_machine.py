"""Where a run's bits come from is noted, and said where it changes."""

import jax
import jaxlib

from effjax.runtime import jit_backend, pmap_backend
from effjax.runtime.machine import differences, machine, processor, usable_cores


def test_what_is_noted():
    assert machine(jit_backend(jax.devices("cpu")[:1])) == {
        "devices": "1 × cpu",
        "jaxlib": jaxlib.__version__,
        "cpu": processor(),
        "cores": usable_cores(),
        "backend": "JitBackend",
    }
    assert processor()
    assert usable_cores() >= 1


def test_what_differs_is_a_clause():
    here = machine(jit_backend(jax.devices("cpu")[:1]))
    assert differences(here, here) == ""
    assert differences(None, here) == ""  # an earlier version's checkpoint
    assert differences({**here, "cores": 99}, here) == f"cores: 99 there, {usable_cores()} here"
    there = {"devices": "8 × NVIDIA H100", "jaxlib": jaxlib.__version__, "backend": "JitBackend"}
    said = differences(there, here)
    assert said.startswith("devices: 8 × NVIDIA H100 there, 1 × cpu here; ")
    assert f"cpu: none there, {processor()} here" in said
    assert (
        differences(machine(pmap_backend(jax.devices("cpu")[:1])), here)
        == "backend: PmapBackend there, JitBackend here"
    )
