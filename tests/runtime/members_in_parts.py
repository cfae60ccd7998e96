"""Run by test_layouts.py in a process that has two devices: several networks of a run, in parts and whole."""

import tempfile

import jax
import numpy as np
from conftest import ArraySource
from test_loop_of_members import growing, members_task, together

from effjax.runtime import fit
from effjax.runtime.layouts import WHOLE, Layout

SHARED = Layout((("(params|best/params|opt_state/.*)/.*kernel", -1),))


def fitted(layout):
    """Each member's best is kept twice and more, between blocks of steps."""
    source = ArraySource(40)
    job = members_task(source, growing, checkpoint_every=8, layout=layout)
    with tempfile.TemporaryDirectory() as folder:
        return fit(job, together(source), workdir=folder, identity={})


def main() -> None:
    assert len(jax.devices()) == 2
    whole, in_parts = fitted(WHOLE), fitted(SHARED)
    assert whole.best_step == in_parts.best_step
    for a, b in zip(jax.tree.leaves(in_parts.state), jax.tree.leaves(whole.state), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


main()
