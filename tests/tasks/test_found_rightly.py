"""How far detections and true boxes agree, against loops over boxes."""

import numpy as np
import pytest

from effjax.tasks.found_rightly import trusted_score, worth_of_tags

FLOOR = 0.5


def overlap(a, b):
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    both = np.prod(np.maximum(sides, 0))
    return both / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - both)


def hits(found, true, least):
    """Greedy: each detection, the best first, takes the free true box of its class that it overlaps most."""
    free, right = list(true), []
    for box, kind in found:
        shares = [overlap(box, other) if kind == of else 0.0 for other, of in free]
        best = max(range(len(shares)), key=shares.__getitem__, default=None)
        right.append(best is not None and shares[best] >= least)
        if right[-1]:
            del free[best]
    return right


def drawn(seed, images=4, most=5):
    """True boxes of three classes, and detections near some of them, whose scores are tenths: some are equal."""
    draw = np.random.default_rng(seed)
    corners = draw.uniform(0, 0.6, (images, most, 2))
    true = np.concatenate([corners, corners + draw.uniform(0.2, 0.4, (images, most, 2))], -1)
    moved = np.clip(true + draw.normal(0, 0.03, true.shape), 0, 1)[:, ::-1]
    labels = draw.integers(0, 3, (images, most))
    valid = draw.random((images, most)) < 0.7
    found = {
        "boxes": moved.astype(np.float32),
        "scores": -np.sort(-draw.integers(1, 10, (images, most)) / 10, 1),
        "classes": np.where(draw.random((images, most)) < 0.8, labels[:, ::-1], draw.integers(0, 3, (images, most))),
        "present": draw.random((images, most)) < 0.8,
    }
    targets = {"objects/bbox": true.astype(np.float32), "objects/label": labels, "objects/valid": valid}
    return found, targets


def by_image(found, targets, floor=0.0):
    for i in range(len(found["scores"])):
        there = found["present"][i] & (found["scores"][i] >= floor)
        valid = targets["objects/valid"][i]
        yield (
            list(zip(found["boxes"][i][there], found["classes"][i][there], strict=True)),
            list(zip(targets["objects/bbox"][i][valid], targets["objects/label"][i][valid], strict=True)),
            found["scores"][i][there],
        )


@pytest.mark.parametrize("seed", range(80))
def test_the_floor_is_the_score_of_the_highest_f1(seed):
    found, targets = drawn(seed, images=1 + seed % 3)  # of few, each counts
    true = sum(len(boxes) for _, boxes, _ in by_image(found, targets))
    scored = [
        pair
        for known, boxes, scores in by_image(found, targets)
        for pair in zip(scores, hits(known, boxes, 0.5), strict=True)
    ]
    scored.sort(key=lambda pair: -pair[0])
    if not any(hit for _, hit in scored):
        assert trusted_score(found, targets) == 0.0
        return
    f1 = [2 * sum(hit for _, hit in scored[:n]) / (n + true) for n in range(1, len(scored) + 1)]
    assert trusted_score(found, targets) == scored[int(np.argmax(f1))][0]


def test_where_nothing_is_found_rightly_there_is_no_floor():
    found, targets = drawn(0)
    assert trusted_score({**found, "classes": np.full_like(found["classes"], 7)}, targets) == 0.0
    assert trusted_score({**found, "present": np.zeros_like(found["present"])}, targets) == 0.0


@pytest.mark.parametrize("seed", range(12))
def test_what_is_sure_enough_is_judged_at_ten_overlaps(seed):
    found, targets = drawn(seed)
    images = list(by_image(found, targets, FLOOR))
    size = sum(len(known) + len(boxes) for known, boxes, _ in images)
    right = [sum(sum(hits(known, boxes, 0.5 + 0.05 * i)) for known, boxes, _ in images) for i in range(10)]
    worth = worth_of_tags(found, targets, FLOOR)
    assert worth["untagged"] == pytest.approx(2 * np.mean(right) / size)
    left = sum(sum(hits(known, boxes, 0.8)) for known, boxes, _ in images)
    assert worth["accepted"] == pytest.approx(left / sum(len(boxes) for _, boxes, _ in images))


def test_of_no_images_nothing_is_said():
    found, targets = drawn(0, images=0)
    assert set(worth_of_tags(found, targets, FLOOR).values()) == {0.0}


def test_an_overlap_of_just_a_half_is_one():
    known = {
        "boxes": np.array([[[0, 0, 1, 0.5]]]),
        "scores": np.array([[0.9]]),
        "classes": np.array([[0]]),
        "present": np.ones((1, 1), bool),
    }
    targets = {
        "objects/bbox": np.array([[[0.0, 0, 1, 1]]]),
        "objects/label": np.array([[0]]),
        "objects/valid": np.ones((1, 1), bool),
    }
    assert worth_of_tags(known, targets, FLOOR)["untagged"] == pytest.approx(0.1)  # at one of ten thresholds
