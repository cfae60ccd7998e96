"""Freed memory is kept: large blocks are asked for again and again without the kernel."""

import os
import platform
import subprocess
import sys

import pytest

from effjax.allocator import run_programs_here

FAULTS = """
import ctypes, resource
from effjax import allocator
print(allocator.keep_freed_memory())
c = ctypes.CDLL(None)
c.malloc.restype, c.malloc.argtypes, c.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
def touched(size=1 << 25):
    block = c.malloc(size)
    ctypes.memset(block, 1, size)
    c.free(block)
touched()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    touched()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_large_blocks_are_mapped_once_on_the_cpu_and_left_alone_elsewhere():
    faults = {}
    for named in ("cpu", "cuda,cpu"):
        environment = {**os.environ, "JAX_PLATFORMS": named}
        done = subprocess.run(
            [sys.executable, "-c", FAULTS], env=environment, capture_output=True, text=True, check=True
        )
        kept, faults[named] = done.stdout.split()
        assert kept == str(named == "cpu")
    assert int(faults["cpu"]) < 200
    assert int(faults["cuda,cpu"]) > 10 * 64  # of two megabytes each, at the least


PROGRAM = """
import resource
from effjax import allocator
allocator.keep_freed_memory()
import jax, jax.numpy as jnp
print(allocator.run_programs_here())
large = jax.jit(lambda x: jax.lax.optimization_barrier(jnp.sin(x))[::-1].sum())
x = jnp.ones((1 << 25,))
def run():
    jax.block_until_ready(large(x))
run()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    run()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_so_are_the_temporaries_of_programs():
    """Of 128 MiB, which no arena but the main one can keep."""
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True)
    here, faults = done.stdout.split()
    assert here == "True"
    assert int(faults) < 12 * 32_768  # of 20 · 32,768: the heap grows a few times before it finds the block again


@pytest.mark.parametrize(
    ("platforms", "flags", "devices"),
    [("cuda,cpu", "", ""), ("cpu", "--xla_force_host_platform_device_count=2", ""), ("cpu", "", "4")],
)
def test_elsewhere_and_on_several_devices_programs_run_as_jax_runs_them(monkeypatch, platforms, flags, devices):
    for name, value in (("JAX_PLATFORMS", platforms), ("XLA_FLAGS", flags), ("JAX_NUM_CPU_DEVICES", devices)):
        monkeypatch.setenv(name, value)
    assert not run_programs_here()
