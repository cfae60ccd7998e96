"""Which arrays of a state lie on devices in parts."""

import os
import subprocess
import sys

import jax
import numpy as np
import pytest
from processes import REPOSITORY

from effjax.errors import UserError
from effjax.runtime import jit_backend, pmap_backend
from effjax.runtime.layouts import WHOLE, Layout


def shaped(*shape):
    return jax.ShapeDtypeStruct(shape, np.float32)


STATE = {
    "params": {"conv": {"kernel": shaped(3, 3, 64, 128), "bias": shaped(128)}, "dense": {"kernel": shaped(300, 128)}},
    "opt_state": [{"conv": {"kernel": shaped(3, 3, 64, 128)}}],
}


def specs(rules, devices=4):
    return dict(Layout(rules)._axes(STATE, devices))


def test_the_first_rule_that_matches_a_whole_path_counts():
    found = specs(((".*bias", None), ("params/.*kernel", "longest"), ("params/conv/.*", 0), ("kernel", 0)))
    assert found["params/conv/kernel"] == 3
    assert found["params/conv/bias"] is None
    assert found["opt_state/0/conv/kernel"] is None  # nothing matches all of it


@pytest.mark.parametrize(("devices", "axis"), [(4, 0), (64, 1), (7, None)])
def test_the_longest_axis_is_one_that_the_devices_divide(devices, axis):
    assert specs((("params/dense/.*", "longest"),), devices)["params/dense/kernel"] == axis


def test_what_is_small_is_not_worth_a_message():
    assert specs((("params/.*", "longest"),))["params/conv/bias"] is None


@pytest.mark.parametrize(("axis", "found"), [(1, 1), (-1, 1), (-2, 0), (0, 0)])
def test_axes_count_from_both_ends(axis, found):
    assert specs((("params/dense/.*", axis),))["params/dense/kernel"] == found


@pytest.mark.parametrize(
    ("rules", "devices", "said"),
    [
        ((("params/dense/.*", 2),), 4, r"params/dense/kernel \[300, 128\] .* axis 2 over 4 devices; allowed"),
        ((("params/dense/.*", 0),), 7, "over 7 devices"),
        ((("params/dense/.*", -3),), 4, "axis -3"),
        ((("params/desne/.*", 0),), 4, "sharding='params/desne/.*' matches no parameter"),
    ],
)
def test_rules_that_do_not_fit_are_refused(rules, devices, said):
    with pytest.raises(UserError, match=said):
        Layout(rules).check(STATE, devices)


def test_one_device_holds_all():
    layout = Layout(((".*kernel", -1),))
    state = jax.tree.map(lambda x: np.ones(x.shape, x.dtype), STATE)
    backend = jit_backend(jax.devices()[:1])
    backend.check_layout(layout, state)
    placed = backend.place(state, layout)
    jax.tree.map(np.testing.assert_array_equal, backend.fetch(placed), state)
    assert backend.whole(placed) is placed


def test_pmap_has_no_layouts():
    pmap_backend().check_layout(WHOLE, STATE)
    with pytest.raises(UserError, match=r"backend='pmap' .* allowed: backend='jit'"):
        pmap_backend().check_layout(Layout(((".*", "longest"),)), STATE)


def run_on(devices: int, script: str) -> None:
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
    tests = REPOSITORY / "tests"
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
    command = [sys.executable, tests / "runtime" / script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def test_on_eight_devices():
    """One collective a step where each normalises alone; arrays in parts, and the same numbers, where rules say so."""
    run_on(8, "eight_devices.py")


def test_members_keep_their_best_in_parts():
    run_on(2, "members_in_parts.py")
