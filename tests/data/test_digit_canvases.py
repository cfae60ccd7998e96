"""Digits on canvases: where the boxes say, as often as promised, none of them in two splits."""

import hashlib

import numpy as np
import pytest

from effjax.data import prepare as preparing
from effjax.data.builders import canvas_generator, digit_canvases, digits
from effjax.data.sources import load

SPLITS = canvas_generator.SPLITS


@pytest.fixture(scope="module")
def mnist():
    return digits.read_digits()


@pytest.fixture(scope="module")
def drawn(mnist):
    """The first 150 of each split, and the positions of its digits."""
    images, labels = mnist
    rows = digits.split_indices(labels)
    return {
        split: [
            canvas_generator.draw(
                digit_canvases.FREQUENCIES[split], 0, split, index, images[rows[split]], labels[rows[split]]
            )
            for index in range(150)
        ]
        for split in SPLITS
    }


def test_on_disk_are_those_drawn(tmp_path, monkeypatch, drawn):
    assert digit_canvases.COUNTS == {"train": 2000, "validation": 200, "test": 500}
    monkeypatch.setattr(digit_canvases, "COUNTS", {"train": 8, "validation": 4, "test": 4})
    preparing.prepare("digit_canvases", tmp_path)
    for split, count in digit_canvases.COUNTS.items():
        source = load("digit_canvases", split, tmp_path, padded={"objects": canvas_generator.MOST})
        assert (len(source), source.info.class_names) == (count, tuple("0123456789"))
        for example, one in zip(source, drawn[split], strict=False):
            there = example["objects/valid"]
            np.testing.assert_array_equal(example["image"][..., 0], one.image)
            np.testing.assert_array_equal(example["objects/bbox"][there] * canvas_generator.SIZE, one.boxes)
            np.testing.assert_array_equal(example["objects/label"][there], one.labels)


def test_the_published_canvases_stay_the_same(drawn):
    assert digit_canvases.SEED == 0
    digest = hashlib.sha256()
    for split in SPLITS:
        for one in drawn[split][:20]:
            around = one.image.copy()  # within boxes, grey levels are Pillow's
            for y0, x0, y1, x1 in one.boxes:
                around[y0:y1, x0:x1] = 0
            digest.update(around.tobytes() + repr([part.tolist() for part in one[1:]]).encode())
    assert digest.hexdigest() == "50c0e2352eee0b6d395dc5691d74384748a7b3797967c31da2fc72becaa6dd62"


def test_an_example_depends_on_its_place_and_its_digits_alone(mnist):
    def once(seed, split, index):
        return canvas_generator.draw(np.ones(10), seed, split, index, *mnist)

    one, again = once(0, "test", 7), once(0, "test", 7)
    for part, same in zip(one, again, strict=True):
        np.testing.assert_array_equal(part, same)
    for other in (once(1, "test", 7), once(0, "train", 7), once(0, "test", 8)):
        assert not np.array_equal(one.image, other.image)


def test_boxes_are_around_what_they_say(mnist, drawn):
    _, labels = mnist
    rows = digits.split_indices(labels)
    for split in SPLITS:
        for one in drawn[split]:
            assert 1 <= len(one.boxes) <= canvas_generator.MOST
            np.testing.assert_array_equal(labels[rows[split]][one.rows], one.labels)
            assert (one.boxes[:, :2] >= 0).all()
            assert (one.boxes[:, 2:] <= canvas_generator.SIZE).all()
            sides = one.boxes[:, 2:] - one.boxes[:, :2]
            assert (sides >= (11, 3)).all()
            assert (sides <= (26, 30)).all()
            for i, a in enumerate(one.boxes):
                for b in one.boxes[:i]:
                    assert (np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])).min() <= 2
                y0, x0, y1, x1 = a
                assert one.image[y0:y1, x0:x1].max() > 90  # there is ink


def test_rare_classes_are_rare_where_networks_train(drawn):
    counts = {
        split: np.bincount(np.concatenate([one.labels for one in drawn[split]]), minlength=10) for split in SPLITS
    }
    train = counts["train"] / counts["train"].sum()
    expected = 0.7 ** np.arange(10) / (0.7 ** np.arange(10)).sum()
    assert np.abs(train - expected).max() < 0.06
    for split in ("validation", "test"):
        assert np.abs(counts[split] / counts[split].sum() - 0.1).max() < 0.06


def test_a_tenth_of_the_canvases_is_full_and_two_fifths_have_one_digit(drawn):
    counts = np.array([len(one.boxes) for split in SPLITS for one in drawn[split]])
    assert np.abs((counts == 1).mean() - 0.4) < 0.08
    assert 0.03 < (counts == canvas_generator.MOST).mean() < 0.13
