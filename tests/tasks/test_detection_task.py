"""The task of boxes: detections, what is measured of them, what can be doubted, and how it is found again."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from boxes.references import overlap, random_boxes, suppressed
from metrics.coco_sets import FIELDS, random_set

from effjax import boxes
from effjax.metrics import AveragePrecision
from effjax.models import Outputs
from effjax.steps import Crop, Flip, Network, Shift, View, make_predictions
from effjax.tasks import DETECTION, detection
from effjax.tasks.detection import detections

PLACES, CLASSES = 40, 3


@pytest.fixture(scope="module")
def drawn():
    """Predictions of 3 images and their detections; compiled once."""
    rng = np.random.default_rng(0)
    preds = {
        "logits": rng.normal(-1, 2, (3, PLACES, CLASSES)).astype(np.float32),
        "boxes": (1.2 * random_boxes(rng, 3, PLACES) - 0.1).astype(np.float32),  # some reach out of the image
    }
    return preds, jax.tree.map(np.asarray, jax.jit(detections)(preds))


def test_detections_are_the_best_without_doubles(drawn):
    preds, found = drawn
    most = PLACES // 4
    assert {name: array.shape for name, array in found.items()} == {
        "boxes": (3, most, 4),
        **dict.fromkeys(("scores", "classes", "place", "present"), (3, most)),
    }
    for i in range(3):
        probs = 1 / (1 + np.exp(-preds["logits"][i].astype(float)))
        order = np.argsort(-probs.ravel(), kind="stable")[: 3 * most]
        place, kind = order // CLASSES, order % CLASSES
        clipped = np.clip(preds["boxes"][i], 0, 1)
        kept = suppressed(clipped[place], probs[place, kind], 0.6, kind)[:most]
        there = found["present"][i]
        assert there.sum() == len(kept)
        assert there[: len(kept)].all()
        np.testing.assert_array_equal(found["place"][i][there], place[kept])
        np.testing.assert_array_equal(found["classes"][i][there], kind[kept])
        np.testing.assert_allclose(found["scores"][i][there], probs[place, kind][kept], atol=1e-6)
        np.testing.assert_allclose(found["boxes"][i][there], clipped[place][kept])
        assert (np.diff(found["scores"][i][there]) <= 0).all()


def test_a_place_may_show_two_classes_and_two_places_one_box_each_once():
    box, other = [0.1, 0.1, 0.5, 0.5], [0.6, 0.6, 0.9, 0.9]
    preds = {
        "logits": np.array([[[3, 2, -9], [2.5, -9, -9], [1, -9, -9]] + [[-9, -9, -9]] * 9], np.float32),
        "boxes": np.array([[box, box, other] + [[0, 0, 1, 1.0]] * 9], np.float32),
    }
    found = jax.tree.map(lambda x: np.asarray(x)[0], detections(preds))
    assert found["place"].tolist() == [0, 0, 2]  # the second place's box is a double of the first's
    assert found["classes"].tolist() == [0, 1, 0]
    assert found["present"].all()


def test_where_there_are_few_places_there_are_few_detections():
    preds = {"logits": jnp.zeros((1, 6, 1)), "boxes": jnp.tile(jnp.array([0.0, 0, 1, 1]), (1, 6, 1))}
    assert detections(preds)["scores"].shape == (1, 1)
    assert detections({**preds, "logits": preds["logits"].astype(jnp.bfloat16)})["scores"].dtype == jnp.float32
    six = {"logits": jnp.zeros((1, 24, 1)), "boxes": jnp.tile(jnp.array([0.0, 0, 1, 1]), (1, 24, 1))}
    assert detections(six)["present"].tolist() == [[True] + [False] * 5]  # all others are doubles


def test_items_are_the_best_places_of_all_members_each_place_once():
    rng = np.random.default_rng(1)
    preds = {
        "features": rng.normal(0, 1, (2, 3, PLACES, 5)).astype(np.float32),
        "logits": rng.normal(0, 2, (2, 3, PLACES, CLASSES)).astype(np.float32),
        "boxes": np.tile(random_boxes(rng, 3, PLACES), (2, 1, 1, 1)),
    }
    items = jax.jit(DETECTION.items)(preds)
    sure = 1 / (1 + np.exp(-preds["logits"].astype(float)))
    assert items.probs.shape == (2, 3, PLACES // 4, CLASSES + 1)
    np.testing.assert_allclose(items.probs.sum(-1), 1, atol=1e-5)
    for i in range(3):
        mean = sure[:, i].mean(0)
        best = mean.max(-1)
        kept = suppressed(preds["boxes"][0, i], best, 0.6, mean.argmax(-1))[: PLACES // 4]
        assert len(set(kept)) == len(kept)
        kept = [place for place in kept if best[place] > 0.05]
        assert items.present[i].tolist() == [True] * len(kept) + [False] * (PLACES // 4 - len(kept))
        for item, place in enumerate(kept):
            for member in range(2):
                at_place = sure[member, i, place]
                at_place = at_place / max(at_place.sum(), 1)
                expected = [*at_place, max(1 - at_place.sum(), 0)]
                np.testing.assert_allclose(items.probs[member, i, item], expected, atol=1e-5)
            np.testing.assert_allclose(items.features[i, item], preds["features"][:, i, place].mean(0), atol=1e-6)


def test_of_nothing_there_are_no_items():
    preds = {
        "logits": jnp.full((1, 2, 8, 1), -5.0),
        "features": jnp.zeros((1, 2, 8, 3)),
        "boxes": jnp.tile(jnp.array([0.0, 0, 1, 1]), (1, 2, 8, 1)),
    }
    assert not DETECTION.items(preds).present.any()


def random_detections(kind="plain", seed=0):
    given = random_set(seed, kind)
    found = {name: given[name] for name in FIELDS[:4]}
    names = ("bbox", "label", "valid", "is_crowd")
    return given, found, {f"objects/{name}": given[key] for name, key in zip(names, FIELDS[4:], strict=True)}


@pytest.mark.parametrize("kind", ["crowd", "empty"])
def test_a_set_in_batches_is_measured_as_a_whole(kind, monkeypatch):
    given, found, targets = random_detections(kind)
    monkeypatch.setattr(detection, "_BATCH", 9)  # 40 images: the last batch is not full
    whole = AveragePrecision.empty(4).update(*(given[name] for name in FIELDS)).compute()
    assert DETECTION.measure(found, targets) == pytest.approx(whole)
    # What is no target is not looked at.
    assert DETECTION.measure(found, {**targets, "image": np.zeros((40, 2))}) == pytest.approx(whole)
    without = {name: array for name, array in targets.items() if "crowd" not in name}
    assert (DETECTION.measure(found, without) == pytest.approx(whole)) == (kind == "empty")


def test_a_step_measures_what_a_whole_set_is_measured_by(drawn):
    preds, found = drawn
    rng = np.random.default_rng(4)
    batch = {
        "objects/bbox": random_boxes(rng, 3, 2),
        "objects/label": rng.integers(0, CLASSES, (3, 2)).astype(np.int32),
        "objects/valid": np.array([[True, True], [True, False], [False, False]]),
    }
    where = np.array([True, True, False])
    state = DETECTION.metrics["map"].update(preds, batch, where)
    few = DETECTION.measure({name: array[:2] for name, array in found.items()}, {k: v[:2] for k, v in batch.items()})
    assert few == pytest.approx(state.compute())


def test_the_official_numbers_are_by_class_and_by_size_in_pixels():
    _, found, targets = random_detections("empty")
    numbers = DETECTION.official(found, targets, (240, 320), ("ant", "bee", "cat", "dog"))
    assert {name: numbers[name] for name in ("map", "ap50", "ap75")} == pytest.approx(
        DETECTION.measure(found, targets), abs=1e-3
    )
    assert list(numbers["by_class"]) == ["ant", "bee", "cat"]  # there is no dog
    assert all(0 < numbers[name] < 1 for name in ("small", "medium", "large"))
    tiny = DETECTION.official(found, targets, (8, 8), ("ant", "bee", "cat", "dog"))
    assert (tiny["small"], tiny["large"]) == (pytest.approx(numbers["map"]), None)


def f1_above(found, targets, floor):
    right = wrong = 0
    for i in range(len(found["scores"])):
        left = list(np.flatnonzero(targets["objects/valid"][i]))
        for d in np.argsort(-found["scores"][i], kind="stable"):
            if not found["present"][i, d] or found["scores"][i, d] < floor:
                continue
            same = [j for j in left if targets["objects/label"][i, j] == found["classes"][i, d]]
            over = [overlap(found["boxes"][i, d], targets["objects/bbox"][i, j])[0] for j in same]
            if over and max(over) >= 0.5:
                left.remove(same[int(np.argmax(over))])
                right += 1
            else:
                wrong += 1
    return 2 * right / (right + wrong + targets["objects/valid"].sum())


def test_the_floor_is_where_detections_and_boxes_agree_best():
    _, found, targets = random_detections("empty", seed=3)
    order = np.argsort(-found["scores"], 1, kind="stable")
    found = {
        name: np.take_along_axis(array, order.reshape(*order.shape, *[1] * (array.ndim - 2)), 1)
        for name, array in found.items()
    }
    scores = np.unique(found["scores"][found["present"]])
    best = max(scores, key=lambda score: f1_above(found, targets, score))
    floor = DETECTION.floor(found, targets)
    assert f1_above(found, targets, floor) == pytest.approx(f1_above(found, targets, best))
    assert floor == pytest.approx(best)
    assert 0 < floor < scores.max()


def test_where_nothing_is_right_there_is_no_floor():
    _, found, targets = random_detections()
    nothing = {**targets, "objects/valid": np.zeros_like(targets["objects/valid"])}
    assert DETECTION.floor(found, nothing) == 0
    assert DETECTION.floor({**found, "present": np.zeros_like(found["present"])}, targets) == 0


GRID, CELL = 4, 4  # cells of an image, and their pixels


class Cells(nn.Module):
    """Detects how bright each cell of an image is: what it says moves with the pixels."""

    taps: tuple[str, ...] = ()

    def __call__(self, images, train=False, dropout_keys=None):
        bright = images.reshape(len(images), GRID, CELL, GRID, CELL).mean((2, 4)).reshape(len(images), -1)
        centres = boxes.grid_points(GRID, GRID)
        around = boxes.decode(centres, jnp.full((len(centres), 4), 0.5 / GRID))
        logits = jnp.stack([12 * bright - 6, jnp.full_like(bright, -9.0)], -1)
        preds = {"logits": logits, "features": logits, "boxes": jnp.broadcast_to(around, (*bright.shape, 4))}
        return Outputs(preds, {"penultimate": bright})


def bright_cells(*images):
    """Images of which some cells, (row, column, brightness), are bright."""
    batch = np.zeros((len(images), GRID * CELL, GRID * CELL, 1), np.uint8)
    for image, cells in zip(batch, images, strict=True):
        for row, column, value in cells:
            image[CELL * row : CELL * (row + 1), CELL * column : CELL * (column + 1)] = value
    return {"image": batch, "id": np.arange(len(images), dtype=np.int32) + 3}


def doubted(view, batch, passes=3):
    network = Network(Cells(), view)
    predict = make_predictions(network, DETECTION.items, "augmentations", passes=passes, following=DETECTION.following)
    return jax.tree.map(np.asarray, jax.jit(predict)({"params": {}}, batch))


def view_of(*ops):
    return View(ops=ops, moves=DETECTION.moves)


IMAGES = bright_cells([(0, 1, 255), (2, 3, 240)], [(3, 0, 250)], [])


@pytest.mark.parametrize("op", [Shift(0), Flip(), Crop(1.0)])
def test_what_is_in_the_image_is_found_again_where_it_has_gone(op):
    found = doubted(view_of(op), IMAGES, passes=6)
    assert found["probs"].shape == (7, 3, 4, 3)
    assert found["present"].sum(1).tolist() == [2, 1, 0]
    there = found["present"]
    np.testing.assert_allclose(found["agreement"][:, there], 1, atol=1e-4)
    for version in found["probs"][1:]:
        np.testing.assert_allclose(version[there], found["probs"][0][there], atol=1e-4)


def test_flips_did_flip():
    """The control: what stayed where it was would not have been found."""
    targets = {
        name: np.asarray(x) for name, x in DETECTION.following.targets(Cells()(IMAGES["image"] / 255.0).preds).items()
    }
    view = view_of(Flip())
    keys = jax.random.split(jax.random.key(0), 3)
    moved = np.stack([view.see({**IMAGES, **targets}, jax.random.split(key, 3))["objects/bbox"] for key in keys])
    assert not np.allclose(moved, targets["objects/bbox"])


def test_what_the_crop_leaves_out_is_as_it_was():
    here = jax.tree.map(np.asarray, Cells()(IMAGES["image"] / 255.0).preds)
    before = np.asarray(DETECTION.items(jax.tree.map(lambda x: x[None], here)).probs[0])
    targets = {name: np.array(x) for name, x in DETECTION.following.targets(here).items()}
    assert targets["objects/valid"].sum(1).tolist() == [2, 1, 0]
    targets["objects/valid"][0, 1] = False
    targets["objects/bbox"][0, 1] = 0
    dark = jax.tree.map(np.asarray, Cells()(np.zeros_like(IMAGES["image"], np.float32)).preds)
    probs, agreement = map(np.asarray, DETECTION.following.found(dark, targets, before))
    # The one that has left the image is as it was and agrees; of the others, which are in it, nothing is found.
    np.testing.assert_allclose(probs[0, 1], before[0, 1])
    assert agreement[0, 1] == 1
    for image, item in ((0, 0), (1, 0)):
        np.testing.assert_allclose(probs[image, item], [0, 0, 1])
        assert agreement[image, item] == 0


def test_crops_lose_boxes_and_find_the_others_less_exactly():
    found = doubted(view_of(Crop(0.3)), bright_cells([(0, 0, 255), (3, 3, 255)]), passes=8)
    there = found["agreement"][:, 0, :2]
    probs = found["probs"][1:, 0, :2]
    lost = there == 1
    assert lost.any()
    assert not lost.all()
    np.testing.assert_allclose(probs[lost], np.broadcast_to(found["probs"][0, 0, 0], probs[lost].shape), atol=1e-5)
    np.testing.assert_allclose(found["probs"].sum(-1), 1, atol=1e-5)


def test_what_can_be_watched_is_what_results_speak_of():
    assert DETECTION.watch in DETECTION.metrics
    _, found, targets = random_detections()
    assert set(DETECTION.measure(found, targets)) == {DETECTION.watch, *DETECTION.columns}


def test_the_quality_of_a_class_is_that_of_the_best_detection_of_each_of_its_boxes():
    true = np.zeros((2, 3, 4), np.float32)
    true[0, 0], true[0, 1], true[1, 0] = [0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1], [0, 0, 1, 1]
    targets = {
        "objects/bbox": true,
        "objects/label": np.array([[0, 1, -1], [0, -1, -1]]),
        "objects/valid": np.array([[1, 1, 0], [1, 0, 0]]),
    }
    found = {
        "boxes": np.array([[[0, 0, 0.5, 0.25], [0, 0, 0.5, 0.5]], [[0, 0, 1, 1], [0, 0, 1, 1]]], np.float32),
        "scores": np.array([[0.9, 0.2], [0.7, 0.6]], np.float32),
        "classes": np.array([[0, 0], [1, 0]]),
        "present": np.array([[True, True], [True, False]]),
    }
    assert DETECTION.class_quality is not None
    # Of class 0: one box found by half with 0.9, better than whole with 0.2; one not found (what is there is of 1).
    first = max(0.9**0.6 * 0.5**0.4, 0.2**0.6)
    np.testing.assert_allclose(DETECTION.class_quality(found, targets, 3), [first / 2, 0, 0], rtol=1e-5)


def test_the_official_numbers_know_what_is_a_crowd():
    _, found, targets = random_detections("crowd")
    numbers = DETECTION.official(found, targets, (240, 320), ("ant", "bee", "cat", "dog"))
    assert numbers["map"] == pytest.approx(DETECTION.measure(found, targets)["map"], abs=1e-3)
