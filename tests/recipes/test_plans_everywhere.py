"""Whatever a plan may change, in every way of training: a run goes on at its switch, to the bit, or is refused."""

import shutil
import signal

import jax
import numpy as np
import pytest
from small_loops import loops

from effjax.data.feeds import ChosenFeed
from effjax.errors import UserError
from effjax.recipes import schema
from effjax.recipes.active import experiment as active
from effjax.recipes.build.trained import TrainedRun
from effjax.recipes.train.runs import TrainingExperiment
from effjax.runtime import Interrupted, checkpoints
from effjax.runtime.writers import METRICS_FILE

STEPS, SWITCH = 8, 4
PLANS = {
    "terms": (("ce", "again"), ("ce",)),
    "trainable": ("student/classifier/.*", ".*"),
    "image_size": (20, 28),
    "magnitude": (0.0, 5.0),
    "sparsity": (0.0, "cubic 0.8"),
    "data": ("train", "train+more"),
    "channels": (1.0, (0.5, "l2", 4)),
    "bits": (None, "w8a8"),
    "candidates": (2, 1),
    "smoothing": (1.0, 0.0),
    "tokens": (0.25, 1.0),
    "accumulate": (1, 2),
}
WAYS = ("alone", "pmap", "stream", "loader", "together", "together pmap", "folds")


def planned(config, setting):
    """Gives an experiment's run a plan of two stages."""
    run = config.runs.run
    run.update(batch_size=8, steps=STEPS, evaluations=2, checkpoint_every=2, keep=9, log_every=2, steps_per_dispatch=1)
    run.plans[setting] = tuple(zip((0.0, SWITCH / STEPS), PLANS[setting], strict=True))
    if setting == "terms":
        run.terms.again = {"kind": "ce", "weight": 0.5}
    elif setting == "candidates":
        run.selection, run.weighting = schema.selection("infobatch"), schema.weighting("super_loss")
    elif setting == "smoothing":
        run.model = {"name": "scnn", "width": 0.0625}
    elif setting in ("image_size", "tokens"):
        run.model = {"name": "vit", "patch": 4, "dim": 6, "heads": 1, "blocks": 1}
    elif setting == "magnitude":
        config.view.operations = 1
    elif setting == "sparsity":
        run.pruning.every = 1
    elif setting == "data":
        config.data.also = {"more": "digits"}
    return config


def experiment(data_dir, setting, way):
    config = schema.experiment()
    config.data.dir, config.data.train, config.eval_batch_size = str(data_dir), "train[:200]", 100
    config.data.validation = config.data.test = "validation[:100]"
    config.runs.run = schema.run(model={"name": "mlp", "widths": (8,)})
    config = planned(config, setting)
    config.backend = "pmap" if "pmap" in way else "jit"
    if way in ("stream", "loader"):
        config.data.on_device_mib = 0
        config.runs.run.reduction = "loader" if way == "loader" else "frequency"
    if "together" in way:
        config.seeds_together, config.num_seeds = True, 2
    config.runs.run.folds = 2 if way == "folds" else 0
    return config


@pytest.mark.parametrize("setting", PLANS)
@pytest.mark.parametrize("way", WAYS)
def test_it_goes_on_at_its_switch_with_the_same_bits(tmp_path, data_dir, monkeypatch, setting, way):
    made = TrainingExperiment(experiment(data_dir, setting, way).to_dict(), tmp_path / "whole")
    whole = list(made.train())
    folder = whole[0].last.folder
    shutil.copytree(tmp_path / "whole", tmp_path / "resumed")
    resumed_folder = tmp_path / "resumed" / folder.relative_to(tmp_path / "whole")
    for step in (SWITCH + 2, STEPS):
        shutil.rmtree(resumed_folder / "checkpoints" / str(step))
    monkeypatch.setattr(made, "workdir", tmp_path / "resumed")
    for one, other in zip(list(made.train()), whole, strict=True):
        jax.tree.map(np.testing.assert_array_equal, one.variables(), other.variables())
        assert one.best_step == other.best_step
    assert (resumed_folder / METRICS_FILE).read_bytes() == (folder / METRICS_FILE).read_bytes()
    assert checkpoints.steps(resumed_folder / "checkpoints") == checkpoints.steps(folder / "checkpoints")


@pytest.mark.parametrize("setting", ["trainable", "image_size", "sparsity", "channels"])
def test_of_seeds_together_each_is_the_run_of_its_seed(tmp_path, data_dir, setting):
    config = experiment(data_dir, setting, "together")
    # Adam would make much of what are but rounding errors: the gradient of a bias of attention's keys.
    config.runs.run.optimizer = {"name": "sgd", "learning_rate": 0.1}
    together = list(TrainingExperiment(config.to_dict(), tmp_path / "together").train())
    config.seeds_together = False
    for one, other in zip(together, TrainingExperiment(config.to_dict(), tmp_path / "apart").train(), strict=True):
        close = lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4)  # noqa: E731
        jax.tree.map(close, one.variables(), other.variables())
    with pytest.raises(UserError, match=r"together holds several networks that trained in one program"):
        TrainedRun.open(together[0].last.folder)


def stopping(feed, settings, seeds, start, stop, length):
    """As a feed's blocks; the process is asked to stop in the one before the switch."""
    for number, block in enumerate(super(ChosenFeed, feed).blocks(settings, seeds, start, stop, length)):
        if start + number * length == SWITCH - length:
            signal.raise_signal(signal.SIGTERM)
        yield block


@pytest.mark.parametrize("setting", [name for name in PLANS if name not in ("data", "candidates")])
def test_an_ensemble_of_a_labelling_loop(tmp_path, data_dir, monkeypatch, setting):
    """Stopped at the switch of its first round, trained once more for the second, and at that of the second."""
    config = loops(data_dir, run=schema.query(predictions="ensemble", members=2, score="bald"))
    start = "cold" if setting in ("bits", "channels") else "warm"  # a round begins with all channels, and with floats
    config.active.update(initial=8, per_round=4, rounds=2, start=start)
    config.data.train, config.data.test = "train[:40]", "validation[:100]"
    config.data.validation, config.view.shift = "validation[:100]", 0
    config = planned(config, setting).to_dict()
    summary = active.main(config, tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "resumed")
    rounds = tmp_path / "resumed" / "run" / "seed_0"
    shutil.rmtree(rounds / "round_01")
    for round_ in (0, 1) if start == "warm" else (1,):  # a cold round needs no network of the one before
        with monkeypatch.context() as patch:
            patch.setattr(ChosenFeed, "blocks", stopping)
            with pytest.raises(Interrupted, match=f"round {round_} .*stopped at step {SWITCH} of {STEPS}"):
                active.main(config, tmp_path / "resumed")
    assert active.main(config, tmp_path / "resumed") == summary


@pytest.mark.parametrize(
    ("way", "change", "message"),
    [
        ("together", {"on_device_mib": 0}, "networks that train together draw from a set on the device"),
        ("folds", {"on_device_mib": 0}, "networks that train together draw from a set on the device"),
    ],
)
def test_what_cannot_be_is_refused_before_training(tmp_path, data_dir, way, change, message):
    config = experiment(data_dir, "terms", way)
    config.data.update(change)
    with pytest.raises(UserError, match=message):
        TrainingExperiment(config.to_dict(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_labelling_loop_draws_from_what_is_labelled(tmp_path, data_dir):
    config = planned(loops(data_dir, run=schema.query()), "data").to_dict()
    with pytest.raises(UserError, match=r"config.runs.run.plans.data: labelling loops draw from what is labelled"):
        active.main(config, tmp_path)
    config = planned(loops(data_dir, run=schema.query()), "candidates").to_dict()
    with pytest.raises(UserError, match=r"config.runs.run.selection: labelling loops have none"):
        active.main(config, tmp_path)


@pytest.mark.parametrize("setting", ["bits", "channels"])
def test_a_round_cannot_begin_with_what_was_made_smaller(tmp_path, data_dir, setting):
    config = planned(loops(data_dir, run=schema.query()), setting)
    config.active.start = "warm"
    with pytest.raises(
        UserError, match=rf"config.active.start='warm': .* what config.runs.run.plans.{setting} has made"
    ):
        active.main(config.to_dict(), tmp_path)


def test_a_run_does_not_begin_with_few_bits(tmp_path, data_dir):
    config = experiment(data_dir, "bits", "alone")
    config.runs.run.plans.bits = ((0.0, "w8a8"),)
    with pytest.raises(UserError, match=r"config.runs.run.plans.bits: a run begins with None, and with 'w8a8' later"):
        TrainingExperiment(config.to_dict(), tmp_path)
