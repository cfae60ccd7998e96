"""Disks that fill up."""

import contextlib
import resource


@contextlib.contextmanager
def no_file_longer_than(size: int):
    """For this process, writing more bytes into a file fails as it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
