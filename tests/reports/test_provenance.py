"""What a report says of the machine and the versions that its numbers come from."""

import importlib.metadata
import os
import platform

import jax
import pytest

from effjax.reports.provenance import provenance
from effjax.runtime.machine import processor


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores are not to be chosen here")
def test_cores_that_may_not_be_used_are_told_from_those_that_are_there():
    free, there = os.sched_getaffinity(0), os.cpu_count()
    before = f"{len(jax.devices())} × {jax.devices()[0].device_kind}, {processor()}, "
    try:
        for used in ({min(free)}, free):
            os.sched_setaffinity(0, used)
            cores = f"{there} cores" if len(used) == there else f"{len(used)} of {there} cores"
            assert provenance()["hardware"] == before + cores
    finally:
        os.sched_setaffinity(0, free)


def test_versions_are_those_of_what_computes():
    said = provenance()["versions"].split(", ")
    assert said[0] == f"Python {platform.python_version()}"
    assert {"jax", "jaxlib", "flax", "optax", "numpy"} <= {one.split()[0] for one in said}
    assert all(importlib.metadata.version(name) == version for name, version in map(str.split, said[1:]))
