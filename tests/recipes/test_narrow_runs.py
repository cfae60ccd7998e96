"""A run whose channels are removed on the way: whoever opens it, or learns from it, has the narrow network."""

import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_loops import loops

from effjax import models
from effjax.errors import UserError
from effjax.recipes import schema
from effjax.recipes.active import experiment as active
from effjax.recipes.active.query import choose
from effjax.recipes.analyze.networks import Network
from effjax.recipes.build.trained import TrainedRun
from effjax.recipes.train import experiment
from effjax.recipes.train.costs import cost_table
from effjax.recipes.train.evaluate import evaluate
from effjax.recipes.train.runs import TrainingExperiment, cost
from effjax.runtime import checkpoints
from effjax.runtime.writers import METRICS_FILE

STEPS = 12
STEPWISE = ((0.0, 1.0), (0.34, (0.75, "l2", 2)), (0.67, (0.5, "l2", 2)))


def config_of(data_dir, **runs):
    config = schema.experiment()
    config.data.dir, config.data.train, config.eval_batch_size = str(data_dir), "train[:200]", 100
    config.data.validation = config.data.test = "validation[:100]"
    config.runs.update(runs)
    return config


def run_of(name, plans, **model):
    run = schema.run(model={"name": name, **model})
    run.update(batch_size=8, steps=STEPS, evaluations=3, checkpoint_every=4, keep=9, steps_per_dispatch=1)
    run.plans.update(plans)
    return run


def scnn(**plans):
    return run_of("scnn", plans, width=0.25)


def same(a, b):
    return np.testing.assert_allclose(a, b, atol=1e-5)


def test_whoever_opens_it_has_the_network_of_its_end(tmp_path, data_dir):
    student = scnn(channels=STEPWISE)
    student.ema = 0.5
    taught = schema.distilled(student, "", {"soft_target": {"weight": 1.0}}, schema.teacher_of_run("student"))
    taught.plans = {}
    config = config_of(data_dir, taught=taught, student=student)
    summary = experiment.main(config.to_dict(), tmp_path)
    folder, found = tmp_path / "student" / "seed_0", summary["student"]["seeds"][0]
    run = TrainedRun.open(folder)
    assert run.model() == models.Narrow(models.create("scnn", 10, width=0.25), 0.5, 2)
    best = TrainedRun.open(folder, "best")
    assert best.step > STEPS * 2 // 3
    assert best.model() == run.model()
    params = run.variables()["params"]
    assert [params[layer]["kernel"].shape for layer in ("conv1", "conv2", "dense1", "classifier")] == [
        *((3, 3, 1, 4), (3, 3, 4, 8), (12 * 12 * 8, 16), (16, 10)),
    ]
    assert evaluate(str(folder), "validation[:100]", data_dir=str(data_dir))["accuracy"] == pytest.approx(
        found["test/accuracy"]
    )
    whole = models.create("scnn", 10, width=0.25)
    assert summary["student"]["params"] == models.count_params(params) < summary["taught"]["params"] / 2
    assert summary["student"]["mflops"] < models.flops(whole, (28, 28, 1)) / 2e6
    assert [TrainedRun(folder, step).model().keep for step in (8, 12)] == [0.75, 0.5]
    assert TrainedRun(folder, 4).model() == whole
    looked = Network("it", str(folder), "last")
    images = np.random.default_rng(0).integers(0, 256, (2, 28, 28, 1), np.uint8)
    pixels = jnp.asarray(images / np.float32(255))
    same(looked.logits(pixels), run.network().predict(run.variables(), {"image": images}).preds)
    evidence, grams = looked.look(pixels, jnp.array([0, 1]))
    assert evidence.shape[0] == 2
    assert set(grams) >= {"conv1", "dense1"}


def test_the_network_of_a_checkpoint_teaches(tmp_path, data_dir):
    config = config_of(data_dir, student=scnn(channels=((0.0, (0.5, "l2", 2)),)))
    experiment.main(config.to_dict(), tmp_path / "first")
    teacher = schema.teacher_of_checkpoint(str(tmp_path / "first" / "student" / "seed_0"))
    taught = schema.distilled(scnn(), "", {"soft_target": {"weight": 1.0}}, teacher)
    (one,) = TrainingExperiment(config_of(data_dir, taught=taught).to_dict(), tmp_path / "second").train()
    assert one.last.step == STEPS


@pytest.mark.parametrize("sizes", [(20, 20, 28), (20, 28, 28)])
def test_with_the_size_of_images(tmp_path, data_dir, sizes):
    """Removed before it, and together with it."""
    plans = {
        "channels": STEPWISE,
        "image_size": tuple(zip((0.0, 0.34, 0.67), sizes, strict=True)),
    }
    config = config_of(data_dir, run=run_of("vit", plans, patch=4, dim=6, heads=1, blocks=1))
    made = TrainingExperiment(config.to_dict(), tmp_path)
    (one,) = made.train()
    params = one.last.variables()["params"]
    assert params["block1"]["mlp"]["dense1"]["kernel"].shape == (6, 12)
    assert one.last.network().predict(one.last.variables(), {"image": np.zeros((1, 28, 28, 1), np.uint8)})
    table = cost_table(made, {("run", 0): one}, {"run": "run"}, "run")
    assert table is not None


@pytest.mark.parametrize("begin", [0.34, 0.67])
def test_with_few_bits(tmp_path, data_dir, begin):
    """Once the channels have gone, and where they go."""
    plans = {"channels": ((0.0, 1.0), (0.34, (0.5, "l2", 2))), "bits": ((0.0, None), (begin, "w8a8"))}
    made = TrainingExperiment(config_of(data_dir, run=run_of("scnn", plans, width=0.25)).to_dict(), tmp_path)
    (one,) = made.train()
    run = TrainedRun.open(one.last.folder)
    assert run.model().module == models.Narrow(models.create("scnn", 10, width=0.25), 0.5, 2)
    assert run.variables()["params"]["weights"]["conv2"]["kernel"].shape == (3, 3, 4, 8)
    assert np.isfinite(
        run.network().predict(run.variables(), {"image": np.zeros((1, 28, 28, 1), np.uint8)}).preds
    ).all()
    assert cost(made, "run")["params"] == models.count_params(
        models.init(run.model().module, jax.random.key(0), (28, 28, 1))["params"]
    )


@pytest.mark.parametrize("together", [False, True])
def test_backends_agree(tmp_path, data_dir, together):
    found = []
    for backend in ("jit", "pmap"):
        run = run_of("resnet8", {"channels": ((0.0, 1.0), (0.34, (0.5, "scale", 2)))}, width=0.25)
        run.optimizer, run.steps = {"name": "sgd", "learning_rate": 1e-3}, 6
        config = config_of(data_dir, run=run)
        config.backend, config.seeds_together, config.num_seeds = backend, together, 2 if together else 1
        found.append([one.last.variables() for one in TrainingExperiment(config.to_dict(), tmp_path / backend).train()])
    jax.tree.map(same, *found)
    assert [one["params"]["stem_conv"]["kernel"].shape for one in found[0]] == [(3, 3, 1, 2)] * (1 + together)


def test_networks_of_other_widths_are_no_ensemble(tmp_path, data_dir):
    runs = {"whole": scnn(), "narrow": scnn(channels=STEPWISE)}
    experiment.main(config_of(data_dir, **runs).to_dict(), tmp_path)
    folders = [tmp_path / name / "seed_0" for name in runs]
    with pytest.raises(UserError, match="differ in model: they are no ensemble"):
        choose(folders, tmp_path, tmp_path / "out", k=1, image_size=28)


def test_a_labelling_loop_chooses_by_the_narrow_network(tmp_path, data_dir):
    config = loops(data_dir, run=schema.query(selector="badge"))
    config.active.update(initial=8, per_round=4, rounds=2)
    config.data.train, config.data.test, config.data.validation = "train[:40]", "validation[:100]", "validation[:100]"
    config.runs.run.update(batch_size=8, steps=STEPS, evaluations=3)
    config.runs.run.plans.channels = STEPWISE
    active.main(config.to_dict(), tmp_path)
    run = TrainedRun.open(tmp_path / "run" / "seed_0" / "round_01")
    assert run.model().keep == 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"channels": ((0.0, 0.5), (0.5, 1.0))}, r"plans\.channels: conv1/kernel has .* channels .* do not come back"),
        ({"channels": ((0.0, 1.0), (0.5, (0.5, "scale")))}, r"plans\.channels: .*no scale of a normalisation"),
        (
            {"channels": ((0.0, 1.0), (0.67, 0.5)), "bits": ((0.0, None), (0.34, "w8a8"))},
            r"plans\.channels: a network of few bits keeps its channels",
        ),
        ({"channels": ((0.0, 0.0),)}, r"plans\.channels.*above 0"),
        ({"channels": ((0.0, (0.5, "taylor")),)}, r"plans\.channels.*l1, l2, scale"),
        ({"channels": ((0.0, 1.0), (0.5, 0.5)), "image_size": ((0.0, 20), (0.5, 28))}, r"dense1/kernel has shape"),
    ],
)
def test_what_cannot_be_is_refused_before_training(tmp_path, data_dir, change, message):
    run = run_of("scnn", change)
    with pytest.raises(UserError, match=message):
        TrainingExperiment(config_of(data_dir, run=run).to_dict(), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("tap", ["conv1", "dense1"])
def test_a_hint_follows_its_student_and_goes_on_at_a_switch(tmp_path, data_dir, monkeypatch, tap):
    """A teacher as large as the student once was: the regressor begins with the first channels that go."""
    hint = {"hint": {"student_tap": tap, "teacher_tap": tap}, "ce": {"weight": 1.0}}
    student = schema.distilled(scnn(), "", hint, schema.teacher_of_run("teacher"))
    student.plans.channels, student.ema = STEPWISE, 0.5
    config = config_of(data_dir, teacher=run_of("scnn", {}, width=0.25), student=student)
    made = TrainingExperiment(config.to_dict(), tmp_path / "whole")
    *_, whole = made.train()
    shutil.copytree(tmp_path / "whole", tmp_path / "resumed")
    folder = tmp_path / "resumed" / whole.last.folder.relative_to(tmp_path / "whole")
    shutil.rmtree(folder / "checkpoints" / str(STEPS))
    monkeypatch.setattr(made, "workdir", tmp_path / "resumed")
    *_, resumed = made.train()
    jax.tree.map(np.testing.assert_array_equal, resumed.last.variables(), whole.last.variables())
    assert (folder / METRICS_FILE).read_bytes() == (whole.last.folder / METRICS_FILE).read_bytes()


def test_every_checkpoint_is_of_its_stage(tmp_path, data_dir):
    (one,) = TrainingExperiment(config_of(data_dir, run=scnn(channels=STEPWISE)).to_dict(), tmp_path).train()
    folder = one.last.folder
    for step in checkpoints.steps(folder / "checkpoints"):
        run = TrainedRun(folder, step)
        expected = jax.eval_shape(run.model().init, jax.random.key(0), jnp.zeros((1, 28, 28, 1)))
        assert jax.tree.map(np.shape, run.variables()) == jax.tree.map(np.shape, dict(expected))
