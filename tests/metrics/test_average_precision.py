"""Average precision: by hand, against pycocotools, and that its sums merge."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from metrics.coco_sets import CLASSES, FIELDS, IMAGES, pycocotools_stats, random_set

from effjax.metrics import AveragePrecision

A, B, FAR = [0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0], [0.0, 0.6, 0.2, 0.8]
UPDATE = jax.jit(AveragePrecision.update)


def update(state, given, rows=slice(None), **options):
    return UPDATE(state, *(given[name][rows] for name in FIELDS), **options)


def numbers(state):
    found = state.compute()
    return [found["map"], found["ap50"], found["ap75"]]


def of_one_image(found, true_boxes, classes=None, true_classes=None, crowd=None, num_classes=1):
    """The state of one image: boxes with their scores, and boxes that are there."""
    boxes, scores = np.array([box for box, _ in found], np.float32)[None], np.array([[score for _, score in found]])
    true_boxes = np.array(true_boxes, np.float32)[None]
    classes = np.array([classes or [0] * len(found)])
    true_classes = np.array([true_classes or [0] * true_boxes.shape[1]])
    there = np.ones(classes.shape, bool), np.ones(true_classes.shape, bool)
    crowd = None if crowd is None else np.array([crowd])
    state = AveragePrecision.empty(num_classes)
    return state.update(boxes, scores, classes, there[0], true_boxes, true_classes, there[1], crowd)


def test_everything_found_and_nothing_else():
    assert numbers(of_one_image([(A, 0.9), (B, 0.2)], [A, B])) == [1, 1, 1]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([(FAR, 0.9), (A, 0.8), (B, 0.7)], 2 / 3),  # precision 1/2, then 2/3, which counts for all lower recalls
        ([(A, 0.9), (FAR, 0.8), (B, 0.7)], (51 + 50 * 2 / 3) / 101),  # recalls 0, .01, … .5, and those above
        ([(A, 0.9), (FAR, 0.8)], 51 / 101),  # half of the boxes is not found
        ([(A, 0.9), (A, 0.8), (B, 0.7)], (51 + 50 * 2 / 3) / 101),  # found again is wrong
        ([(FAR, 0.9)], 0),
    ],
)
def test_by_hand(found, expected):
    np.testing.assert_allclose(numbers(of_one_image(found, [A, B])), expected, rtol=1e-6)


def test_each_threshold_asks_for_its_overlap():
    right = of_one_image([([0.0, 0.0, 0.5, 0.3], 0.9)], [A]).true_positives.sum(-1)  # IoU .6
    np.testing.assert_array_equal(right[0], [1, 1, 1, 0, 0, 0, 0, 0, 0, 0])
    assert numbers(of_one_image([([0.0, 0.0, 0.5, 0.3], 0.9)], [A])) == pytest.approx([0.3, 1, 0])


def test_the_surest_takes_the_box_that_it_overlaps_most():
    wide = [0.0, 0.0, 0.5, 0.6]
    state = of_one_image([(wide, 0.9), (A, 0.8)], [wide, A])
    assert numbers(state) == [1, 1, 1]
    state = of_one_image([(A, 0.9), (A, 0.8)], [wide, A])  # the second has IoU 5/6 with what is left
    assert state.true_positives.sum((0, 2)).tolist() == [2] * 7 + [1] * 3


def test_of_boxes_that_it_overlaps_equally_a_detection_takes_the_last_as_coco_does():
    left, right, between = [0.0, 0.0, 1.0, 0.5], [0.0, 0.25, 1.0, 0.75], [0.0, 0.125, 1.0, 0.625]  # IoU .6 with both
    assert of_one_image([(between, 0.9), (left, 0.8)], [left, right]).true_positives[0, 0].sum() == 2
    assert of_one_image([(between, 0.9), (left, 0.8)], [right, left]).true_positives[0, 0].sum() == 1


def test_classes_are_apart_and_those_without_boxes_do_not_count():
    state = of_one_image([(A, 0.9), (A, 0.8)], [A], classes=[2, 1], true_classes=[1], num_classes=4)
    assert numbers(state) == [1, 1, 1]
    state = of_one_image([(A, 0.9), (B, 0.8)], [A, B], classes=[0, 0], true_classes=[0, 1], num_classes=2)
    assert numbers(state) == [0.5, 0.5, 0.5]


def test_what_lies_in_a_crowd_is_neither_right_nor_wrong():
    part = [0.5, 0.5, 0.6, 0.6]
    state = of_one_image([(part, 0.9), (part, 0.8), (A, 0.7), (FAR, 0.6)], [A, B], crowd=[False, True])
    assert numbers(state) == [1, 1, 1]
    assert state.count.tolist() == [1]
    assert state.false_positives.sum((0, 2)).tolist() == [1] * 10  # the one that is far away


def test_of_a_bin_right_and_wrong_ones_are_mixed_evenly():
    assert numbers(of_one_image([(A, 0.5), (FAR, 0.5)], [A])) == pytest.approx([2 / 3] * 3)


@pytest.mark.parametrize("kind", ["plain", "crowd", "empty", "overfull"])
@pytest.mark.parametrize("seed", range(5))
def test_random_sets_against_pycocotools(seed, kind):
    given = random_set(seed, kind)
    expected = pycocotools_stats(given)[:3]
    assert 0.04 < expected[0] < 0.5
    found = numbers(update(AveragePrecision.empty(CLASSES), given))
    assert found[0] == pytest.approx(expected[0], abs=1e-3)
    assert found[1:] == pytest.approx(expected[1:], abs=2e-3)  # of one IoU, and 40 images
    fine = update(AveragePrecision.empty(CLASSES, bins=100_000), given)  # no two share a bin
    np.testing.assert_allclose(numbers(fine), expected, rtol=1e-12)


def test_any_partition_merges():
    given = random_set(0)
    whole, parts = update(AveragePrecision.empty(CLASSES), given), AveragePrecision.empty(CLASSES)
    for rows in np.array_split(np.random.default_rng(0).permutation(IMAGES), 4):
        parts = parts.merge(update(AveragePrecision.empty(CLASSES), given, rows))
    jax.tree.map(np.testing.assert_array_equal, parts, whole)
    as_float64 = jax.tree.map(lambda x: np.asarray(x, np.float64), whole)
    assert as_float64.merge(as_float64).compute() == pytest.approx(whole.merge(whole).compute())


def test_left_out_images_and_padding_take_no_part():
    given, keep = random_set(1, "crowd"), np.arange(IMAGES) % 3 > 0
    expected = update(AveragePrecision.empty(CLASSES), given, keep)
    poisoned = {name: np.where(keep.reshape(-1, *[1] * (x.ndim - 1)), x, x.dtype.type(-1)) for name, x in given.items()}
    poisoned["boxes"] = np.where(given["present"][..., None], given["boxes"], np.nan)
    poisoned["true_boxes"] = np.where(given["true_valid"][..., None], given["true_boxes"], np.nan)
    found = update(AveragePrecision.empty(CLASSES), poisoned, where=keep)
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_order_does_not_matter_and_compiling_changes_nothing():
    given, order = random_set(2), np.random.default_rng(0).permutation(IMAGES)
    expected = update(AveragePrecision.empty(CLASSES), given)
    turned = {name: x[order] for name, x in given.items()}
    for name in FIELDS[:4]:
        turned[name] = turned[name][:, ::-1]
    for name in FIELDS[4:]:
        turned[name] = turned[name][:, ::-1]
    found = AveragePrecision.empty(CLASSES).update(*(jnp.asarray(turned[name]) for name in FIELDS))
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_classes_that_are_none_are_not_counted():
    state = of_one_image([(A, 0.9), (A, 0.8), (A, 0.7)], [A, A], classes=[-1, 1, 0], true_classes=[0, -1])
    assert numbers(state) == [1, 1, 1]
    assert state.count.tolist() == [1]


def test_scores_of_0_and_1_have_bins():
    state = of_one_image([(A, 1.0), (B, 0.0)], [A, B])
    np.testing.assert_array_equal(np.flatnonzero(state.true_positives[0, 0]), [0, 999])


def test_nothing_seen_is_nan():
    assert np.isnan(numbers(AveragePrecision.empty(3))).all()


@pytest.mark.parametrize("name", FIELDS)
def test_detections_of_other_shapes_are_refused(name):
    given = random_set(0)
    with pytest.raises((AssertionError, ValueError)):
        AveragePrecision.empty(CLASSES).update(*(x[:, :1] if n == name else x for n, x in given.items()))


@pytest.mark.parametrize("shape", [(1,), (IMAGES, 1), ()])
def test_whether_an_image_counts_is_said_of_each(shape):
    with pytest.raises(AssertionError):
        AveragePrecision.empty(CLASSES).update(*random_set(0).values(), where=np.ones(shape, bool))
