"""What becomes of a run's state where few bits begin: folded, calibrated, still pruned."""

import dataclasses

import jax
import numpy as np
import pytest
from toy import make_objective

from effjax.errors import UserError
from effjax.models import QuantizedModule
from effjax.recipes import schema
from effjax.recipes.build.trained import TrainedRun
from effjax.recipes.train.runs import TrainingExperiment
from effjax.runtime import checkpoints
from effjax.steps.bits import bits_problem
from effjax.steps.settings import Subject


def config(data_dir, **run):
    made = schema.experiment()
    made.data.dir, made.data.train, made.eval_batch_size = str(data_dir), "train[:200]", 100
    made.data.validation = made.data.test = "validation[:100]"
    made.runs.run = schema.run(model={"name": "scnn", "width": 0.125}, batch_size=20, steps=16, evaluations=4, keep=9)
    made.runs.run.update(run)
    return made


def trained(config, workdir):
    (one,) = TrainingExperiment(config.to_dict(), workdir).train()
    return one


def test_pruned_weights_stay_zero_in_few_bits(tmp_path, data_dir):
    """Also those of the average, and with a weight decay and a momentum that would move them."""
    made = config(data_dir, ema=0.5, optimizer={"name": "sgd", "learning_rate": 0.1, "weight_decay": 0.01})
    made.runs.run.plans = {"sparsity": ((0.0, 0.0), (0.25, 0.5)), "bits": ((0.0, None), (0.5, "w8a8"))}
    one = trained(made, tmp_path)
    run = TrainedRun.open(one.folder)
    module = run.model()
    assert isinstance(module, QuantizedModule)
    weights = run.variables()["params"]["weights"]
    kernels = [np.asarray(weights[layer]["kernel"]) for layer in ("conv1", "conv2", "dense1", "classifier")]
    zeros, size = sum((kernel == 0).sum() for kernel in kernels), sum(kernel.size for kernel in kernels)
    assert zeros == size - round(size * 0.5)
    codes = module.codes(run.variables(), (28, 28, 1))
    assert sum((np.asarray(layer.kernel) == 0).sum() for layer in codes.layers.values()) >= zeros


def test_normalisation_goes_on_by_choice(tmp_path, data_dir):
    """Its statistics move in training, are kept and found again, and what was removed stays 0 through them."""
    made = config(data_dir, model={"name": "resnet8", "width": 0.25}, steps_per_dispatch=1)
    made.runs.run.plans = {"sparsity": ((0.0, 0.0), (0.25, 0.5)), "bits": ((0.0, None), (0.5, "w4a4 live"))}
    one = trained(made, tmp_path)
    folder = one.last.folder / "checkpoints"
    early, late = (checkpoints.read_variables(folder, step) for step in (12, 16))
    assert set(late["batch_stats"]) == {"stem_conv", "stage1", "stage2", "stage3"}
    moved = jax.tree.map(lambda a, b: bool((a != b).all()), early["batch_stats"], late["batch_stats"])
    assert all(jax.tree.leaves(moved))
    assert np.all(early["params"]["norms"]["stem_conv"]["scale"] != late["params"]["norms"]["stem_conv"]["scale"])
    run = TrainedRun.open(one.folder)
    module, variables = run.model(), run.variables()
    assert str(module.scheme) == "w4a4 live"
    kernels = jax.tree_util.tree_leaves_with_path(variables["params"]["weights"])
    zeros = sum(int((leaf == 0).sum()) for path, leaf in kernels if path[-1].key == "kernel")
    assert zeros == round(0.5 * sum(leaf.size for path, leaf in kernels if path[-1].key == "kernel"))
    codes = module.codes(variables, (28, 28, 1))
    assert sum(int((np.asarray(layer.kernel) == 0).sum()) for layer in codes.layers.values()) >= zeros
    stopped = trained(made, tmp_path)  # finds it done
    jax.tree.map(np.testing.assert_array_equal, stopped.variables(), one.variables())


def test_what_was_measured_before_does_not_count(tmp_path, data_dir):
    made = config(data_dir)
    made.runs.run.plans.bits = ((0.0, None), (0.5, "w4a4"))
    one = trained(made, tmp_path)
    assert one.best_step > 8
    before = checkpoints.read_variables(one.last.folder / "checkpoints", 8)
    assert set(before["params"]) == {"conv1", "conv2", "dense1", "classifier"}


def test_bits_may_become_fewer_and_not_floats(tmp_path, data_dir):
    made = config(data_dir)
    made.runs.run.plans.bits = ((0.0, None), (0.25, "w8a8 live"), (0.5, "w4a4"))
    assert str(TrainedRun.open(trained(made, tmp_path / "fewer").folder).model().scheme) == "w4a4"
    made.runs.run.plans.bits = ((0.0, None), (0.25, "w8a8"), (0.5, None))
    with pytest.raises(UserError, match=r"plans.bits: None after 'w8a8': a network that has been quantised"):
        TrainingExperiment(made.to_dict(), tmp_path / "floats")


def test_a_teacher_and_hints_teach_a_student_of_few_bits(tmp_path, data_dir):
    made = config(data_dir)
    made.runs.teacher = schema.run(model={"name": "scnn", "width": 0.25}, batch_size=20, steps=8, evaluations=1)
    made.runs.run.teachers = {"teacher": schema.teacher_of_run("teacher")}
    made.runs.run.terms = {
        "soft_target": {"weight": 1.0},
        "hint": {"weight": 1.0, "student_tap": "conv2", "teacher_tap": "conv2"},
    }
    made.runs.run.plans.bits = ((0.0, None), (0.5, "w8a8"))
    done = {one.name: one for one in TrainingExperiment(made.to_dict(), tmp_path).train()}
    assert np.isfinite(done["run"].variables()["params"]["value_steps"]["conv1"])


def test_what_cannot_be_quantised_is_said_before_the_start():
    objective = make_objective("mlp")
    assert bits_problem(None, Subject(objective, (28, 28, 1))) is None
    assert bits_problem("w8a8", Subject(objective, (28, 28, 1))) is None
    assert "w8a99" in bits_problem("w8a99", Subject(objective, (28, 28, 1)))
    reads_more = dataclasses.replace(objective, inputs=("image", "question"))
    assert bits_problem("w8a8", Subject(reads_more, (28, 28, 1))) == (
        "'w8a8': networks that read image, question cannot be quantised"
    )
