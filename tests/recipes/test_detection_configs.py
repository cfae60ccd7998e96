"""The published detectors' configs: at full size as shapes, and two real steps on a few small images."""

import importlib
import io
import json

import jax
import numpy as np
import pytest
from data.coco_files_here import write_official
from models.goldens.random_weights import random_weights
from PIL import Image
from processes import REPOSITORY
from safetensors.numpy import save_file

from effjax.data.photo_crops import PhotoCrops
from effjax.data.prepare import prepare
from effjax.data.sources import dataset_and_split
from effjax.errors import UserError
from effjax.recipes.build.start import start_from
from effjax.recipes.train.runs import TrainingExperiment
from effjax.steps import make_train_step

LEVELS = sum((512 // stride) ** 2 for stride in (8, 16, 32, 64, 128))


@pytest.fixture(scope="module")
def coco(tmp_path_factory):
    write_official(root := tmp_path_factory.mktemp("coco"))
    return root


def drawn(rows, bbox):
    """Photos with a box or two, as VOC's builder yields them."""
    for row in rows:
        rng = np.random.default_rng(row)
        image = rng.integers(0, 256, (40 + row, 60, 3), dtype=np.uint8)
        file = io.BytesIO()
        Image.fromarray(image).save(file, "jpeg")
        objects = [
            {"label": name, "bbox": bbox, "pose": "left", "is_truncated": False, "is_difficult": False}
            for name in ("cat", "dog")[: 1 + row % 2]
        ]
        names = [one["label"] for one in objects]
        yield row, {
            "image": file.getvalue(), "image/filename": f"{row}.jpg", "objects": objects,
            "labels": names, "labels_no_difficult": names,
        }  # fmt: skip


@pytest.fixture(scope="module")
def voc(tmp_path_factory):
    """TFDS' own datasets, of a few photos that are drawn here instead of downloaded ones."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.object_detection.voc import Voc

    def few(self, dl_manager):
        splits = ("train", "validation", "test") if self.builder_config.name == "2007" else ("train", "validation")
        return {split: drawn(range(5 * i, 5 * i + 5), bbox) for i, split in enumerate(splits)}

    bbox = tfds.features.BBox(ymin=0.1, xmin=0.2, ymax=0.8, xmax=0.7)
    root = tmp_path_factory.mktemp("voc")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Voc, "_split_generators", few)
        for year in ("2007", "2012"):
            prepare(f"voc/{year}", root, download=True)
    return root


def config_of(name, variant, coco, voc):
    config = importlib.import_module(f"configs.detection.{name}").get_config(variant)
    if name == "coco":
        config.data.update(name=f"coco:{coco}", train="train", validation="train[:40%]", dir=str(coco))
    else:
        config.data.dir = str(voc)
    config.data.num_workers = 0
    return config


@pytest.mark.parametrize(("name", "classes", "variant"), [("coco", 3, "bf16"), ("voc", 20, "")])
def test_full_size_as_shapes(name, classes, variant, coco, voc, tmp_path):
    experiment = TrainingExperiment(config_of(name, variant, coco, voc).to_dict(), tmp_path)
    assembled = experiment.runs["fcos"]
    job, state = assembled.job, jax.eval_shape(assembled.init, np.uint32(0))
    one = job.feed.example()
    batch = {key: jax.ShapeDtypeStruct((16, *array.shape[1:]), array.dtype) for key, array in one.items()}
    assert batch["image"].shape == (16, 512, 512, 3)
    after, metrics = jax.eval_shape(make_train_step(job.objective, job.optimizer), state, batch)
    assert jax.tree.map(np.shape, after) == jax.tree.map(np.shape, state)
    assert {"loss", "loss/quality_focal", "loss/box_giou"} <= set(metrics)
    variables = {"params": state.params["student"], **state.model_state}
    images = jax.ShapeDtypeStruct((2, 512, 512, 3), np.float32)
    preds = jax.eval_shape(job.objective.student.apply, variables, images).preds
    assert preds["logits"].shape == (2, LEVELS, classes)
    assert preds["logits"].dtype == np.float32
    # ResNet-50's own 23.5 million, the pyramid and the head.
    count = sum(np.prod(x.shape) for x in jax.tree.leaves(variables["params"]["backbone"]))
    assert count == 23_508_032
    assert len(jax.tree.leaves(variables["params"])) > 200


@pytest.mark.parametrize(("name", "crop_from"), [("coco", "image"), ("coco", "photo"), ("voc", "image")])
def test_two_real_steps_of_a_small_one(name, crop_from, coco, voc, tmp_path):
    config = config_of(name, "", coco, voc)
    if crop_from == "photo":
        config.view.update(crop=0.3, crop_from="photo")
    run, config.data.image_size, config.eval_batch_size = config.runs.fcos, 64, 2
    run.steps, run.batch_size, run.evaluations = 2, 2, 1
    run.model.update(backbone="resnet18", width=0.125, channels=8, convs=1)
    (done,) = TrainingExperiment(config.to_dict(), tmp_path).train()
    if crop_from == "photo":
        assert done.assembled.job.feed.crops == PhotoCrops(0.3, box_least=0.25)
    lines = [json.loads(line) for line in (done.folder / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == 2
    assert all(np.isfinite(line["train/loss"]) for line in lines if "train/loss" in line)
    assert {"validation/map", "validation/ap50"} <= set().union(*lines)
    seen = {
        int(row)
        for step in range(30)
        for row in done.assembled.job.feed.sampler(
            {"data": run.plans.data[0][1]} if "data" in run.plans else {}, 0
        ).rows(step)
    }
    assert len(seen) == {"coco": 5, "voc": 5 + 4 + 5 + 5}[name]  # a fifth of 2007's validation images choose


def test_another_set_may_say_which_split_it_is_of():
    found = [dataset_and_split(f"voc/2012{split}", "train") for split in ("", "@validation", "@validation[20%:]")]
    assert found == [("voc/2012", split) for split in ("train", "validation", "validation[20%:]")]
    assert dataset_and_split("folder:/home/me@work/photos", "train") == ("folder:/home/me@work/photos", "train")


def test_schedules_are_those_that_are_published():
    from configs.detection import coco as of_coco
    from configs.detection import voc as of_voc

    run = of_coco.get_config().runs.fcos
    assert (run.steps, run.batch_size, run.optimizer.learning_rate) == (90_000, 16, 0.01)
    assert [round(share * run.steps) for share in run.schedule.boundaries] == [60_000, 80_000]
    assert round(run.schedule.warmup * run.steps) == 500
    assert of_voc.get_config().runs.fcos.steps == 12_036


def small_detector(coco, init):
    config = config_of("coco", "", coco, None)
    config.data.image_size = 64
    config.runs.fcos.model.update(backbone="resnet18", channels=8, convs=1)
    config.runs.fcos.init = str(init)
    return config.to_dict()


def test_a_backbone_starts_from_weights_for_imagenet(coco, tmp_path):
    path = REPOSITORY / "tests" / "models" / "goldens" / "resnets.npz"
    rows = [row.split() for row in np.load(path)["resnet18/shapes"]]
    weights = random_weights({name: tuple(map(int, shape)) for name, *shape in rows})
    save_file(weights, tmp_path / "w.safetensors")
    experiment = TrainingExperiment(small_detector(coco, tmp_path / "w.safetensors"), tmp_path / "runs")
    assembled = experiment.runs["fcos"]
    shapes = jax.eval_shape(assembled.init, np.uint32(0))
    zeros = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)
    state, sha = start_from(zeros, assembled, experiment.datasets, "config.runs.fcos")
    params = dict(state.params["student"])
    backbone = params.pop("backbone")
    np.testing.assert_array_equal(backbone["stem_conv"]["kernel"], weights["conv1.weight"].transpose(2, 3, 1, 0))
    assert len(sha) == 64
    assert not any(leaf.any() for leaf in jax.tree.leaves(params))  # the pyramid and the head, as they were
    means = state.model_state["batch_stats"]["backbone"]["stem_norm"]["mean"]
    np.testing.assert_array_equal(means, weights["bn1.running_mean"])


def test_a_backbone_that_the_weights_are_not_of_is_refused(coco, tmp_path):
    config = small_detector(coco, "shipped")
    with pytest.raises(UserError, match=r"config\.runs\.fcos: no package has weights of 'resnet18'"):
        TrainingExperiment(config, tmp_path)
