"""Runs with a replay buffer: they go on with the same bits, say what they have decoded, and refuse what cannot be."""

import shutil

import jax
import numpy as np
import pytest
from PIL import Image

from effjax.errors import UserError
from effjax.recipes import schema
from effjax.recipes.train.costs import cost_table
from effjax.recipes.train.runs import TrainingExperiment
from effjax.runtime.writers import METRICS_FILE

REPLAY = ((0.0, (2, 3)), (0.75, 1))


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root = tmp_path_factory.mktemp("photos")
    for split, count in (("train", 14), ("validation", 4), ("test", 4)):
        for index in range(count):
            path = root / split / ("cat", "dog")[index % 2] / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng(index).integers(0, 256, (20 + index, 24, 3), np.uint8)
            Image.fromarray(pixels).save(path)
    return root


def run_of(**changes):
    run = schema.run(model={"name": "vit", "patch": 4, "dim": 6, "heads": 1, "blocks": 1}, batch_size=4, steps=16)
    run.update(evaluations=2, checkpoint_every=2, keep=9, log_every=2, steps_per_dispatch=1, reduction="loader")
    run.plans.update(image_size=((0.0, 8), (0.5, 12)), magnitude=((0.0, 1.0), (0.25, 5.0)))
    run.update(changes)
    return run


def config_of(photos):
    config = schema.experiment()
    config.data.update(name=f"folder:{photos}", dir=str(photos), image_size=12, on_device_mib=0)
    config.view.update(crop=0.2, crop_from="photo", flip=True, operations=1, mixup=0.8)
    config.eval_batch_size = 4
    config.runs.whole, config.runs.run = run_of(), run_of()
    config.runs.run.plans.replay = REPLAY
    return config


def test_a_run_goes_on_in_any_stage_with_the_same_bits_and_says_what_it_decoded(photos, tmp_path, monkeypatch):
    made = TrainingExperiment(config_of(photos).to_dict(), tmp_path / "whole")
    feed = made.runs["run"].job.feed
    assert feed.emptied == (0, 4, 8, 12)  # the magnitude makes no stage, and its buffer is another
    assert len(made.runs["run"].job.plan) == 3
    finished = {(one.name, one.seed): one for one in made.train()}
    whole = finished["run", 0]
    folder = whole.last.folder
    for kept in (6, 10):
        shutil.copytree(tmp_path / "whole", tmp_path / f"from {kept}")
        resumed = tmp_path / f"from {kept}" / folder.relative_to(tmp_path / "whole")
        for step in range(kept + 2, 18, 2):
            shutil.rmtree(resumed / "checkpoints" / str(step))
        monkeypatch.setattr(made, "workdir", tmp_path / f"from {kept}")
        again = {one.name: one for one in made.train()}["run"]
        jax.tree.map(np.testing.assert_array_equal, again.variables(), whole.variables())
        assert (resumed / METRICS_FILE).read_bytes() == (folder / METRICS_FILE).read_bytes()
    labels = {"whole": "all decoded", "run": "replay"}
    table = cost_table(made, finished, labels, "whole")
    assert table.headers[-1] == "images decoded"
    assert [row[-1] for row in table.rows] == ["64", str(12 * 2 + 4 * 4)]
    assert [row[1] for row in table.rows] == ["16", "16"]
    assert [row[2] for row in table.rows] == ["1.00", "1.00"]  # as much is trained on


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda config: config.data.update(on_device_mib=64) or config.view.update(crop_from="image"),
            "kept on the device",
        ),
        (
            lambda config: config.runs.run.update(batch_size=5, accumulate=1),
            "2 times do not divide config.runs.run.batch_",
        ),
        (
            lambda config: config.runs.run.update(record=True),
            "record=True notes each example of a step, and config.runs.run.plans.replay",
        ),
        (
            lambda config: config.runs.run.update(repeats=2),
            "repeats=2: a step shows each of its examples so often, and config.runs.run.plans.re",
        ),
        (
            lambda config: config.runs.run.plans.update(replay=((0.0, (0, 3)),)),
            r"plans.replay.*1, or how often an example",
        ),
        (lambda config: config.runs.run.plans.update(replay=((0.0, 2),)), r"plans.replay.*1, or how often an example"),
    ],
)
def test_what_cannot_be_is_refused(photos, tmp_path, change, message):
    config = config_of(photos)
    config.runs.run.reduction = config.runs.whole.reduction = "resize"
    change(config)
    with pytest.raises(UserError, match=message):
        TrainingExperiment(config.to_dict(), tmp_path / "work")
    assert not list(tmp_path.rglob("*/*"))
