"""One device, several, several processes; pmap and jit: the same losses and parameters."""

import json
import signal
import socket
import time

import numpy as np
import pytest
from processes import finish, train

from effjax.runtime.checkpoints import read_training, read_variables

RUNS = ("teacher", "student", "distilled")
STEPS = 8


def launch(workdir, data_dir, backend: str, processes: int, devices: int, variant: str = "devices", *given: str):
    arguments = [f"--config.backend={backend}", *given]
    if processes == 1:
        return [train(variant, workdir, data_dir, *arguments, devices=devices)]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        coordinator = f"127.0.0.1:{probe.getsockname()[1]}"
    arguments += [f"--coordinator={coordinator}", f"--num_processes={processes}"]
    return [
        train(variant, workdir, data_dir, *arguments, f"--process_id={i}", devices=devices) for i in range(processes)
    ]


def variables(workdir, run: str) -> dict[str, np.ndarray]:
    import jax

    tree = read_variables(workdir / run / "seed_0" / "checkpoints", STEPS)
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def lines(workdir, run: str) -> list[dict[str, float]]:
    path = workdir / run / "seed_0" / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def assert_same(workdir, reference, runs=RUNS) -> None:
    for run in runs:
        ours, theirs = variables(workdir, run), variables(reference, run)
        assert ours.keys() == theirs.keys()
        for name in theirs:
            # Sums over devices are rounded otherwise, and eight steps make it more: by how much depends on the CPU.
            np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-4, atol=1e-4, err_msg=f"{run} {name}")
        for mine, other in zip(lines(workdir, run), lines(reference, run), strict=True):
            assert mine.keys() == other.keys()
            for key in mine:
                rtol = 1e-2 if key.endswith("grad_norm") else 1e-4  # BatchNorm of 16 images magnifies rounding errors
                np.testing.assert_allclose(mine[key], other[key], rtol=rtol, atol=1e-5, err_msg=f"{run} {key}")


@pytest.fixture(scope="module")
def one_device(tmp_path_factory, data_dir):
    workdir = tmp_path_factory.mktemp("one_device")
    (process,) = launch(workdir, data_dir, "jit", 1, 1)
    finish(process)
    return workdir


#: What devices hold in parts: of parameters and of what the optimiser keeps.
_RULES = """((".*classifier.*", None), ("(params|opt_state)/.*kernel", -1))"""
IN_PARTS = ("devices", *(f"--config.runs.{run}.sharding={_RULES}" for run in RUNS))


# Every layout once before the kill and once after it: there it trains the last two runs from their start.
@pytest.mark.parametrize(
    ("first", "then"),
    [
        (("jit", 1, 1), ("pmap", 1, 4)),
        (("pmap", 1, 4), ("jit", 2, 2)),
        (("jit", 2, 2, *IN_PARTS), ("pmap", 2, 2)),
        (("pmap", 2, 2), ("jit", 1, 4, *IN_PARTS)),
        (("jit", 1, 4, *IN_PARTS), ("jit", 1, 1)),
    ],
)
def test_a_run_goes_on_elsewhere_and_ends_the_same(one_device, tmp_path, data_dir, first, then):
    processes = launch(tmp_path, data_dir, *first)
    halfway = tmp_path / "teacher" / "seed_0" / "checkpoints" / str(STEPS // 2)
    while not halfway.exists():
        assert all(process.poll() is None for process in processes)
        time.sleep(0.002)
    for process in processes:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    for process in launch(tmp_path, data_dir, *then):
        finish(process)
    assert_same(tmp_path, one_device)


# So few examples that most have been seen when a step chooses among them.
CHOOSING = ("choosing", "--config.data.train=train[:48]", "--config.runs.chosen.optimizer.name=sgd")
CHOOSING += (f"--config.runs.chosen.steps={STEPS}", "--config.runs.chosen.evaluations=2")


@pytest.fixture(scope="module")
def chosen_on_one_device(tmp_path_factory, data_dir):
    workdir = tmp_path_factory.mktemp("chosen")
    finish(*launch(workdir, data_dir, "jit", 1, 1, *CHOOSING))
    return workdir


@pytest.mark.parametrize("layout", [("pmap", 1, 4), ("jit", 1, 4), ("pmap", 2, 2)])
def test_steps_choose_the_same_examples_however_candidates_lie_on_devices(
    chosen_on_one_device, tmp_path, data_dir, layout
):
    for process in launch(tmp_path, data_dir, *layout, *CHOOSING):
        finish(process)
    assert_same(tmp_path, chosen_on_one_device, ("chosen",))
    ours, theirs = (
        read_training(folder / "chosen" / "seed_0" / "checkpoints", STEPS)["memory"]["selection"]["loss"]
        for folder in (tmp_path, chosen_on_one_device)
    )
    assert np.isfinite(theirs).sum() > 30
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_hosts_see_the_same_parts_of_photos_and_the_same_copies(tmp_path, data_dir):
    for name, layout in {"one": ("jit", 1, 1), "two": ("pmap", 2, 2)}.items():
        for process in launch(tmp_path / name, data_dir, *layout, variant="photos"):
            finish(process)
    assert_same(tmp_path / "two", tmp_path / "one", runs=("student",))
