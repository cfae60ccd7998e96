"""Runs that see random parts of photos: they go on with the same bits, and what cannot be is refused before."""

import dataclasses
import shutil

import jax
import numpy as np
import pytest
import skimage.data
from data.coco_files_here import write_plain
from PIL import Image

from effjax.data.base import Subset
from effjax.data.feeds import StreamFeed
from effjax.data.photo_crops import PhotoCrops
from effjax.data.sources import load
from effjax.errors import UserError
from effjax.recipes import schema
from effjax.recipes.build.datasets import _crops
from effjax.recipes.build.trained import TrainedRun
from effjax.recipes.build.views import view_of
from effjax.recipes.train.runs import TrainingExperiment
from effjax.runtime.writers import METRICS_FILE
from effjax.steps import Crop
from effjax.tasks import find_task


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder of JPEGs of two classes, each of another size."""
    root = tmp_path_factory.mktemp("photos")
    for split, count in (("train", 12), ("validation", 4), ("test", 4)):
        for index in range(count):
            label, picture = ("cat", "chelsea") if index % 2 else ("coffee", "coffee")
            path = root / split / label / f"{index}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            image = Image.fromarray(getattr(skimage.data, picture)())
            image.resize((41 + 9 * index, 90 - 4 * index)).transpose(index % 2).save(path)
    return root


def config_of(photos, **view):
    config = schema.experiment()
    config.data.update(name=f"folder:{photos}", dir=str(photos), image_size=16, crop_pct=0.8)
    config.view.update({"crop": 0.2, "crop_from": "photo", "flip": True, **view})
    config.eval_batch_size = 4
    run = schema.run(model={"name": "vit", "patch": 4, "dim": 6, "heads": 1, "blocks": 1}, batch_size=4, steps=8)
    run.update(evaluations=2, checkpoint_every=2, keep=9, log_every=2, steps_per_dispatch=1, reduction="loader")
    run.plans.image_size = ((0.0, 12), (0.5, 16))
    config.runs.run = run
    return config


def test_a_run_goes_on_in_any_stage_with_the_same_bits(photos, tmp_path, monkeypatch):
    made = TrainingExperiment(config_of(photos).to_dict(), tmp_path / "whole")
    feed = made.runs["run"].job.feed
    assert isinstance(feed, StreamFeed)  # however small the set is
    assert feed.crops == PhotoCrops(0.2)
    (whole,) = made.train()
    folder = whole.last.folder
    for kept in (2, 4, 6):
        shutil.copytree(tmp_path / "whole", tmp_path / f"from {kept}")
        resumed = tmp_path / f"from {kept}" / folder.relative_to(tmp_path / "whole")
        for step in range(kept + 2, 10, 2):
            shutil.rmtree(resumed / "checkpoints" / str(step))
        monkeypatch.setattr(made, "workdir", tmp_path / f"from {kept}")
        (again,) = made.train()
        jax.tree.map(np.testing.assert_array_equal, again.variables(), whole.variables())
        assert (resumed / METRICS_FILE).read_bytes() == (folder / METRICS_FILE).read_bytes()
    identity = TrainedRun.open(folder).identity
    assert identity["view"]["crop_from"] == "photo"
    assert identity["data"]["crop_pct"] == 0.8
    other = TrainingExperiment(config_of(photos, resampler="simd").to_dict(), tmp_path / "whole")
    with pytest.raises(UserError, match=r"view\.resampler"):
        list(other.train())
    opened = TrainedRun.open(folder).source("test", str(photos))  # as evaluation saw it
    np.testing.assert_array_equal(opened[1]["image"], made.datasets.test[1]["image"])


def test_photos_are_cut_by_the_loader_or_what_is_decoded_on_the_device():
    assert view_of({"crop": 0.3}).ops == (Crop(0.3),)
    assert view_of({"crop": 0.3, "crop_from": "photo"}).ops == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda config: config.view.update(crop=0.0), r"crop_from='photo': nothing is cut with config.view.crop=0.0"),
        (lambda config: config.data.update(image_size=0), r"crop_from='photo': say config.data.image_size"),
        (lambda config: config.data.update(image_size=0), r"crop_pct=0.8: say config.data.image_size"),
        (
            lambda config: config.view.update(crop_from="image", resampler="simd"),
            r"resampler='simd' is for parts of photos: use crop_from='photo'",
        ),
        (lambda config: config.view.update(resampler="smid"), r"resampler='smid'.*did you mean 'simd'"),
        (lambda config: config.view.update(replays=2), r"crop_from='photo': .*config.view.replays must be 0"),
        (
            lambda config: config.update(seeds_together=True, num_seeds=2),
            r"crop_from='photo': networks that train toge",
        ),
        (
            lambda config: config.runs.run.teachers.update(
                teacher=schema.teacher_of_run("other", cached="float32"),
            ),
            r"teachers.teacher.cached='float32', but with config.view.crop_from='photo' every step sees another part",
        ),
    ],
)
def test_what_cannot_be_is_refused(photos, tmp_path, change, message):
    config = config_of(photos)
    config.runs.other = config.runs.run.copy_and_resolve_references()
    config.runs.run.terms = {"soft_target": {"weight": 1.0}} if "cached" in message else config.runs.run.terms
    change(config)
    with pytest.raises(UserError, match=message):
        TrainingExperiment(config.to_dict(), tmp_path / "work")
    assert not list(tmp_path.rglob("*/*"))  # nothing is written


def test_targets_that_would_not_follow_are_refused(photos, tmp_path):
    view, task, folder = (
        {"crop": 0.08, "crop_from": "photo", "resampler": "pillow"},
        find_task("detection"),
        load(f"folder:{photos}", "train", image_size=9),
    )
    with pytest.raises(
        UserError, match=r"'objects/bbox' of the task 'detection' would not follow in 'folder:/.*'; use 'i"
    ):
        _crops(view, (folder,), task)
    write_plain(tmp_path)
    boxes = load(f"coco:{tmp_path}", "all", image_size=16, padded={"objects": 3})
    assert _crops(view, (boxes,), task) == PhotoCrops(0.08, box_least=0.25)
    assert _crops({**view, "resampler": "simd"}, (boxes,), task).resampler == "simd"
    points = dataclasses.replace(task, moves={**task.moves, "objects/label": "points"})
    with pytest.raises(UserError, match="'objects/label' of the task 'detection' would not follow in 'coco:/"):
        _crops(view, (Subset(boxes, [1]),), points)
    boxes = load(f"coco:{tmp_path}", "all", image_size=16, padded={"objects": 2})  # as many as its centre squares show
    with pytest.raises(
        UserError, match=r"padded.objects=2: b.png has 3 boxes: make room for those of the fullest image, of"
    ):
        _crops(view, (boxes,), task)
