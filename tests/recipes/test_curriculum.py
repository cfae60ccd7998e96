"""Curricula as runs of a config: they merge with one another, and go on in any stage."""

import math
import shutil

import jax
import numpy as np
import pytest
import small_configs

from configs.curriculum import efficienttrain_imagenet
from effjax import models
from effjax.errors import UserError
from effjax.recipes import schema
from effjax.recipes.build.planning import lengths, make_run_schedule, make_view
from effjax.recipes.build.views import view_of
from effjax.recipes.train.costs import _flops, cost_table
from effjax.recipes.train.difficulty import difficulty
from effjax.recipes.train.runs import TrainingExperiment
from effjax.runtime import checkpoints
from effjax.runtime.writers import METRICS_FILE


def train(config, workdir):
    return {(done.name, done.seed): done for done in TrainingExperiment(config.to_dict(), workdir).train()}


def small(data_dir, **runs):
    config = schema.experiment()
    config.data.dir, config.eval_batch_size = str(data_dir), 100
    config.runs.update(runs)
    return config


def merged(data_dir):
    """EfficientTrain, early-stopped distillation and pacing in one run of a transformer."""
    config = small_configs.curriculum()
    config.data.dir = str(data_dir)
    return config


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, data_dir):
    """The experiment, its folder and its student, trained without a break."""
    experiment = TrainingExperiment(merged(data_dir).to_dict(), tmp_path_factory.mktemp("merged"))
    return experiment, experiment.workdir, list(experiment.train())[-1]


def test_plans_merge(undisturbed):
    *_, done = undisturbed
    stages = [(s.start, s["image_size"], s["terms"]) for s in done.assembled.job.plan]
    assert stages == [
        (0, 20, ("ce", "soft_target")),
        (8, 20, ("ce",)),
        (16, 28, ("ce",)),
    ]
    feed = done.assembled.job.feed
    seen = set(feed.sampler({}, 0).rows(0).tolist())
    ranking = done.assembled.pace.difficulty
    assert seen <= set(np.argsort(ranking)[: round(0.2 * 3500)].tolist())  # the easiest fifth
    table = done.variables()["params"]["position_table"]
    assert table.shape[:2] == (7, 7)
    assert np.isfinite(table).all()


def test_costs_are_counted_by_what_the_student_saw(undisturbed):
    experiment, _, done = undisturbed
    table = cost_table(experiment, {("student", 0): done}, {"student": "ViT"}, "student")
    label, steps, compute, seconds, over, reach, *_ = table.rows[0]
    assert (label, steps, compute, over, reach) == ("ViT", "20", "1.00", "1.00", "1 of 1")
    assert float(seconds) == round(sum(stage[0] for stage in done.clock["stages"]), 1)
    small, full = (models.flops(done.assembled.model, (size, size, 1)) for size in (20, 28))
    spent = _flops(done, experiment)
    assert len(spent) == 21
    np.testing.assert_allclose(spent[-1], 16 * (16 * small + 4 * full))
    assert cost_table(experiment, {("student", 0): done}, {"student": "ViT"}, None) is None  # nothing to compare with


@pytest.mark.parametrize("kept", [4, 8, 12, 16, 18])
def test_a_run_goes_on_in_any_stage_with_the_same_bits(undisturbed, tmp_path, monkeypatch, kept):
    experiment, workdir, whole = undisturbed
    shutil.copytree(workdir, tmp_path / "resumed")
    folder = tmp_path / "resumed" / "student" / "seed_0"
    for step in checkpoints.steps(folder / "checkpoints"):
        if step > kept:
            shutil.rmtree(folder / "checkpoints" / str(step))
    monkeypatch.setattr(experiment, "workdir", tmp_path / "resumed")
    resumed = list(experiment.train())[-1]
    jax.tree.map(np.testing.assert_array_equal, resumed.variables(), whole.variables())
    assert (folder / METRICS_FILE).read_bytes() == (whole.last.folder / METRICS_FILE).read_bytes()
    assert resumed.best_step == whole.best_step > 16  # only at the full size does an evaluation count


def test_a_second_set_and_both(tmp_path, data_dir):
    run = schema.run(model={"name": "mlp", "widths": (8,)}, steps=8, evaluations=2, batch_size=16)
    run.plans.data = ((0.0, "easy"), (0.5, "easy+train"))
    config = small(data_dir, run=run)
    config.data.also = {"easy": "digits"}
    done = train(config, tmp_path)["run", 0]
    feed = done.assembled.job.feed
    assert len(feed.rows({"data": "easy"})) == 3500
    assert len(feed.rows({"data": "easy+train"})) == 7000
    assert feed.resident["id"][feed.rows({"data": "easy"})].min() == 3500  # ids go on
    assert done.assembled.job.watch_from == 4
    run.plans.data = ((0.0, "esy"),)
    with pytest.raises(UserError, match=r"plans.data: no source 'esy'.*did you mean 'easy'"):
        TrainingExperiment(config.to_dict(), tmp_path / "other")


SCORES = ("loss", "confidence", "epoch_learnt", "c_score", "held_out_loss", "el2n", "grand", "forgetting")
SCORES += ("mean_confidence",)
OF_FOLDS = ("c_score", "held_out_loss")


@pytest.fixture(scope="module")
def ranked(tmp_path_factory, data_dir):
    """References, and a run paced by one of them, on digits of which a fifth has a wrong label."""
    reference = schema.run(
        model={"name": "mlp", "widths": (64,)}, steps=400, evaluations=1, record=True, forgetting=True
    )
    folds = schema.run(model={"name": "mlp", "widths": (64,)}, steps=400, evaluations=1, folds=3)
    paced = schema.run(model={"name": "mlp", "widths": (8,)}, steps=8, evaluations=2)
    paced.pacing = schema.paced("linear", by="c_score", run="folds")
    config = small(data_dir, reference=reference, folds=folds, paced=paced)
    config.data.label_noise, config.view.shift = 0.2, 1
    return train(config, tmp_path_factory.mktemp("ranked"))


@pytest.mark.parametrize("by", SCORES)
def test_every_score_ranks_noise_last(ranked, by):
    """Labels that are wrong are more difficult than those that are right."""
    done = ranked["paced", 0]
    scored = difficulty("pacing", by, [ranked["folds" if by in OF_FOLDS else "reference", 0]], done.assembled.job.feed)
    if by == "c_score":
        np.testing.assert_array_equal(scored, done.assembled.pace.difficulty)
    wrong = done.assembled.train.column("label") != done.assembled.train.source.column("label")
    assert wrong.sum() == 700
    # The probability that a wrong label is ranked above a right one; ties count half.
    above = (scored[wrong][:, None] > scored[~wrong][None]).mean()
    ties = (scored[wrong][:, None] == scored[~wrong][None]).mean()
    assert above + ties / 2 > 0.85, above


def test_seeds_train_together(tmp_path, data_dir):
    run = schema.run(model={"name": "mlp", "widths": (8,)}, steps=16, evaluations=2)
    config = small(data_dir, run=run)
    config.num_seeds, config.seeds_together = 2, True
    together = train(config, tmp_path / "together")
    config.seeds_together = False
    apart = train(config, tmp_path / "apart")
    for key, done in together.items():
        for which in ("last", "best"):
            close = lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4)  # noqa: E731
            jax.tree.map(close, done.variables(which), apart[key].variables(which))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"plans": {"image_size": [[0, 20], [0.5, 29]]}}, r"plans.image_size: 29 must be .* at most 28"),
        ({"plans": {"image_size": [[0, 20], [0.5, 28]]}}, r"runs.run.plans.image_size: .*kernel"),  # an MLP
        ({"plans": {"magnitude": [[0, 1.0]]}}, r"view.operations=0: nothing has a magnitude"),
        ({"reduction": "loader"}, r"reduction='loader' decodes .*data.on_device_mib=0"),
        ({"reduction": "crop"}, r"reduction='crop'; allowed: early, frequency, loader, resize"),
        ({"pacing": {"kind": "linear"}}, r"pacing.by is missing"),
        ({"pacing": schema.paced("linear", run="rum").to_dict()}, r"pacing.run='rum'.*did you mean 'run'"),
        ({"pacing": schema.paced("liner", order="random").to_dict()}, r"pacing.kind='liner'"),
        ({"pacing": schema.paced("linear", order="anti").to_dict(), "x": 1}, r"runs.run.x is not a key"),
    ],
)
def test_bad_curricula_are_refused(tmp_path, data_dir, change, message):
    config = small(data_dir, run=schema.run(model={"name": "mlp", "widths": (8,)}, steps=8, evaluations=2)).to_dict()
    config["runs"]["run"].update(change)
    with pytest.raises(UserError, match=message):
        TrainingExperiment(config, tmp_path)


@pytest.mark.parametrize("variant", ["", "baseline", "plus"])
def test_imagenets_settings_are_those_that_are_published(variant):
    config = efficienttrain_imagenet.get_config(variant).to_dict()
    schema.check(config)
    view, run = config["view"], config["runs"]["resnet50"]
    assert (view["crop_from"], view["crop"], view["interpolation"], config["data"]["crop_pct"]) == (
        *("photo", 0.08, "bicubic"),
        0.875,
    )
    assert make_view("run", view_of(view), run).early == (variant == "plus")
    total, _, _ = lengths(run, 1_268_356)
    rate = make_run_schedule(run, total)
    epoch = total / run["epochs"]
    if variant == "plus":
        assert run["ema"] == 0
        assert run["epochs"] == pytest.approx(200 * (0.2 * (224 / 96) ** 2 + 0.4 * (224 / 160) ** 2 + 0.4))
        assert float(rate(20 * epoch)) == pytest.approx(4e-3, rel=1e-2)  # 20 epochs of 96 pixels
        switch = 0.2 * 200 * (224 / 96) ** 2 * epoch
        before, after = float(rate(switch - 50)), float(rate(switch + 50))
        expected = [
            2e-3 * (1 + math.cos(math.pi * (0.2 - 0.1 * (size / 224) ** 2) / (1 - 0.1 * (size / 224) ** 2)))
            for size in (96, 160)
        ]
        np.testing.assert_allclose([before, after], expected, rtol=1e-2)
    else:
        assert float(rate(20 * epoch)) == pytest.approx(4e-3, rel=1e-3)
        assert run["ema"] == 0.9999
