"""Runs whose weights are removed on the way: one program a ramp, the same bits after every stop, on every backend."""

import dataclasses
import signal

import jax
import numpy as np
import pytest
from conftest import ArraySource
from small_runs import STEPS, make_task, start

from effjax.data.feeds import ResidentFeed
from effjax.errors import UserError
from effjax.pruning.paths import by_path
from effjax.recipes.build.planning import make_plan
from effjax.runtime import Interrupted, checkpoints, fit, jit_backend, pmap_backend, read_metrics
from effjax.steps import Together
from effjax.steps.pruning import Pruning
from effjax.steps.settings import Subject

#: A ramp over steps 6 to 18; what is trained changes in the middle of it.
RAMP = {
    "sparsity": ((0.0, 0.0), (0.25, "cubic 0.7"), (0.75, 0.7)),
    "trainable": ((0.0, "student/classifier/.*"), (0.5, ".*")),
}
WAYS = {
    "gradual": (RAMP, {}),
    "rigl": (RAMP | {"sparsity": ((0.0, 0.5),)}, {"renewal": "rigl"}),
    "set": (RAMP | {"sparsity": ((0.0, 0.5),)}, {"renewal": "set"}),
    "sr_ste": (RAMP, {"renewal": "sr_ste"}),
}
SIZE, KEPT = 32, {"gradual": 10, "sr_ste": 10, "rigl": 16, "set": 16}


class Stops(ResidentFeed):
    """A feed that asks the process to stop before it yields the block of one step."""

    def blocks(self, settings, seed, first, stop, length):
        for number, block in enumerate(super().blocks(settings, seed, first, stop, length)):
            if first + number * length == self.before:
                signal.raise_signal(signal.SIGTERM)
            yield block


def job_of(way="gradual", backend=None, stop=None, **options):
    plans, pruning = WAYS[way]
    feed = Stops({"train": ArraySource(40)}, 8)
    object.__setattr__(feed, "before", stop)
    job = make_task(ArraySource(40), feed=feed, backend=backend, ema_decay=0.5, **options)
    objective = dataclasses.replace(job.objective, pruning=Pruning(every=2, **pruning))
    plan, objective = make_plan("runs.a", plans, STEPS, 1, Subject(objective, (2, 3, 1)))
    return dataclasses.replace(job, plan=plan, objective=objective)


def train(job, workdir):
    state = start(job)
    return fit(job, state.replace(ema=state.params), workdir=workdir, identity={"seed": 0})


@pytest.fixture(scope="module", params=WAYS)
def whole(request, tmp_path_factory):
    workdir, job = tmp_path_factory.mktemp(request.param), job_of(request.param)
    return request.param, workdir, job, train(job, workdir)


def test_it_ends_as_sparse_as_its_plan_in_two_programs_of_two_stages(whole):
    way, workdir, job, done = whole
    kept = by_path(done.state.masks)
    assert sum(leaf.sum() for leaf in kept.values()) == KEPT[way]
    variables = checkpoints.read_variables(workdir / "checkpoints", STEPS)
    for tree in (done.state.params["student"], done.state.ema["student"], variables["params"]):
        for path, leaf in kept.items():
            np.testing.assert_array_equal(np.asarray(by_path(tree)[path])[~leaf], 0.0)
    assert len([key for key in job.programs.compiled if key[0] != "evaluation"]) == 2
    noted = [line["train/sparsity"] for line in read_metrics(workdir) if "train/sparsity" in line]
    assert noted[-1] == pytest.approx(1 - KEPT[way] / SIZE)
    assert job.watch_from == (0 if way in ("rigl", "set") else 18) < done.best_step


@pytest.mark.parametrize("stops", [(2,), (6,), (10,), (12,), (18,), (2, 6, 8, 10, 12, 16, 18, 22)], ids=str)
def test_stopped_at_the_beginning_in_a_ramp_and_at_a_switch_it_ends_with_the_same_bits(whole, tmp_path, stops):
    way, _, _, done = whole
    for stop in stops:
        with pytest.raises(Interrupted):
            train(job_of(way, stop=stop), tmp_path)
    again = train(job_of(way), tmp_path)
    jax.tree.map(np.testing.assert_array_equal, again.state, done.state)
    assert again.best_step == done.best_step


def test_pmap_keeps_the_same_weights(whole, tmp_path):
    way, _, _, done = whole
    mapped = train(job_of(way, backend=pmap_backend()), tmp_path)
    jax.tree.map(np.testing.assert_array_equal, mapped.state.masks, done.state.masks)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), mapped.state.params, done.state.params)


def test_what_is_evaluated_and_read_while_removed_weights_learn_is_pruned(tmp_path):
    job = job_of("sr_ste", stop=14)
    with pytest.raises(Interrupted):
        train(job, tmp_path)
    folder = tmp_path / "checkpoints"
    step = checkpoints.steps(folder)[-1]
    assert step < job.objective.pruning.settled
    read = by_path(checkpoints.read_variables(folder, step)["params"])
    assert sum((read[path] == 0).sum() for path in read if "kernel" in path) >= 0.4 * SIZE


def test_networks_of_one_program_have_masks_of_their_own(tmp_path):
    job = dataclasses.replace(job_of(), members=Together(2, "seeds"), evaluator=None)
    states = [start(job, seed) for seed in (0, 1)]
    states = [state.replace(ema=state.params) for state in states]
    feed = dataclasses.replace(job.feed, members=job.members)
    object.__setattr__(feed, "before", None)
    job = dataclasses.replace(job, feed=feed)
    state = jax.tree.map(lambda *leaves: np.stack(leaves), *states)
    done = fit(job, state.replace(best=jax.tree.map(np.asarray, state.eval_variables)), workdir=tmp_path, identity={})
    kept = {path: np.asarray(leaf) for path, leaf in by_path(done.state.masks).items()}
    assert [sum(int(leaf[member].sum()) for leaf in kept.values()) for member in (0, 1)] == [KEPT["gradual"]] * 2
    assert any((leaf[0] != leaf[1]).any() for leaf in kept.values())
    alone = train(job_of(), tmp_path / "alone")
    for path, leaf in by_path(alone.state.masks).items():
        np.testing.assert_array_equal(leaf, kept[path][0])


def test_of_trained_weights_rigl_keeps_the_large_ones():
    job = job_of("rigl")
    state = start(job)
    again = job.begin(state)
    jax.tree.map(np.testing.assert_array_equal, again.params, state.params)  # as sparse as they were
    assert job_of("gradual").begin(start(job_of("gradual"))).masks
    plain = make_task(ArraySource(40))
    assert plain.begin(start(plain)).masks == ()


def test_a_checkpoint_without_masks_still_opens(tmp_path):
    job = make_task(ArraySource(40), backend=jit_backend())
    done = fit(job, start(job), workdir=tmp_path, identity={})
    restored = checkpoints.read(
        tmp_path / "checkpoints", STEPS, done.state, checkpoints.read_meta(tmp_path / "checkpoints", STEPS)
    )
    assert restored.state.masks == ()


@pytest.mark.parametrize(
    ("pieces", "said"),
    [
        (((0, 0.5), (0.5, 0.2)), r"^runs\.a\.plans: sparsity falls from 0\.5 to 0\.2 at step 12: .* do not come back"),
        (((0, 1.0),), r'^runs\.a\.plans\.sparsity: 1\.0 must be a number from 0 to below 1, or a ramp .*"cubic 0\.9"'),
        (((0, "cubik 0.9"),), r"^runs\.a\.plans\.sparsity: 'cubik 0\.9' must be a number"),
    ],
)
def test_plans_that_cannot_be(pieces, said):
    with pytest.raises(UserError, match=said) as caught:
        make_plan("runs.a", {"sparsity": pieces}, STEPS, 1, Subject(job_of().objective, (2, 3, 1)))
    assert "\n" not in str(caught.value)
