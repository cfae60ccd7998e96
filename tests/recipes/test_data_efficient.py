"""Coresets, weights of examples and steps that choose, as runs of a config."""

import shutil
from types import SimpleNamespace

import jax
import numpy as np
import pytest
import small_configs

from effjax import models
from effjax.curricula import el2n, gradient_norms, stages
from effjax.errors import UserError
from effjax.losses import cross_entropy
from effjax.recipes import schema
from effjax.recipes.build.planning import lengths
from effjax.recipes.train import kept_scores
from effjax.recipes.train.costs import _flops, methods_of
from effjax.recipes.train.difficulty import difficulty
from effjax.recipes.train.experiment import main
from effjax.recipes.train.report import COMPUTE_FILE
from effjax.recipes.train.runs import TrainingExperiment
from effjax.runtime import checkpoints, read_metrics
from effjax.runtime.writers import METRICS_FILE
from effjax.steps import Objective, make_term


def small(**changes):
    run = schema.run(model={"name": "mlp", "widths": (8,)}, batch_size=16, steps=16, evaluations=2)
    run.optimizer.learning_rate = 1e-2
    for name, value in changes.items():
        run[name] = value
    return run


def experiment(data_dir, **runs):
    config = schema.experiment()
    config.data.dir, config.eval_batch_size = str(data_dir), 100
    config.data.update(train="train[:200]", validation="validation[:100]", test="test[:100]")
    config.runs.update(runs)
    return config


@pytest.fixture(scope="module")
def trained(tmp_path_factory, data_dir):
    """A reference, a cross-validation, and runs that use them."""
    config = experiment(
        data_dir,
        early=small(record=True, forgetting=True, steps=40),
        halves=small(folds=2),
        coreset=small(coreset=schema.coreset(0.25, by="grand", run="early")),
        control=small(coreset=schema.coreset(0.25, part="random")),
        ambiguous=small(coreset=schema.coreset(0.25, by="variability", run="early", balanced=False)),
        in_turn=small(pacing=schema.paced("linear", run="early", balanced=True)),
        rho=small(selection=schema.selection("rho_loss", run="halves"), plans={"candidates": ((0.0, 2),)}),
    )
    made = TrainingExperiment(config.to_dict(), tmp_path_factory.mktemp("chosen"))
    return {done.name: done for done in made.train()}, made


def drawn(done, steps=16):
    feed = done.assembled.job.feed
    return {int(id_) for step in range(steps) for id_ in feed.joined.ids()[feed.sampler({}, done.seed).rows(step)]}


def test_a_coreset_is_what_a_run_draws_from(trained):
    runs, _ = trained
    assert len(drawn(runs["coreset"])) == len(drawn(runs["control"])) == 50
    labels = runs["early"].assembled.train.column("label")
    for name, balanced in (("coreset", True), ("ambiguous", False)):
        scores, ids = runs[name].assembled.coreset.difficulty, drawn(runs[name])
        if balanced:
            for label in range(10):
                own = np.flatnonzero(labels == label)
                taken = sorted(ids & set(own.tolist()))
                assert abs(len(taken) - len(own) / 4) <= 1
                assert scores[taken].min() >= np.sort(scores[own])[::-1][len(taken) - 1]
        else:
            assert ids == set(np.argsort(-scores[:200], kind="stable")[:50].tolist())


def test_where_sums_are_rounded_otherwise_a_run_goes_on_with_the_scores_that_it_began_with(
    trained, tmp_path, monkeypatch, caplog
):
    runs, made = trained
    shutil.copytree(made.workdir, tmp_path / "moved")
    config = made.config
    monkeypatch.setattr(kept_scores, "difficulty", lambda *given: difficulty(*given) * (1 + 1e-7))
    moved = {done.name: done for done in TrainingExperiment(config, tmp_path / "moved").train()}
    jax.tree.map(np.testing.assert_array_equal, moved["coreset"].variables(), runs["coreset"].variables())
    files = list((tmp_path / "moved" / kept_scores.SCORES_FOLDER).iterdir())
    assert len(files) == 4  # of a coreset each, of the order, of the selection
    for file in files:  # what is not there any more, or damaged, is made anew, and is another's
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    with pytest.raises(UserError, match="of another run"):
        list(TrainingExperiment(config, tmp_path / "moved").train())
    assert "examples are scored anew" in caplog.text


def test_scores_are_what_the_functions_say(trained):
    runs, _ = trained
    reference, feed = runs["early"], runs["early"].assembled.job.feed
    variables, model = reference.variables(), reference.assembled.model
    images = reference.assembled.job.objective.view.see({"image": feed.resident["image"]})["image"]
    labels = feed.resident["label"]
    logits = model.apply(variables, images).logits
    np.testing.assert_allclose(difficulty("x", "el2n", [reference], feed)[:200], el2n(logits, labels), atol=1e-5)

    def loss(params, example):
        return cross_entropy(model.apply({"params": params}, example[0][None]).logits, example[1][None])[0]

    norms = gradient_norms(loss, variables["params"], (images, labels))
    np.testing.assert_allclose(difficulty("x", "grand", [reference], feed)[:200], norms, rtol=1e-4, atol=1e-5)
    records = {name: noted[:200] for name, noted in reference.last.records().items()}
    forgotten = difficulty("x", "forgetting", [reference], feed)[:200]
    never = records["right"] == 0
    np.testing.assert_array_equal(forgotten[never], records["seen"][never])
    np.testing.assert_array_equal(forgotten[~never], records["forgotten"][~never])
    assert (forgotten <= records["seen"]).all()


def test_classes_take_turns(trained):
    runs, _ = trained
    done = runs["in_turn"]
    ranking = done.assembled.job.feed.sampler({}, 0).ranking
    labels = done.assembled.train.column("label")[ranking]
    assert all(len(set(labels[start : start + 10])) == 10 for start in (0, 10))


def test_a_selection_subtracts_what_others_made_of_each_example(trained):
    runs, _ = trained
    done = runs["rho"]
    feed = done.assembled.job.feed
    known = checkpoints.read_training(done.last.folder / "checkpoints", 16)["memory"]["selection"]["reference"]
    held_out = difficulty("x", "held_out_loss", [runs["halves"]], feed)
    np.testing.assert_allclose(known[:200], held_out[:200], rtol=1e-5)
    assert np.isinf(held_out[200:]).all()  # ids without an example
    assert np.isfinite(known).all()
    assert feed.sampler({"candidates": 2}, 0).rows(0).shape == (32,)
    reasons = runs["halves"].assembled.config, done.last.identity
    assert reasons[0]["folds"] == 2
    assert len(reasons[1]["reference"]) == 64  # another reference would make it another run


def test_candidates_cost_a_third(trained):
    runs, made = trained
    each = models.flops(runs["rho"].assembled.model, (28, 28, 1))
    np.testing.assert_allclose(_flops(runs["rho"], made)[-1], 16 * 16 * each * (1 + 2 / 3))
    np.testing.assert_allclose(_flops(runs["coreset"], made)[-1], 16 * 16 * each)


def test_smaller_images_of_any_form_cost_what_they_compute():
    """Sizes are of the shorter side, and the whole image is computed."""
    network = models.create("scnn", 10, width=0.125)
    plan = stages(4, {"image_size": [[0.0, 10], [0.5, 20]]})
    objective = Objective(network, {"ce": make_term("ce")})
    job = SimpleNamespace(plan=plan, objective=objective, batch_size=2, objective_at=lambda stage: objective)
    run = SimpleNamespace(assembled=SimpleNamespace(job=job, model=network))
    for shape, sizes in (((30, 20, 1), ((15, 10, 1), (30, 20, 1))), ((20, 40, 3), ((10, 20, 3), (20, 40, 3)))):
        test = [{"image": np.zeros(shape, np.uint8)}]
        datasets = SimpleNamespace(test=test, task=SimpleNamespace(inputs=("image",)))
        small, whole = (models.flops(network, size) for size in sizes)
        spent = _flops(run, SimpleNamespace(datasets=datasets))
        np.testing.assert_allclose(spent, np.cumsum([0, 2 * small, 2 * small, 2 * whole, 2 * whole]))


def test_an_epoch_is_a_pass_over_what_is_drawn_from():
    run = schema.run(epochs=10.0, batch_size=10, evaluations=1).to_dict()
    whole = lengths(run, 1000)[0]
    half = lengths({**run, "coreset": schema.coreset(0.5).to_dict()}, 1000)[0]
    chosen = lengths({**run, "plans": {"candidates": ((0.0, 4), (0.5, 1))}}, 1000)[0]
    assert (whole, half) == (992, 512)
    assert abs(chosen - 400) <= 16


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, data_dir):
    config = small_configs.choosing()
    config.data.dir = str(data_dir)
    config.runs.chosen.update(steps=48, evaluations=4, checkpoint_every=4, keep=20)
    made = TrainingExperiment(config.to_dict(), tmp_path_factory.mktemp("undisturbed"))
    return made, list(made.train())[-1]


@pytest.mark.parametrize("kept", [4, 24, 36, 44])
def test_a_run_that_remembers_losses_goes_on_with_the_same_bits(undisturbed, tmp_path, monkeypatch, kept):
    made, whole = undisturbed
    shutil.copytree(made.workdir, tmp_path / "resumed")
    folder = tmp_path / "resumed" / "chosen" / "seed_0"
    for step in checkpoints.steps(folder / "checkpoints"):
        if step > kept:
            shutil.rmtree(folder / "checkpoints" / str(step))
    monkeypatch.setattr(made, "workdir", tmp_path / "resumed")
    resumed = list(made.train())[-1]
    jax.tree.map(np.testing.assert_array_equal, resumed.variables(), whole.variables())
    assert (folder / METRICS_FILE).read_bytes() == (whole.last.folder / METRICS_FILE).read_bytes()
    ours, theirs = (
        checkpoints.read_training(run.last.folder / "checkpoints", 48)["memory"] for run in (resumed, whole)
    )
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    assert 0 < np.isfinite(ours["selection"]["loss"]).sum() <= 200
    assert np.isfinite(ours["weighting"])


def test_feature_maps_are_smoothed_and_patches_left_out_while_networks_train(tmp_path, data_dir):
    blurred = small(model={"name": "scnn", "width": 0.125}, steps=8)
    sharp = blurred.copy_and_resolve_references()
    blurred.plans.smoothing = ((0.0, 1.0), (0.5, 0.0))
    patches = small(model={"name": "vit", "patch": 4, "dim": 12, "blocks": 1}, steps=8)
    patches.plans.tokens = ((0.0, 0.25), (0.5, 1.0))
    config = experiment(data_dir, sharp=sharp, blurred=blurred, patches=patches)
    made = TrainingExperiment(config.to_dict(), tmp_path)
    assert [len(made.runs[name].job.plan) for name in ("sharp", "blurred", "patches")] == [1, 1, 2]
    found = {done.name: done for done in made.train()}
    losses = {
        name: [line["train/loss"] for line in read_metrics(done.last.folder) if "train/loss" in line]
        for name, done in found.items()
    }
    assert losses["sharp"] != losses["blurred"]
    each = [models.flops(found["patches"].assembled.model, (28, 28, 1))]
    spent = _flops(found["patches"], made)
    np.testing.assert_allclose(spent[8] - spent[4], 4 * 16 * each[0])
    assert spent[4] < 0.4 * 4 * 16 * each[0]


def test_a_control_at_several_lengths_makes_the_figure_accuracy_against_compute(tmp_path, data_dir):
    config = experiment(data_dir, whole=small(label="baseline, whole"), half=small(label="baseline, half", steps=8))
    config.control, config.table = "half", ("whole", "half")
    main(config.to_dict(), tmp_path / "work", tmp_path / "results.md")
    drawn = (tmp_path / "work" / COMPUTE_FILE).read_bytes()
    assert (tmp_path / "results.png").read_bytes() == drawn
    assert "against compute" in (tmp_path / "results.md").read_text()


CANDIDATES = {"candidates": [[0.0, 2]]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"coreset": {"share": 0.5}}, r"coreset.part is missing"),
        ({"coreset": schema.coreset(1.5).to_dict()}, r"coreset.share=1.5 must be a number above 0"),
        ({"coreset": schema.coreset(0.5, run="rum").to_dict()}, r"coreset.run='rum'.*did you mean 'run'"),
        (
            {"coreset": schema.coreset(0.5, by="forgetting", run="noting").to_dict()},
            r"coreset.by='forgetting': config.runs.noting.forgetting must be True",
        ),
        (
            {"coreset": schema.coreset(0.5, by="variability", run="other").to_dict()},
            r"coreset.by='variability': config.runs.other.record must be True",
        ),
        ({"plans": CANDIDATES}, r"plans.candidates: nothing says how a step chooses among them"),
        ({"selection": {"score": "loss"}}, r"selection.score='loss' chooses among candidates: .*plans.candidates"),
        ({"selection": {"score": "rho"}, "plans": CANDIDATES}, r"selection.score='rho'; allowed.*rho_loss"),
        ({"selection": {"score": "rho_loss"}, "plans": CANDIDATES}, r"selection.run=''; allowed"),
        (
            {"selection": {"score": "rho_loss", "run": "other"}, "plans": CANDIDATES},
            r"selection.by='held_out_loss': config.runs.other.folds=0 must be 2 or more",
        ),
        (
            {"selection": {"score": "loss", "run": "other"}, "plans": CANDIDATES},
            r"selection.run='other': 'loss' has no reference",
        ),
        (
            {"selection": {"score": "loss", "dropped": 0.5}, "plans": CANDIDATES},
            r"selection.dropped=0.5: 'loss' has none",
        ),
        (
            {"selection": {"score": "loss"}, "plans": {"candidates": [[0.0, 1.03]]}},
            r"plans.candidates: 1.03 times config.runs.run.batch_size=16 is no whole number",
        ),
        ({"plans": {"smoothing": [[0.0, 1.0]]}}, r"plans.smoothing: the network has no convolution"),
        ({"plans": {"tokens": [[0.0, 0.5]]}}, r"plans.tokens: 0.5: Mlp cannot leave out patches; vit and deit_"),
        ({"weighting": {"name": "superloss"}}, r"weighting.name='superloss'.*did you mean 'super_loss'"),
        ({"forgetting": True}, r"runs.run.forgetting=True: nothing is noted .* without config.runs.run.record=True"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, data_dir, change, message):
    config = experiment(data_dir, run=small(), other=small(), noting=small(record=True)).to_dict()
    config["runs"]["run"].update(change)
    with pytest.raises(UserError, match=message):
        TrainingExperiment(config, tmp_path)


def test_the_comparison_has_one_budget():
    """What its runs cost is that of the control, but for the lengths of the baseline and what scores."""
    from configs.curriculum.data_efficient import CANDIDATES, get_config

    config = get_config()
    short = config.runs.short.steps
    assert short == 640
    for name in config.table:
        run = config.runs[name]
        chosen = bool(run.selection) and run.selection.score != "infobatch"
        if name in ("full", "early", "efficienttrain") or name.startswith("short_"):
            continue
        assert run.steps * (1 + CANDIDATES / 3 * chosen) == short, name
    assert {run.num_seeds for run in config.runs.values()} == {0}  # all seeds of each are paired
    baseline, *others = methods_of(config.to_dict(), config.table, "short")
    assert sorted(baseline) == ["early", "full", "short", "short_20", "short_70"]
    assert [len(runs) for runs in others] == [1] * (len(config.table) - 5)
    for variant in ("solar", "tiny", "solar_tiny"):
        get_config(variant)
