"""Several networks in one run of the loop: each its own seed, its own best, and an early end for all."""

import shutil

import jax
import numpy as np
import pytest
from conftest import ArraySource
from small_runs import BATCH, STEPS, make_task, start

from effjax.data.feeds import ResidentFeed
from effjax.metrics import Mean
from effjax.runtime import Evaluator, checkpoints, fit
from effjax.steps import Together, over_members, stack_members

SEEDS = (3, 5)


def members_task(source, evaluation=None, **options):
    feed = ResidentFeed({"train": source}, BATCH, members=Together(len(SEEDS), "seeds"))
    job = make_task(source, feed=feed, members=Together(len(SEEDS), "seeds"), validate=False, **options)
    if evaluation is None:
        return job
    step = over_members(evaluation, (0, None), unroll=False)
    batch = {"mask": np.ones(BATCH, bool)}
    evaluator = Evaluator(
        lambda size: step, job.backend, lambda: [batch], keep=True, members=Together(len(SEEDS), "seeds")
    )
    object.__setattr__(job, "evaluator", evaluator)
    return job


def together(source):
    one = make_task(source, validate=False)
    state = stack_members([start(one, seed) for seed in SEEDS])
    return jax.tree.map(np.asarray, state.replace(best=state.eval_variables))


def growing(variables, batch):
    """A stand-in for accuracy that grows: a bias wanders off, another way for every seed."""
    return {"accuracy": Mean(-abs(jax.tree.leaves(variables)[0]).sum(), jax.numpy.ones(()))}


def fading(variables, batch):
    """Best at the start, worse and worse."""
    return {"accuracy": Mean(abs(jax.tree.leaves(variables)[0]).sum(), jax.numpy.ones(()))}


@pytest.fixture(scope="module")
def source():
    return ArraySource(40)


def test_each_member_is_the_run_of_its_seed(source, tmp_path):
    fitted = fit(members_task(source), together(source), workdir=tmp_path / "both", identity={})
    one = make_task(source, validate=False)
    for member, seed in enumerate(SEEDS):
        alone = fit(one, start(one, seed), workdir=tmp_path / str(seed), identity={})
        own = jax.tree.map(lambda x, m=member: x[m], fitted.state.params)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), own, alone.state.params)
    read = checkpoints.read_variables(tmp_path / "both" / "checkpoints", STEPS, member=1)
    jax.tree.map(np.testing.assert_array_equal, read["params"], own["student"])


def test_the_best_of_each_is_kept_and_comes_through_a_resume(source, tmp_path):
    job = members_task(source, growing, checkpoint_every=8)
    whole = fit(job, together(source), workdir=tmp_path / "whole", identity={}, keep=9)
    assert whole.best_step == (STEPS, STEPS)  # it grows
    jax.tree.map(np.testing.assert_array_equal, whole.state.best, whole.state.eval_variables)
    shutil.copytree(tmp_path / "whole", tmp_path / "resumed")
    for step in (16, 24):
        shutil.rmtree(tmp_path / "resumed" / "checkpoints" / str(step))
    resumed = fit(job, together(source), workdir=tmp_path / "resumed", identity={}, keep=9)
    jax.tree.map(np.testing.assert_array_equal, resumed.state, whole.state)
    assert (tmp_path / "resumed" / "metrics.jsonl").read_bytes() == (tmp_path / "whole" / "metrics.jsonl").read_bytes()


def test_a_run_ends_when_nothing_gets_better(source, tmp_path):
    job = members_task(source, fading, patience=1)
    fitted = fit(job, together(source), workdir=tmp_path, identity={})
    assert fitted.best_step == (8, 8)
    assert fitted.last_step == int(fitted.state.step[0]) == 16
    best = checkpoints.read_variables(tmp_path / "checkpoints", 16, member=0, best=True)
    last = checkpoints.read_variables(tmp_path / "checkpoints", 16, member=0)
    assert not np.array_equal(jax.tree.leaves(best)[0], jax.tree.leaves(last)[0])
    again = fit(job, together(source), workdir=tmp_path, identity={})  # found done
    assert (again.last_step, again.best_step) == (16, (8, 8))
    jax.tree.map(np.testing.assert_array_equal, again.state, fitted.state)
