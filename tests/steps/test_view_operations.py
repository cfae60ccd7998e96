"""Operations of a view: targets follow the pixels, by keys alone; what a user's own operation must say."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax.errors import UserError
from effjax.images import copy_paste
from effjax.images.targets import Boxes
from effjax.steps import CopyPaste, Crop, Erase, Flip, MixUp, Operation, RandAugment, Shift, View

SIZE, COUNT = (36, 48), 48
MOVES = {"boxes": "boxes", "centres": "points", "mask": "masks"}
VIEWS = {
    "flip": View(ops=(Flip(),), moves=MOVES),
    "shift": View(ops=(Shift(6),), moves=MOVES),
    "crop": View(ops=(Crop(0.4),), moves=MOVES),
    "augment": View(ops=(RandAugment(1, 9.0),), moves=MOVES),
    "several": View(ops=(Flip(), Shift(3), Crop(0.6), Erase(0.0)), moves=MOVES),
}


def batch():
    """A bright rectangle each, its box, its centre, its mask; and one box of padding."""
    rng = np.random.default_rng(0)
    image, boxes = np.zeros((COUNT, *SIZE, 1), np.uint8), np.full((COUNT, 2, 4), -1, np.float32)
    for i in range(COUNT):
        top, left, height, width = rng.integers((8, 10, 8, 10), (16, 22, 14, 18))
        image[i, top : top + height, left : left + width] = 255
        boxes[i, 0] = np.array([top, left, top + height, left + width]) / np.tile(SIZE, 2)
    centres = (boxes[:, :1, :2] + boxes[:, :1, 2:]) / 2
    valid = np.tile([True, False], (COUNT, 1))
    return {"image": image, "boxes": boxes, "centres": centres, "mask": image[..., 0] > 0, "valid": valid}


BATCH = batch()
KEYS = jax.random.split(jax.random.key(1), COUNT)


@pytest.fixture(scope="module", params=VIEWS)
def seen(request):
    view = VIEWS[request.param]
    return request.param, view, jax.tree.map(np.asarray, dict(jax.jit(view.see)(BATCH, KEYS)))


def is_moved(name, seen):
    """Of RandAugment only those examples that were warped: a tone may turn bright to dark."""
    by = np.abs(seen["boxes"][:, 0] - BATCH["boxes"][:, 0]).max(-1)
    return by > 1e-3 if name == "augment" else np.ones(COUNT, bool)


def test_boxes_points_and_masks_are_where_the_bright_pixels_are(seen):
    name, _, seen = seen
    moved = is_moved(name, seen)
    assert moved.sum() >= 4
    for i in np.flatnonzero(moved):
        bright = seen["image"][i, ..., 0] > 0.55
        if not seen["valid"][i, 0]:
            assert bright.mean() < 0.1 * (BATCH["image"][i] > 0).mean() + 0.01
            continue
        rows, columns = np.nonzero(bright)
        around = np.array([rows.min(), columns.min(), rows.max() + 1, columns.max() + 1])
        np.testing.assert_allclose(seen["boxes"][i, 0] * np.tile(SIZE, 2), around, atol=1.05)
        assert (seen["mask"][i] != bright).sum() <= 2 * (np.ptp(rows) + np.ptp(columns))
        if (around[:2] > 0).all() and (around[2:] < SIZE).all():  # nothing was cut off
            centre = np.array([rows.mean() + 0.5, columns.mean() + 0.5])
            np.testing.assert_allclose(seen["centres"][i, 0] * SIZE, centre, atol=1)


def test_targets_move_and_padding_does_not(seen):
    name, _, seen = seen
    assert (seen["boxes"][:, 0] != BATCH["boxes"][:, 0]).any()
    np.testing.assert_array_equal(seen["boxes"][:, 1], -1)
    assert not seen["valid"][:, 1].any()
    if name in ("flip", "shift"):  # no pixel is invented
        np.testing.assert_array_equal(seen["mask"], seen["image"][..., 0] > 0.5)


def test_compiled_or_not_and_wherever_in_the_batch(seen):
    _, view, seen = seen
    order = np.random.default_rng(1).permutation(COUNT)[:3]
    again = view.see({name: array[order] for name, array in BATCH.items()}, KEYS[order])
    assert set(again) == set(BATCH)
    for name, array in again.items():
        if name != "mask":
            np.testing.assert_allclose(array, seen[name][order], atol=1e-4, err_msg=name)
    assert (np.asarray(again["mask"]) != seen["mask"][order]).mean() < 0.01  # a pixel may lie between two


def test_images_are_the_same_with_and_without_targets(seen):
    _, view, seen = seen
    alone = jax.jit(dataclasses.replace(view, moves={}).see)(BATCH, KEYS)
    np.testing.assert_array_equal(alone["image"], seen["image"])
    for name in ("boxes", "centres", "mask", "valid"):
        np.testing.assert_array_equal(alone[name], BATCH[name])


def test_without_keys_targets_stay():
    found = VIEWS["several"].see(BATCH)
    np.testing.assert_array_equal(found["boxes"], BATCH["boxes"])
    np.testing.assert_allclose(found["image"], BATCH["image"] / 255.0)
    assert VIEWS["several"].see({"points": jnp.ones((2, 3))}, KEYS).keys() == {"points"}


def test_an_operation_that_comes_again_draws_again():
    image = np.zeros((200, 9, 9, 1), np.uint8)
    image[:, 4, 4] = 255
    seen = View(ops=(Shift(1), Shift(1))).see({"image": image}, jax.random.split(jax.random.key(0), 200))
    rows = np.argwhere(np.asarray(seen["image"])[..., 0])[:, 1]
    assert set(rows.tolist()) == {2, 3, 4, 5, 6}  # by the same draw twice, 2, 4 and 6 alone


def test_an_operation_of_ones_own_may_look_at_targets():
    @dataclasses.dataclass(frozen=True)
    class Blank(Operation):
        """Blanks what lies left of the first box."""

        number, scale = 77, "unit"

        def __call__(self, keys, batch, moves, step=0):
            left = (jnp.arange(SIZE[1]) + 0.5) / SIZE[1] < batch["boxes"][:, :1, 1]
            return {**batch, "image": jnp.where(left[:, None, :, None], 0.5, batch["image"])}

    found = View(ops=(Flip(), Blank()), moves={"boxes": Boxes()}).see(BATCH, KEYS)
    for image, box in zip(np.asarray(found["image"])[..., 0], np.asarray(found["boxes"])[:, 0], strict=True):
        left = round(float(box[1]) * SIZE[1])
        assert (image[:, :left] == 0.5).all()
        assert image[:, left].max() == 1


def test_objects_are_pasted_with_all_that_is_known_of_them():
    fields = {"objects/bbox": BATCH["boxes"], "objects/valid": BATCH["valid"], "id": np.arange(COUNT)}
    labels = np.where(BATCH["valid"], np.arange(COUNT)[:, None], -1)
    crowd = np.zeros((COUNT, 2), bool)
    batch = {"image": BATCH["image"], **fields, "objects/label": labels, "objects/is_crowd": crowd}
    view = View(ops=(CopyPaste(1.0),), moves={"objects/bbox": Boxes("objects/valid")})
    seen = jax.jit(view.see)(batch, KEYS)
    came = np.asarray(seen["objects/valid"]).sum(1) == 2
    assert came.sum() > COUNT / 3
    for i in np.flatnonzero(came):  # its own first
        assert seen["objects/label"][i].tolist() == [i, i ^ 1]
        np.testing.assert_array_equal(seen["objects/bbox"][i], BATCH["boxes"][[i, i ^ 1], 0])
    np.testing.assert_array_equal(seen["id"], batch["id"])
    assert seen["objects/is_crowd"].dtype == bool
    keys = jax.vmap(jax.random.fold_in, (0, None))(KEYS, CopyPaste.number)
    pixels = copy_paste(
        keys, batch["image"] / np.float32(255), fields["objects/bbox"], fields["objects/valid"], probability=1.0
    )[0]
    np.testing.assert_array_equal(seen["image"], pixels)


def test_an_image_by_itself_is_seen_without_its_neighbours():
    view = View(ops=(Flip(), CopyPaste()), moves={"boxes": "boxes"})
    assert view.of_one() == dataclasses.replace(view, ops=(Flip(),))
    with pytest.raises(UserError, match="no versions that come again with mixup, cutmix, copy_paste"):
        View(ops=(CopyPaste(),), replays=3)


def test_what_cannot_be_is_refused():
    with pytest.raises(UserError, match=r"Crop\(least=0.08\) reads pixels in \[0, 1\], so it must come before Erase"):
        View(ops=(Erase(), Flip(), Crop()))
    with pytest.raises(UserError, match=r"view\.moves\.boxes='box'.*did you mean 'boxes'"):
        View(moves={"boxes": "box"})
    with pytest.raises(UserError, match="not boxes"):
        View(mix=(MixUp(),), moves={"boxes": "boxes"})
    with pytest.raises(UserError, match=r"view\.mix has 3 entries"):
        View(mix=(MixUp(), MixUp(), MixUp()))
