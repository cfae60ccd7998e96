"""The best checkpoint outlives every restart: with the second manager, the third process, under another backend."""

import logging
import pathlib
import shutil
import signal

import jax
import numpy as np
import pytest
from conftest import ArraySource
from small_runs import STEPS, make_task, start
from test_checkpoints import IDENTITY, save, state_at

from effjax.data.feeds import ResidentFeed
from effjax.metrics import Mean
from effjax.runtime import Interrupted, checkpoints, fit, jit_backend, pmap_backend
from effjax.runtime.checkpoints import Checkpoints
from effjax.runtime.writers import METRICS_FILE

VALUES = {step: 0.9 if step == 3 else 0.5 for step in range(1, 13)}


@pytest.mark.parametrize("keep", [1, 2])
@pytest.mark.parametrize("stops", [(3,), (2, 4), (4, 8), (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)])
def test_managers_in_a_row_keep_the_best(tmp_path, keep, stops):
    for begin, end in zip((0, *stops), (*stops, 12), strict=True):
        save(tmp_path, *range(begin + 1, end + 1), keep=keep, values=VALUES)
    assert checkpoints.steps(tmp_path) == [3, *range(13 - keep, 13)]
    assert checkpoints.best_step(tmp_path) == 3


def test_the_best_of_what_is_gone_back_to_is_there(tmp_path):
    values = {1: 0.7, 2: 0.5, 3: 0.5, 4: 0.9}
    save(tmp_path, 1, 2, 3, values=values)
    save(tmp_path, 4, values=values)
    shutil.rmtree(tmp_path / "4" / "model")
    manager = Checkpoints(tmp_path, IDENTITY)
    assert manager.restore(lambda _: state_at(0)).step == 3
    manager.close()
    assert checkpoints.best_step(tmp_path) == 1


def test_what_a_kill_left_undropped_goes_with_the_next_start(tmp_path):
    """Killed between its last checkpoint and dropping the one before, a run has nothing more to save."""
    save(tmp_path, 1, 2, keep=2, values={1: 0.5, 2: 0.6})
    manager = Checkpoints(tmp_path, IDENTITY, keep=1)
    assert manager.restore(lambda _: state_at(0)).step == 2
    manager.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2"]


def test_of_several_networks_no_checkpoint_is_kept_besides_the_newest(tmp_path):
    for step in (1, 2, 3, 4):
        manager = Checkpoints(tmp_path, IDENTITY)
        manager.save(state_at(step), {"best": {"step": [1, 2], "value": [0.5, 0.6]}})
        manager.close()
    assert checkpoints.steps(tmp_path) == [3, 4]
    assert checkpoints.best_step(tmp_path) == 4


class Stops(ResidentFeed):
    """A feed that asks the process to stop before it yields the block of a step, once for each step."""

    def blocks(self, settings, seed, first, stop, length):
        for number, block in enumerate(super().blocks(settings, seed, first, stop, length)):
            if first + number * length in self.before:
                self.before.remove(first + number * length)
                signal.raise_signal(signal.SIGTERM)
            yield block


def fading(variables, batch):
    """In the place of accuracy what is best at the first evaluation: a kernel wanders off."""
    return {"accuracy": Mean(-abs(jax.tree.leaves(variables)[-1]).sum(), jax.numpy.ones(()))}


def task_of(source, stops=(), backend=None):
    """A job whose best on validation is at step 8, and that is asked to stop in the blocks before some steps."""
    feed = Stops({"train": source}, 8)
    object.__setattr__(feed, "before", set(stops))
    return make_task(source, feed=feed, evaluation=fading, backend=backend)


def processes(source, workdir, stops, backends=(jit_backend,)):
    """Runs a job to its end, stopped and started again; returns how it ended."""
    for number, stop in enumerate(stops):
        job = task_of(source, [stop], backends[number % len(backends)]())
        with pytest.raises(Interrupted):
            fit(job, start(job), workdir=workdir, identity={})
    job = task_of(source, (), backends[len(stops) % len(backends)]())
    return fit(job, start(job), workdir=workdir, identity={})


@pytest.fixture(scope="module")
def source():
    return ArraySource(40)


@pytest.fixture(scope="module")
def undisturbed(source, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("undisturbed")
    fitted = processes(source, workdir, ())
    assert (fitted.best_step, fitted.lost_best) == (8, None)
    return workdir


def best_of(workdir: pathlib.Path):
    folder = workdir / "checkpoints"
    assert checkpoints.best_step(folder) == 8
    return checkpoints.read_variables(folder, 8)


@pytest.mark.parametrize("stops", [(4,), (8,), (14,), (22,), (2, 10), (6, 12, 18, 20, 22)], ids=str)
def test_processes_in_a_row_keep_the_best(source, undisturbed, tmp_path, stops):
    fitted = processes(source, tmp_path, stops)
    assert (fitted.best_step, fitted.lost_best, fitted.last_step) == (8, None, STEPS)
    jax.tree.map(np.testing.assert_array_equal, best_of(tmp_path), best_of(undisturbed))
    assert (tmp_path / METRICS_FILE).read_bytes() == (undisturbed / METRICS_FILE).read_bytes()


def test_under_another_backend_the_best_is_kept_and_the_change_is_said(source, undisturbed, tmp_path, caplog):
    with caplog.at_level(logging.WARNING, logger="effjax"):
        fitted = processes(source, tmp_path, (10, 18), (jit_backend, pmap_backend))
    assert fitted.best_step == 8
    jax.tree.map(np.testing.assert_array_equal, best_of(tmp_path), best_of(undisturbed))
    said = [record.getMessage() for record in caplog.records if "elsewhere" in record.getMessage()]
    assert len(said) == 2
    assert "(backend: JitBackend there, PmapBackend here)" in said[0]
    assert "(backend: PmapBackend there, JitBackend here)" in said[1]


def test_where_the_best_is_gone_the_run_ends_and_the_last_counts(source, tmp_path, caplog):
    with pytest.raises(Interrupted):
        fit(job := task_of(source, [14]), start(job), workdir=tmp_path, identity={})
    folder = tmp_path / "checkpoints"
    shutil.rmtree(folder / "8")
    for resumed, expected in ((True, 2), (False, 1)):  # the second time the run is found done
        caplog.clear()
        fitted = processes(source, tmp_path, ())
        assert (fitted.best_step, fitted.lost_best, fitted.last_step) == (STEPS, 8, STEPS)
        said = [record.getMessage() for record in caplog.records if "is gone" in record.getMessage()]
        assert len(said) == expected, resumed
        assert f"{folder / '8'}, is gone: the last, {STEPS}, counts as it" in said[-1]
    caplog.clear()
    assert checkpoints.best_step(folder) == STEPS
    assert "is gone: the last" in caplog.text


def test_a_better_one_takes_the_place_of_a_best_that_is_gone(source, tmp_path):
    save(tmp_path / "checkpoints", 3, 4, values={3: 0.9, 4: 0.5})
    shutil.rmtree(tmp_path / "checkpoints" / "3")
    save(tmp_path / "checkpoints", 5, 6, 7, values={3: 0.9, 4: 0.5, 5: 0.95, 6: 0.1, 7: 0.1})
    assert checkpoints.steps(tmp_path / "checkpoints") == [5, 6, 7]
    assert checkpoints.best_step(tmp_path / "checkpoints") == 5
