"""A config's flags still say what they said before views were made of operations."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax.recipes.build.views import view_of, words_of
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
