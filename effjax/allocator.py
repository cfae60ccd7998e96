"""How the C library hands out memory, for programs that compute on the CPU.

XLA asks for a program's temporaries anew at every dispatch. glibc maps such large blocks from the kernel and gives them
back at once, so that every step touches thousands of pages for the first time. Kept, they cost nothing.

Only glibc's main arena, which is that of the main thread, can keep blocks of any size; further ones are heaps of
64 MiB, from which large blocks are mapped all the same. Were it the only one, all threads would wait for one another at
each small request, which costs small networks time. So a program runs in the thread that calls it.
"""

import ctypes
import importlib.metadata
import importlib.util
import os
import platform
import re

# mallopt's parameters, of malloc.h
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
_NEVER = 2**31 - 1


def keep_freed_memory() -> bool:
    """Has glibc keep what is freed for the next request: nothing is mapped by itself, nothing trimmed.

    A process holds as much memory as it has needed at most. It must be called before threads are started, and
    :func:`run_programs_here` once JAX is there. Several CPU devices, each of which has a thread, share one arena.

    Returns:
      Whether it was done: on another C library it is not, nor where JAX computes elsewhere than on the CPU.
    """
    if not _helps():
        return False
    library = ctypes.CDLL(None)
    wanted = {_MMAP_MAX: 0, _TRIM_THRESHOLD: _NEVER, **({_ARENA_MAX: 1} if _has_several_devices() else {})}
    done = [library.mallopt(parameter, value) for parameter, value in wanted.items()]
    return all(done)


def run_programs_here() -> bool:
    """Has JAX run programs in the thread that calls them, which on a CPU has nothing else to do meanwhile.

    It must be called before JAX has computed anything; programs for several devices are not concerned.

    Returns:
      Whether it was done: where :func:`keep_freed_memory` does nothing, this does not either.
    """
    if not _helps() or _has_several_devices():
        return False
    import jax

    jax.config.update("jax_cpu_enable_async_dispatch", False)
    return True


def _helps() -> bool:
    return platform.libc_ver()[0] == "glibc" and _computes_on_cpu()


def _has_several_devices() -> bool:
    """Whether JAX is asked to make several of the CPU."""
    flag = re.search(r"--xla_force_host_platform_device_count=(\d+)", os.environ.get("XLA_FLAGS", ""))
    return int(flag[1] if flag else os.environ.get("JAX_NUM_CPU_DEVICES") or 1) > 1


def _computes_on_cpu() -> bool:
    """Whether JAX will, as far as can be known before it is imported, which takes a second and starts threads."""
    named = os.environ.get("JAX_PLATFORMS", "")
    if named:
        return named.split(",")[0] == "cpu"
    plugins = importlib.metadata.entry_points(group="jax_plugins")
    return not plugins and not any(importlib.util.find_spec(name) for name in ("jax_plugins", "libtpu"))
