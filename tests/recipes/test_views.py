"""A config's flags still say what they said before views were made of operations; further views."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small_configs

from effjax.errors import UserError
from effjax.recipes.build.views import view_of, words_of
from effjax.recipes.schema.cross import cross_problems
from effjax.recipes.train.runs import TrainingExperiment
from effjax.steps import Crop, CutMix, Erase, Flip, MixUp, RandAugment, Shift, View

# Recorded of these flags, images and keys before there were operations.
GOLDENS = np.load(Path(__file__).parent / "goldens" / "views.npz")
IMAGES = np.random.default_rng(0).integers(0, 256, (4, 7, 6, 3), dtype=np.uint8)
KEYS = jax.random.split(jax.random.key(3), 4)
FLAGS = {
    "shift": {"shift": 2},
    "flip": {"flip": True},
    "crop": {"crop": 0.08},
    "operations": {"operations": 2, "magnitude": 7.0},
    "erasing": {"erasing": 0.5},
}
TOGETHER = {name: value for flags in FLAGS.values() for name, value in flags.items()}


@pytest.mark.parametrize(("name", "flags"), [*FLAGS.items(), ("together", TOGETHER)])
def test_images_are_as_they_were(name, flags):
    view = view_of({"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4], **flags})
    seen = jax.jit(view.see)({"image": IMAGES, "label": jnp.arange(4)}, KEYS, 4)
    np.testing.assert_allclose(seen["image"], GOLDENS[name], atol=1e-6)
    np.testing.assert_array_equal(seen["label"], np.arange(4))


@pytest.mark.parametrize("flags", [{"mixup": 0.8}, {"cutmix": 1.0}, {"mixup": 0.8, "cutmix": 1.0}])
def test_mixtures_are_as_they_were(flags):
    name = "both" if len(flags) == 2 else next(iter(flags))
    for step in (1, 2):  # of these, one mixes by either form
        found = view_of(flags).mixed(KEYS, jax.random.key(step), jnp.asarray(IMAGES, jnp.float32) / 255, jnp.eye(4))
        for part, expected in zip(found, (f"{name}{step}", f"{name}{step}/labels"), strict=True):
            np.testing.assert_allclose(part, GOLDENS[expected], atol=1e-6)


def test_versions_are_as_they_were():
    keys, versions = view_of({"shift": 2, "replays": 3}).draw(7, 5, np.arange(6))
    np.testing.assert_array_equal(versions, GOLDENS["versions"])
    np.testing.assert_array_equal(jax.random.key_data(keys), GOLDENS["version_keys"])


def test_flags_become_operations_and_what_is_off_none():
    assert view_of({"mean": [0.5], "std": [0.25]}) == View(mean=(0.5,), std=(0.25,))
    view = view_of({**TOGETHER, "mixup": 0.8, "cutmix": 1.0})
    assert view.ops == (Flip(), Shift(2), Crop(0.08), RandAugment(2, 7.0), Erase(0.5))
    assert view.mix == (MixUp(0.8), CutMix(1.0))
    assert view_of({"magnitude": 3.0}) == View()


def test_stored_answers_are_found_by_the_words_that_they_were_stored_by():
    old = (
        "View(mean=(0.5,), std=(0.25,), shift=2, flip=True, crop=0.0, operations=0, magnitude=9.0, erasing=0.0, "
        "mixup=0.0, cutmix=0.0, size=None, reduction='frequency', replays=4)"
    )
    assert words_of(view_of({"mean": [0.5], "std": [0.25], "shift": 2, "flip": True, "replays": 4})) == old
    # What no flags say is told apart.
    others = [View(ops=(Shift(2), Flip())), View(ops=(Flip(), Shift(2))), View(moves={"boxes": "boxes"}), View()]
    assert len({words_of(view) for view in others}) == 4


def with_strong(data_dir):
    config = small_configs.plain()
    config.data.update(train="train[:64]", validation="validation[:32]", test="test[:32]", dir=str(data_dir))
    config.eval_batch_size = 32
    config.view.update(mean=(0.5,), std=(0.25,), shift=2, replays=2)
    config.views.strong = {"shift": 0, "erasing": 1.0}
    config.runs.distilled.terms.strong = {"kind": "soft_target", "view": "strong"}
    return config


def test_a_further_view_is_the_first_with_what_differs(data_dir, tmp_path):
    experiment = TrainingExperiment(with_strong(data_dir).to_dict(), tmp_path)
    objective = experiment.runs["distilled"].job.objective
    assert objective.view.ops == (Shift(2),)
    assert objective.views["strong"] == View(mean=(0.5,), std=(0.25,), ops=(Erase(1.0),))
    assert objective.terms["strong"].view == "strong"
    # A run that stopped goes on with the very same views alone.
    *_, done = TrainingExperiment(with_strong(data_dir).to_dict(), tmp_path, ["distilled"]).train()
    assert done.last.identity["views"] == {"strong": {"shift": 0, "erasing": 1.0}}
    other = with_strong(data_dir)
    other.views.strong.erasing = 0.5
    with pytest.raises(UserError, match=r"views\.strong\.erasing"):
        list(TrainingExperiment(other.to_dict(), tmp_path, ["distilled"]).train())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.views.strong.update(shft=1), r"config\.views\.strong\.shft is not a key; .*'shift'"),
        (lambda c: c.views.strong.update(replays=1), r"config\.views\.strong\.replays is not a key"),
        (lambda c: c.views.strong.update(shift=-1), r"config\.views\.strong\.shift=-1 must be a whole number"),
        (lambda c: c.runs.distilled.terms.strong.update(view="strng"), r"terms\.strong: no view 'strng'"),
        (
            lambda c: c.runs.distilled.teachers.teacher.update(cached="float16"),
            r"terms\.strong\.view='strong': the answers of the teacher 'teacher' are stored",
        ),
    ],
)
def test_further_views_that_cannot_be(data_dir, tmp_path, change, message):
    config = with_strong(data_dir)
    change(config)
    with pytest.raises(UserError, match=message):
        TrainingExperiment(config.to_dict(), tmp_path)


def test_a_further_view_cuts_no_other_part_of_a_photo():
    config = small_configs.plain().to_dict()
    config["view"].update(crop=0.08, crop_from="photo")
    config["data"]["image_size"], config["views"] = 24, {"strong": {"crop": 0.5}}
    assert list(cross_problems(config)) == [
        "config.views.strong.crop=0.5: photos are cut once, as they are decoded, for all views"
    ]
