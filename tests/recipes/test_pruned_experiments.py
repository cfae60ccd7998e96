"""Pruning in experiments: with everything else that a plan may say, seen by whoever uses the network afterwards."""

import shutil

import jax
import numpy as np
import pytest
from small_loops import loops

from configs.compress import prune_digits
from effjax.errors import UserError
from effjax.pruning import erk
from effjax.pruning.paths import by_path
from effjax.recipes import schema
from effjax.recipes.active import experiment as active
from effjax.recipes.build.hashes import params_sha256
from effjax.recipes.build.trained import TrainedRun
from effjax.recipes.train import experiment
from effjax.recipes.train.evaluate import evaluate
from effjax.recipes.train.runs import TrainingExperiment
from effjax.runtime import read_metrics


def small(data_dir, **plans):
    config = schema.experiment()
    config.data.update(dir=str(data_dir), train="train[:200]", validation="validation[:100]", test="test[:100]")
    config.eval_batch_size = 100
    run = schema.run(model={"name": "mlp", "widths": (8,)}, batch_size=16, steps=12, evaluations=3, log_every=2)
    run.update(checkpoint_every=2, keep=9)
    run.plans.update(plans)
    config.runs.run = run
    return config


def kernels(params):
    return {path: np.asarray(leaf) for path, leaf in by_path(params).items() if path.endswith("kernel")}


def zeros(params):
    leaves = kernels(params).values()
    return sum((leaf == 0).sum() for leaf in leaves), sum(leaf.size for leaf in leaves)


def test_terms_teacher_what_is_trained_sizes_and_sparsity_compose(tmp_path, data_dir):
    config = small(data_dir, sparsity=((0.0, 0.0), (0.25, "cubic 0.75"), (0.75, 0.75)))
    run = config.runs.run
    run.model = {"name": "vit", "patch": 4, "dim": 8, "heads": 1, "blocks": 1}
    run.plans.terms = ((0.0, ("ce", "soft_target")), (0.5, ("ce",)))
    run.plans.image_size = ((0.0, 20), (0.5, 28))
    run.terms.soft_target = {"weight": 0.5, "temperature": 4.0}
    run.pruning.update(every=1, scope="erk", dense="student/classifier/.*")
    run.ema, run.accumulate = 0.5, 2
    config.runs.teacher = schema.run(model={"name": "mlp", "widths": (8,)}, batch_size=16, steps=4, evaluations=1)
    run.teachers.teacher = schema.teacher_of_run("teacher", cached="float32")
    run.plans.trainable = ((0.0, "student/classifier/.*"), (0.25, ".*"))
    whole = list(TrainingExperiment(config.to_dict(), tmp_path / "whole").train())[-1]
    assert whole.best_step > 9
    read = kernels(whole.variables()["params"])
    dense = read.pop("classifier/kernel")
    assert np.all(dense != 0)
    shares = erk({path: leaf.shape for path, leaf in read.items()}, 0.75)
    for path, leaf in read.items():
        assert (leaf != 0).sum() == round(float(shares[path]) * leaf.size), path
    stopped = tmp_path / "stopped"
    shutil.copytree(tmp_path / "whole", stopped)
    folder = stopped / whole.last.folder.relative_to(tmp_path / "whole")
    for step in (6, 8, 10, 12):  # in the ramp, at its end
        shutil.rmtree(folder / "checkpoints" / str(step))
    again = list(TrainingExperiment(config.to_dict(), stopped).train())[-1]
    jax.tree.map(np.testing.assert_array_equal, again.variables(), whole.variables())
    jax.tree.map(np.testing.assert_array_equal, again.variables("best"), whole.variables("best"))
    assert (folder / "metrics.jsonl").read_bytes() == (whole.last.folder / "metrics.jsonl").read_bytes()


def test_tests_teachers_and_evaluations_see_the_pruned_network(tmp_path, data_dir):
    config = small(data_dir, sparsity=((0.0, 0.0), (0.25, 0.9)))
    config.runs.taught = schema.distilled(
        config.runs.run, "", {"soft_target": {"weight": 1.0}}, schema.teacher_of_run("run")
    )
    config.runs.taught.plans = {}
    summary = experiment.main(config.to_dict(), tmp_path)
    found = summary["run"]["seeds"][0]
    trained = TrainedRun.open(tmp_path / "run" / "seed_0")
    removed, size = zeros(trained.effective()["params"])
    assert size - removed == round(0.1 * size)
    assert evaluate(str(trained.folder), "test[:100]", data_dir=str(data_dir))["accuracy"] == pytest.approx(
        found["test/accuracy"]
    )
    (teacher,) = summary["taught"]["seeds"][0]["teachers"].values()
    assert teacher == params_sha256(trained.variables()) == params_sha256(trained.effective())
    assert found["best_step"] > 3  # not that of the dense network
    assert zeros(TrainedRun.open(trained.folder, "best").variables()["params"]) == (removed, size)
    noted = [line["train/sparsity"] for line in read_metrics(trained.folder) if "train/sparsity" in line]
    assert noted[-1] == pytest.approx(removed / size, abs=1e-6)
    assert zeros(TrainedRun.open(tmp_path / "taught" / "seed_0").variables()["params"])[0] == 0


@pytest.mark.parametrize("way", ["rigl", "set", "sr_ste", "2:4"])
def test_other_ways_in_folds_and_seeds_of_one_program(tmp_path, data_dir, way):
    config = small(data_dir, sparsity=((0.0, 0.5),))
    run = config.runs.run
    run.pruning.update({"structure": way} if way == "2:4" else {"renewal": way, "every": 2})
    config.runs.folded = run.copy_and_resolve_references()
    config.runs.folded.folds = 2
    config.seeds_together, config.num_seeds = True, 2
    for done in TrainingExperiment(config.to_dict(), tmp_path).train():
        for which in ("last", "best"):
            removed, size = zeros(done.variables(which)["params"])
            if way == "2:4":  # groups of a kernel whose inputs 4 divides: 784 and 8
                for leaf in kernels(done.variables(which)["params"]).values():
                    assert np.all((leaf.T.reshape(-1, 4) != 0).sum(1) == 2)
            # A weight of a pixel that is always dark stays at the 0 it came with.
            assert removed >= size // 2 if way in ("rigl", "set") else removed == size // 2


@pytest.mark.parametrize("renewal", ["gradual", "rigl"])
def test_rounds_of_a_loop_that_start_warm(tmp_path, data_dir, renewal):
    config = loops(data_dir, run=schema.query(predictions="ensemble", members=2, score="bald"))
    config.active.update(initial=8, per_round=4, rounds=2, start="warm")
    config.data.train, config.data.test = "train[:40]", "validation[:100]"
    config.data.validation, config.view.shift = "validation[:100]", 0
    run = config.runs.run
    run.update(batch_size=8, steps=4, evaluations=1)
    run.plans.sparsity = ((0.0, 0.5),)
    run.pruning.update(renewal=renewal, every=2)
    active.main(config.to_dict(), tmp_path)
    last = TrainedRun.open(tmp_path / "run" / "seed_0" / "round_01", several=True).variables()
    for member in (0, 1):
        removed, size = zeros(jax.tree.map(lambda x, member=member: x[member], last["params"]))
        assert removed >= size // 2


MISTAKES = {
    "outside": (
        {"sparsity": ((0.0, 1.0),)},
        {},
        r"config\.runs\.run\.plans\.sparsity=.* from 0 to below 1, or a ramp",
    ),
    "downwards": (
        {"sparsity": ((0.0, 0.5), (0.5, 0.1))},
        {},
        r"run\.plans: sparsity falls from 0\.5 to 0\.1 at step 6",
    ),
    "structure": (
        {"sparsity": ((0.0, 0.5),)},
        {"structure": "weihgts"},
        r"config\.runs\.run\.pruning\.structure='weihgts'; allowed: .*did you mean 'weights'",
    ),
    "nothing": (
        {"sparsity": ((0.0, 0.5),)},
        {"dense": "student/.*"},
        r"config\.runs\.run\..*pruning\.dense='student/\.\*' leaves nothing to prune",
    ),
    "no plan": ({}, {"every": 3}, r"config\.runs\.run\.pruning\.every=3: nothing is pruned without .*plans\.sparsity"),
    "saliency": (
        {"sparsity": ((0.0, 0.0), (0.5, 0.5)), "trainable": ((0.0, ".*"),)},
        {"score": "saliency"},
        r"pruning\.score='saliency': weights that .*plans\.trainable leaves out have no gradient",
    ),
    "rigl": (
        {"sparsity": ((0.0, "cubic 0.5"),)},
        {"renewal": "rigl"},
        r"config\.runs\.run\.plans: sparsity: pruning\.renewal='rigl' exchanges single weights at one sparsity",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_one_line_before_anything_is_trained(tmp_path, data_dir, name):
    plans, pruning, said = MISTAKES[name]
    config = small(data_dir, **plans)
    config.runs.run.pruning.update(pruning)
    with pytest.raises(UserError, match=said) as caught:
        TrainingExperiment(config.to_dict(), tmp_path)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("variant", ["", "tiny"])
def test_the_experiment_on_digits_is_one(variant):
    config = prune_digits.get_config(variant)
    schema.check(config.to_dict())
    pruned = [run for run in config.runs.values() if run.plans]
    assert len(pruned) == 8
    assert [len(run.teachers) for run in pruned] == [0, 1] * 4
