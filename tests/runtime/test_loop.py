"""The loop: what it compiles, what it lets go, how it stops, and how it goes on."""

import shutil
import signal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from compilations import count_compilations
from conftest import ArraySource
from small_runs import CLASSES, STEPS, make_task, start

from effjax.data.feeds import ResidentFeed
from effjax.errors import Diverged, UserError
from effjax.metrics import CalibrationBins
from effjax.runtime import Interrupted, checkpoints, fit, read_metrics
from effjax.runtime.loop import _STEPS_IN_FLIGHT
from effjax.runtime.writers import METRICS_FILE
from effjax.steps import Term, make_term

TWO_STAGES = {"terms": [[0.0, ("ce", "soft_target")], [0.5, ("ce",)]]}
FROZEN = {"teacher": lambda: np.linspace(0, 1, CLASSES, dtype=np.float32)}


@pytest.fixture
def source(array_source):
    return array_source(40)


def train(job, workdir, seed=0, **options):
    return fit(job, start(job, seed), workdir=workdir, identity={"seed": seed}, **options)


def assert_same(actual, expected) -> None:
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, actual, expected)


class StoppingBlocks(ResidentFeed):
    """A feed that asks the process to stop before it yields the block of a step."""

    def blocks(self, settings, seed, first, stop, length):
        for number, block in enumerate(super().blocks(settings, seed, first, stop, length)):
            if first + number * length in self.stop_before:
                self.stop_before.clear()
                signal.raise_signal(signal.SIGTERM)
            yield block


@pytest.fixture(scope="module")
def two_stages(tmp_path_factory):
    """A run of two stages, the second without the teacher; and what XLA compiled for it."""
    source, workdir = ArraySource(40), tmp_path_factory.mktemp("two_stages")
    feed = StoppingBlocks({"train": source}, 8)
    object.__setattr__(feed, "stop_before", set())
    job = make_task(source, terms=("ce", "soft_target"), plans=TWO_STAGES, feed=feed)
    state = start(job)
    CalibrationBins.empty().compute()  # a metric's arithmetic on the host is no program of the run
    with count_compilations() as compiled:
        fitted = fit(job, state, workdir=workdir, identity={"seed": 0}, frozen=FROZEN)
    return job, workdir, fitted, len(compiled)


def test_writes_every_step_once(two_stages):
    job, workdir, fitted, _ = two_stages
    assert int(fitted.state.step) == STEPS
    assert not np.array_equal(_kernel(fitted), start(job).params["student"]["classifier"]["kernel"])
    lines = read_metrics(workdir)
    assert [line["step"] for line in lines if "train/loss" in line] == [3, 6, 9, 12, 15, 18, 21, 24]
    assert [line["step"] for line in lines if "validation/accuracy" in line] == [8, 16, 24]


def test_one_program_a_stage(two_stages):
    job, _, _, compiled = two_stages
    assert len(job.programs.compiled) == len(set(job.programs.compiled)) == 3  # two stages and the evaluation
    assert compiled == 3


def test_another_seed_compiles_nothing(two_stages, tmp_path):
    job, _, first, _ = two_stages
    state = start(job, seed=1)
    with count_compilations() as compiled:
        second = fit(job, state, workdir=tmp_path, identity={"seed": 1}, frozen=FROZEN)
    assert not compiled
    assert len(job.programs.compiled) == 3
    assert not np.array_equal(_kernel(first), _kernel(second))


def _kernel(fitted):
    return fitted.state.params["student"]["classifier"]["kernel"]


def test_a_teacher_is_let_go_after_its_stage(two_stages):
    job, *_ = two_stages
    taught, alone = (job.programs.get(job.program_key(stage)).program for stage in job.plan)
    assert list(_state_of(taught).frozen) == ["teacher"]
    assert list(_state_of(alone).frozen) == []


def _state_of(program):
    """What a compiled program takes as its state."""
    return program.args_info[0][0]


def test_the_early_stop_changes_only_what_comes_after(two_stages, source, tmp_path):
    _, workdir, _, _ = two_stages
    train(make_task(source, terms=("ce", "soft_target")), tmp_path, frozen=FROZEN)
    everywhere, stopped = (
        [line for line in read_metrics(folder) if "train/loss" in line] for folder in (tmp_path, workdir)
    )
    for one, other in zip(everywhere[:4], stopped[:4], strict=True):  # steps 1 to 12
        assert one == pytest.approx(other, rel=1e-5)
    assert all("train/loss/soft_target" in line for line in everywhere)
    assert not any("train/loss/soft_target" in line for line in stopped[4:])
    assert everywhere[-1]["train/loss/ce"] != pytest.approx(stopped[-1]["train/loss/ce"], rel=1e-5)


class CountingBlocks(ResidentFeed):
    """A feed that notes how many of its blocks nobody has heard back from."""

    def blocks(self, *args):
        for block in super().blocks(*args):
            self.under_way.append(self.under_way[-1] + 1)
            yield block


@pytest.mark.parametrize("length", [1, 4])
def test_steps_in_flight_are_bounded(source, tmp_path, length, monkeypatch):
    feed = CountingBlocks({"train": source}, 8)
    object.__setattr__(feed, "under_way", [0])
    options = {"evaluate_every": 64, "checkpoint_every": 64, "log_every": 64, "steps_per_dispatch": length}
    job = make_task(source, steps=64, feed=feed, validate=False, **options)
    fetch = job.backend.fetch

    def heard_back(tree):
        if isinstance(tree, dict) and "loss" in tree:
            feed.under_way.append(feed.under_way[-1] - 1)
        return fetch(tree)

    monkeypatch.setattr(job.backend, "fetch", heard_back)
    train(job, tmp_path)
    assert feed.under_way[-1] == 0
    assert max(feed.under_way) == _STEPS_IN_FLIGHT // length + 1  # the one that is about to go


@pytest.mark.parametrize("step", [0, 6, 12, 22])
def test_interrupted_and_resumed_is_undisturbed(two_stages, tmp_path, step):
    job, workdir, undisturbed, _ = two_stages
    job.feed.stop_before.add(step)
    with pytest.raises(Interrupted, match=f"stopped at step {step + 2} of {STEPS}, saved"):
        train(job, tmp_path, frozen=FROZEN)
    assert checkpoints.steps(tmp_path / "checkpoints")[-1] == step + 2
    resumed = train(job, tmp_path, frozen=FROZEN)
    assert_same(resumed.state, undisturbed.state)
    assert resumed.best_step == undisturbed.best_step
    assert (tmp_path / METRICS_FILE).read_bytes() == (workdir / METRICS_FILE).read_bytes()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL  # as it was


@pytest.mark.parametrize("boundary", [True, False])
def test_where_other_parameters_are_trained_the_optimiser_starts_afresh(source, tmp_path, boundary):
    plans = {"trainable": [[0.0, "student/classifier/.*"], [0.5, ".*"]]}
    job = make_task(source, plans=plans, checkpoint_every=12 if boundary else 8, validate=False)
    whole = fit(job, start(job), workdir=tmp_path / "whole", identity={}, keep=9)
    shutil.copytree(tmp_path / "whole", tmp_path / "resumed")
    for step in checkpoints.steps(tmp_path / "resumed" / "checkpoints"):
        if step > (12 if boundary else 16):  # at the switch itself; after it
            shutil.rmtree(tmp_path / "resumed" / "checkpoints" / str(step))
    resumed = fit(job, start(job), workdir=tmp_path / "resumed", identity={}, keep=9)
    assert_same(resumed.state, whole.state)
    counts = [node.count for node in jax.tree.leaves(whole.state.opt_state, is_leaf=_is_adam) if _is_adam(node)]
    assert counts == [12]  # steps since the switch


def _is_adam(node):
    return isinstance(node, optax.ScaleByAdamState)


def test_a_finished_run_is_found_done(two_stages):
    job, workdir, first, _ = two_stages
    metrics = (workdir / METRICS_FILE).read_bytes()

    def not_again():
        raise AssertionError("a teacher's work for a run that is done")

    again = train(job, workdir, frozen={"teacher": not_again})
    assert_same(again.state, first.state)
    assert again.best_step == first.best_step
    assert (workdir / METRICS_FILE).read_bytes() == metrics


def test_another_plan_is_refused(two_stages, source):
    _, workdir, _, _ = two_stages
    later = {"terms": [[0.0, ("ce", "soft_target")], [0.75, ("ce",)]]}
    with pytest.raises(UserError, match=r"are of another run \(stages: .*'stop': 12.*there, .*'stop': 18.*now"):
        train(make_task(source, terms=("ce", "soft_target"), plans=later), workdir, frozen=FROZEN)


def poison(at: int) -> Term:
    """A term that is fine until the step after ``at`` steps."""

    def loss(inputs):
        return jnp.where(inputs.step == at, jnp.nan, 0.1) * inputs.student.logits.sum(-1) ** 2

    return Term(loss)


@pytest.mark.parametrize("at", [0, 13])
def test_nan_names_term_and_step_and_leaves_the_last_good_checkpoint(source, tmp_path, at):
    job = make_task(source, terms={"ce": make_term("ce"), "poison": poison(at)})
    kept = "the last good checkpoint in .* is kept" if at else "no checkpoint had been written yet"
    with pytest.raises(Diverged, match=rf"run 5: term 'poison' is nan at step {at + 1}; {kept}") as error:
        train(job, tmp_path, label="run 5")
    assert "\n" not in str(error.value)
    folder = tmp_path / "checkpoints"
    assert (sorted(int(path.name) for path in folder.iterdir()) or [0])[-1] == at // 4 * 4
    lines = read_metrics(tmp_path)
    assert all(np.isfinite(value) for line in lines for value in line.values())
    assert [line["step"] for line in lines if "train/loss" in line] == list(range(3, at + 1, 3))
    if at:
        restored = checkpoints.Checkpoints(folder, _identity(folder)).restore(lambda _: start(job))
        assert restored.step == 12
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(restored.state))
        with pytest.raises(Diverged, match=f"step {at + 1}"):  # the same again from there
            train(job, tmp_path, label="run 5")


def _identity(folder):
    return checkpoints.read_meta(folder, checkpoints.steps(folder)[-1])["identity"]


def test_a_gradient_that_is_not_finite_stops_too(source, tmp_path):
    def loss(inputs):  # 0 everywhere, with a gradient of 0 · inf
        return jnp.sqrt(jnp.maximum(inputs.student.logits.sum(-1) * 0.0, 0.0))

    job = make_task(source, terms={"ce": make_term("ce"), "root": Term(loss)})
    with pytest.raises(Diverged, match="grad_norm is nan at step 1"):
        train(job, tmp_path)


def test_a_term_that_moves_nothing_is_refused_before_the_first_step(source, tmp_path):
    job = make_task(source, terms={"ce": make_term("ce"), "idle": Term(lambda inputs: inputs.batch["label"] * 1.0)})
    with pytest.raises(UserError, match=r"terms.idle: no trained parameter moves it"):
        train(job, tmp_path)
    assert not list((tmp_path / "checkpoints").iterdir())
    assert not (tmp_path / METRICS_FILE).exists()
