"""A setting that a plan may change, made here: the student's parameters are rounded from some point of the run on."""

import dataclasses
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import ArraySource
from small_runs import STEPS, make_task, start

from effjax.errors import UserError
from effjax.recipes.build.planning import make_plan
from effjax.runtime import Interrupted, checkpoints, fit, jit_backend, pmap_backend, read_metrics
from effjax.steps import SETTINGS, Setting
from effjax.steps.settings import Subject

PLANS = {"grid": [[0.0, 0.0], [0.5, 0.25]]}


def rounded(params, grid):
    """Straight through: rounded on the way forward, as they are on the way back."""
    return jax.tree.map(lambda x: x + jax.lax.stop_gradient(jnp.round(x / grid) * grid - x) if grid else x, params)


def apply(objective, grid):
    return dataclasses.replace(objective, through=(*objective.through, lambda params: rounded(params, grid)))


def enter(state, entry):
    """Shows that it was here: the moving average, which nobody else keeps in these runs, is where it started."""
    assert (entry.before, entry.value) == (0.0, 0.25)
    return state.replace(ema=jax.tree.map(jnp.copy, state.params))


GRID = Setting(
    "program",
    apply=apply,
    enter=enter,
    check=lambda grid, _: None if 0 <= grid < 1 else f"{grid} must be from 0 to below 1",
    keeps_best=False,
    evaluated=True,
)


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setitem(SETTINGS, "grid", GRID)


def job_of(backend=None, **options):
    return make_task(ArraySource(40), plans=PLANS, backend=backend, ema_decay=0.5, **options)


def train(job, workdir):
    state = start(job)
    state = state.replace(ema=state.params)
    return fit(job, state, workdir=workdir, identity={"seed": 0})


@pytest.mark.parametrize("backend", [jit_backend, pmap_backend])
def test_it_acts_in_training_and_evaluation_where_its_stage_begins(tmp_path, backend):
    job = job_of(backend())
    done = train(job, tmp_path)
    assert job.watch_from == STEPS // 2 < done.best_step  # what was measured before is of another network
    kernels = [leaf for leaf in jax.tree.leaves(done.state.params) if leaf.ndim == 2]
    assert not all(np.allclose(kernel, np.round(kernel / 0.25) * 0.25, atol=1e-4) for kernel in kernels)
    last = [line for line in read_metrics(tmp_path) if "validation/loss" in line][-1]["validation/loss"]
    variables = job.backend.replicate(done.state.eval_variables)
    on_grid = {**variables, "params": rounded(variables["params"], 0.25)}
    assert last == pytest.approx(job.evaluator(on_grid, (("grid", 0.0),))["loss"], abs=1e-6)
    assert last != pytest.approx(job.evaluator(variables, (("grid", 0.0),))["loss"], abs=1e-6)


def test_stopped_before_and_after_it_changes_it_enters_once_and_ends_with_the_same_bits(tmp_path):
    whole, job = train(job_of(), tmp_path / "whole"), job_of()
    for at in range(2):  # the first evaluation is before the change, the second after it
        with pytest.raises(Interrupted):
            train(dataclasses.replace(job, evaluator=_Stopping(job.evaluator)), tmp_path / "stopped")
        assert (checkpoints.steps(tmp_path / "stopped" / "checkpoints")[-1] > STEPS // 2) == bool(at)
    again = train(job, tmp_path / "stopped")
    jax.tree.map(np.testing.assert_array_equal, again.state, whole.state)


class _Stopping:
    """An evaluator that asks the process to stop when it is first asked."""

    def __init__(self, evaluator):
        self._evaluator = evaluator

    def prepare(self, *args):
        self._evaluator.prepare(*args)

    def __call__(self, *args):
        signal.raise_signal(signal.SIGTERM)
        return self._evaluator(*args)


def test_values_are_checked_and_programs_told_apart():
    subject = Subject(job_of().objective, (2, 3, 1))
    with pytest.raises(UserError, match=r"^runs\.a\.plans\.grid: 3 must be from 0 to below 1$"):
        make_plan("runs.a", {"grid": [[0, 3]]}, 10, 1, subject)
    with pytest.raises(UserError, match=r"runs\.a\.plans\.grit is not a setting; .*did you mean 'grid'"):
        make_plan("runs.a", {"grit": [[0, 3]]}, 10, 1, subject)
    plan, _ = make_plan("runs.a", PLANS | {"data": [[0, "train"], [0.25, "other"]]}, 8, 1, subject)
    job = dataclasses.replace(job_of(), plan=plan)
    assert [stage.start for stage in plan] == [0, 2, 4]
    assert [job.program_key(stage) for stage in plan] == [(("grid", 0.0),)] * 2 + [(("grid", 0.25),)]
