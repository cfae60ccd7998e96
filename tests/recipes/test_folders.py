"""Experiments on folders of photos: what is drawn, what is refused, what is said before anything is trained."""

import json
import logging
import shutil

import numpy as np
import pytest
import small_configs
from PIL import Image

from effjax.errors import UserError
from effjax.recipes import find_recipe, schema
from effjax.recipes.build.datasets import open_datasets
from effjax.recipes.build.folders import contents, drawn, with_test
from effjax.recipes.build.trained import TrainedRun


def paint(path, number: int, mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)


def classes(root, count=20, start=0):
    for label, name in enumerate(("cat", "dog")):
        for i in range(count):
            paint(root / name / f"{i}.png", start + 1000 * label + i)
    return root


def splits(root):
    for start, split in enumerate(("train", "validation", "test")):
        classes(root / split, 8, 100 * start)
    return root


def experiment(root, tmp_path, **data) -> dict:
    config = small_configs.plain().to_dict()
    config["data"].update(name=f"folder:{root}", dir=str(tmp_path / "data"), **data)
    config["eval_batch_size"] = 16
    config["runs"] = {"student": config["runs"]["student"]}
    return config


def refused(config: dict) -> str:
    with pytest.raises(UserError) as error:
        open_datasets(config)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_folder_without_splits_trains_and_its_division_makes_the_run(tmp_path):
    config = experiment(classes(tmp_path / "photos"), tmp_path)
    workdir = tmp_path / "run"
    summary = find_recipe(config)(config, workdir)
    trained = TrainedRun.open(workdir / "student" / "seed_0")
    assert trained.identity["data"]["split"] == [80, 10, 10]
    assert len(trained.source("test", config["data"]["dir"])) == 4
    assert find_recipe(config)(config, workdir) == summary
    config["data"]["split"] = (60, 20, 20)
    with pytest.raises(UserError, match="split"):
        find_recipe(config)(config, workdir)


def test_answers_of_a_folder_are_of_its_files(tmp_path):
    """One file added and another removed: as many, but other photos under the same ids."""
    root = splits(tmp_path / "photos")
    config = experiment(root, tmp_path)
    before = contents(open_datasets(config).train)
    assert contents(open_datasets(config).train) == before
    (root / "train" / "cat" / "0.png").unlink()
    paint(root / "train" / "cat" / "00.png", 77)
    assert contents(open_datasets(config).train) != before


def test_folders_with_splits_are_what_they_were(tmp_path):
    data = schema.experiment().data.to_dict()
    root = splits(tmp_path / "photos")
    assert drawn({**data, "name": "digits", "train": "train[:50%]"}) == {}
    assert drawn({**data, "name": f"folder:{root}"}) == {}
    assert drawn({**data, "name": f"folder:{root}", "split": (1, 1, 1)}) == {}
    # Such a part was one stretch of files once: other examples.
    assert drawn({**data, "name": f"folder:{root}", "train": "train[:50%]"}) == {"parts": "of every class"}
    flat = classes(tmp_path / "flat")
    assert drawn({**data, "name": f"folder:{flat}"}) == {"split": (80, 10, 10)}
    assert drawn({**data, "name": f"folder:{root}", "also": {"more": f"folder:{flat}"}}) == {"split": (80, 10, 10)}


@pytest.mark.parametrize(
    "split",
    [
        (80, 10),
        (0, 0, 0),
        (-1, 1, 1),
        (float("nan"), 1, 1),
        (float("inf"), 1, 1),
        80,
        "80/10/10",
        (),
        (True, 1, 1),
        None,
    ],
)
def test_shares_that_cannot_be_are_refused(tmp_path, split):
    root = splits(tmp_path / "photos")
    assert "config.data.split=" in refused(experiment(root, tmp_path, split=split))


def test_one_class_is_refused(tmp_path):
    root = classes(tmp_path / "photos")
    shutil.rmtree(root / "dog")
    assert "has one class only (cat)" in refused(experiment(root, tmp_path))
    root = classes(tmp_path / "photos")
    together = (("both", ("cat", "dog")),)
    assert "has one class only (both)" in refused(experiment(root, tmp_path, classes=together))


def test_a_class_without_images_to_train_on_is_refused(tmp_path):
    root = splits(tmp_path / "photos")
    assert "config.data.train='train[:1]' has no image of " in refused(experiment(root, tmp_path, train="train[:1]"))


def test_colours_that_differ_between_splits_are_refused(tmp_path):
    root = splits(tmp_path / "photos")
    for name in ("cat", "dog"):
        for i in range(8):
            paint(root / "train" / name / f"{i}.png", i, "L")
    assert "images of train are grey, those of validation in colour" in refused(experiment(root, tmp_path))


def test_images_that_are_trained_on_and_measured_by_are_said(tmp_path, caplog):
    root = splits(tmp_path / "photos")
    with caplog.at_level(logging.WARNING):
        open_datasets(experiment(root, tmp_path))
    assert not caplog.records
    shutil.copy(root / "train" / "cat" / "3.png", root / "test" / "dog" / "copy.png")
    with caplog.at_level(logging.WARNING):
        open_datasets(experiment(root, tmp_path))
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith("1 of the images of train are in test too")
    assert said.endswith("train/cat/3.png = test/dog/copy.png")


def test_parts_that_overlap_are_said_of_any_dataset(tmp_path, data_dir, caplog):
    config = experiment(tmp_path, tmp_path, train="train[:60]", validation="train[50:70]", test="test[:10]")
    config["data"].update(name="digits", dir=str(data_dir))
    with caplog.at_level(logging.WARNING):
        open_datasets(config)
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith("10 of the images of train are in validation too")
    assert "example 50, example 51" in said


def labelling(root, tmp_path, **data) -> dict:
    config = small_configs.active().to_dict()
    config["data"].update(name=f"folder:{root}", dir=str(tmp_path / "data"), train="train", image_size=8)
    config["data"].update(pool=str(tmp_path / "pool"), **data)
    config["active"].update(oracle="folder")
    return config


def test_people_who_label_need_no_test_split(tmp_path, caplog):
    root = splits(tmp_path / "photos")
    classes(tmp_path / "pool", 5, 700)
    config = labelling(root, tmp_path)
    assert with_test(config) == config
    for split in ("test", "train"):
        shutil.rmtree(root / split)
    with caplog.at_level(logging.INFO, logger="effjax"):
        config = with_test(config)
    assert "has no test split: the report is of validation" in caplog.text
    assert config["data"]["test"] == "validation"
    datasets = open_datasets(config)
    assert [len(source) for source in (datasets.train, datasets.validation, datasets.test)] == [10, 16, 16]
    with pytest.raises(UserError, match="no split 'tset'"):
        open_datasets(with_test(labelling(root, tmp_path, test="tset")))


def test_labelled_photos_beside_a_pool_all_measure(tmp_path, caplog):
    root = classes(tmp_path / "photos")
    classes(tmp_path / "pool", 5, 700)
    shutil.copy(root / "cat" / "3.png", tmp_path / "pool" / "copy.png")
    config = labelling(root, tmp_path)
    with caplog.at_level(logging.WARNING):
        datasets = open_datasets(with_test(config))
    assert [len(source) for source in (datasets.validation, datasets.test)] == [20, 20]
    assert drawn(config["data"]) == {"split": (0, 10, 10)}
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith("1 of the images of train are in")
    assert said.endswith("copy.png = cat/3.png")
    alone = with_test(labelling(root, tmp_path, split=(0, 100, 0)))
    assert alone["data"]["test"] == "validation"
    assert len(open_datasets(alone).validation) == 40
    assert json.dumps(drawn(alone["data"])) == '{"split": [0, 100, 0]}'
