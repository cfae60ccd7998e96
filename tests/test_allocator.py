"""Freed memory is kept: large blocks are asked for again and again without the kernel."""

import os
import platform
import subprocess
import sys

import pytest

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
