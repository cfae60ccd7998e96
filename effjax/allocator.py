"""How the C library hands out memory, for programs that compute on the CPU.

XLA asks for a program's temporaries anew at every dispatch. glibc maps such large blocks from the kernel and gives them
back at once, so that every step touches thousands of pages for the first time. Kept, they cost nothing.
"""

import ctypes
import importlib.metadata
import importlib.util
import os
import platform

# mallopt's parameters, of malloc.h
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
_NEVER = 2**31 - 1


def keep_freed_memory() -> bool:
    """Has glibc keep what is freed for the next request: nothing is mapped by itself, nothing trimmed, one arena.

    A process then holds as much memory as it has needed at most. It must be called before threads are started.

    Returns:
      Whether it was done: on another C library it is not, nor where JAX computes elsewhere than on the CPU.
    """
    if platform.libc_ver()[0] != "glibc" or not _computes_on_cpu():
        return False
    library = ctypes.CDLL(None)
    # Further arenas are heaps of 64 MiB, from which large blocks would be mapped all the same.
    wanted = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, _NEVER), (_ARENA_MAX, 1))
    done = [library.mallopt(parameter, value) for parameter, value in wanted]
    return all(done)


def _computes_on_cpu() -> bool:
    """Whether JAX will, as far as can be known before it is imported, which takes a second and starts threads."""
    named = os.environ.get("JAX_PLATFORMS", "")
    if named:
        return named.split(",")[0] == "cpu"
    plugins = importlib.metadata.entry_points(group="jax_plugins")
    return not plugins and not any(importlib.util.find_spec(name) for name in ("jax_plugins", "libtpu"))
